package state_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/local"
	"github.com/davit-sh/davit/state/memory"
)

// Whatever is written, in whatever order: a state in memory and one in a file are the same after each step, and what the
// file says of itself holds.
func TestStoresAgree(t *testing.T) {
	dir := t.TempDir()
	n, steps := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		file, err := local.Open(filepath.Join(dir, fmt.Sprint(n)+".db"))
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		stores := []state.Store{memory.New(), file}
		leases := make([]state.Lease, len(stores))
		for i, s := range stores {
			if leases[i], err = s.Lock(ctx, state.Holder{}); err != nil {
				t.Fatal(err)
			}
			defer leases[i].Release(ctx) //nolint:errcheck // the file is thrown away
		}
		var earlier []*state.Archive
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			steps++
			step := drawStep(t, earlier)
			var errs [2]error
			var archives [2]*state.Archive
			for i, l := range leases {
				errs[i] = step(ctx, l)
				if archives[i], err = stores[i].Archive(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if (errs[0] == nil) != (errs[1] == nil) {
				t.Fatalf("one of them refuses: %v, %v", errs[0], errs[1])
			}
			if (archives[0].Lineage == "") != (archives[1].Lineage == "") {
				t.Fatalf("the lineages are %q and %q", archives[0].Lineage, archives[1].Lineage)
			}
			archives[1].Lineage = archives[0].Lineage // each made its own
			if diff := cmp.Diff(archives[0], archives[1]); diff != "" {
				t.Fatalf("(-memory +local):\n%s", diff)
			}
			earlier = append(earlier, archives[0])
		}
	})
	t.Logf("%d states, %d steps", n, steps)
}

// drawStep is a commit, or a replacement by what was there earlier with a history of any length and order.
func drawStep(t *rapid.T, earlier []*state.Archive) func(context.Context, state.Lease) error {
	if len(earlier) > 0 && rapid.IntRange(0, 5).Draw(t, "step") == 0 {
		a := *rapid.SampledFrom(earlier).Draw(t, "archive")
		a.History = nil
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(1, 60), 0, 40, rapid.ID[int]).Draw(t, "revisions") {
			a.History = append(a.History, state.Revision{Number: uint64(n), Action: "x", Record: state.Record{Address: []string{"a", "b"}[n%2]}}) //nolint:gosec // it is small
		}
		return func(ctx context.Context, l state.Lease) error { return l.Replace(ctx, &a) }
	}
	b := drawBatch(t)
	return func(ctx context.Context, l state.Lease) error { _, err := l.Commit(ctx, b); return err }
}
