package objects_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/objects"
	"github.com/davit-sh/davit/state/memory"
	"github.com/davit-sh/davit/state/statetest"
)

// Whatever is committed, in whatever order, by whatever number of leases, with answers lost and requests refused: the
// state is that of the backend in memory, and so is the history.
func TestModel(t *testing.T) {
	rapid.Check(t, model)
}

func model(t *rapid.T) {
	b, ctx := newBucket(), context.Background()
	o := objects.Options{Part: rapid.IntRange(64, 4096).Draw(t, "part"), Tail: rapid.IntRange(1, 4096).Draw(t, "tail"), Pause: time.Microsecond}
	open := func() state.Store {
		s, err := objects.Open(b, o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	model := memory.New()
	want, err := model.Lock(ctx, state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	take := func() state.Lease {
		l, err := open().Lock(ctx, state.Holder{Who: "a@b"})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	lease := take()
	defer func() { _ = lease.Release(ctx) }()
	check := func() {
		m, _ := model.Archive(ctx)
		got, err := open().Archive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		got.Lineage = m.Lineage
		same(t, m, got)
		loaded, err := open().Load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		loaded.Lineage = m.Lineage
		same(t, m.Snapshot, loaded)
	}
	t.Repeat(map[string]func(*rapid.T){
		"commit": func(t *rapid.T) {
			batch := drawBatch(t)
			want, err := want.Commit(ctx, batch)
			if err != nil {
				t.Fatal(err)
			}
			got, err := lease.Commit(ctx, batch)
			if err != nil || got != want {
				t.Fatalf("serial %d, want %d: %v", got, want, err)
			}
		},
		"another lease": func(t *rapid.T) {
			if err := lease.Release(ctx); err != nil {
				t.Fatal(err)
			}
			lease = take()
		},
		"replace with itself": func(t *rapid.T) {
			a, err := open().Archive(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if a.Serial == 0 {
				return // there is no lineage yet
			}
			if err := lease.Replace(ctx, a); err != nil {
				t.Fatal(err)
			}
		},
		"bad weather": func(t *rapid.T) {
			lose, refuse := rapid.IntRange(2, 9).Draw(t, "lose"), rapid.IntRange(2, 9).Draw(t, "refuse")
			var calls atomic.Int64
			b.inject(func(_ context.Context, _ string, do func() error) error {
				n := int(calls.Add(1))
				switch {
				case n%refuse == 0:
					return objects.Refused(errCut)
				case n%lose == 0:
					_ = do()
					return errCut
				}
				return do()
			})
			commit := drawBatch(t)
			_, err := lease.Commit(ctx, commit)
			b.inject(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := want.Commit(ctx, commit); err != nil {
				t.Fatal(err)
			}
		},
		"": func(*rapid.T) { check() },
	})
}

// same compares as JSON, which is quick.
func same(t *rapid.T, want, got any) {
	w, _ := json.Marshal(want)
	g, _ := json.Marshal(got)
	if !bytes.Equal(w, g) {
		t.Fatalf("(-want +got):\n%s", cmp.Diff(want, got))
	}
}

func drawBatch(t *rapid.T) (b state.Batch) {
	address := rapid.Map(rapid.IntRange(0, 9), func(i int) string { return fmt.Sprintf("build.oci.r%d", i) })
	some := func(name string) []string { return rapid.SliceOfNDistinct(address, 0, 3, rapid.ID).Draw(t, name) }
	for _, from := range some("from") {
		if m := (state.Batch{Move: append(slices.Clone(b.Move), state.Move{From: from, To: address.Draw(t, "to")})}); m.Check() == nil {
			b = m
		}
	}
	for _, a := range some("put") {
		r := statetest.Record(a)
		r.Private = rapid.SliceOfN(rapid.Byte(), 1, 300).Draw(t, "private")
		b.Put = append(b.Put, r)
	}
	b.Delete = some("delete")
	for _, id := range some("begin") {
		b.Begin = append(b.Begin, state.Operation{ID: id, Address: id})
	}
	b.End = some("end")
	if rapid.Bool().Draw(t, "outputs") {
		b.Outputs = map[string]json.RawMessage{}
		for _, name := range some("output") {
			b.Outputs[name] = json.RawMessage(`"x"`)
		}
	}
	for _, a := range some("history") {
		b.History = append(b.History, state.Revision{Action: "update", Who: "somebody", Record: statetest.Record(a)})
	}
	return b
}
