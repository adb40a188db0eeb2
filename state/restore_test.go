package state_test

import (
	"strings"
	"testing"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/memory"
	"github.com/davit-sh/davit/state/statetest"
)

func TestRestore(t *testing.T) {
	mark := func(address, mark string) state.Record {
		r := statetest.Record(address)
		r.Plugin = mark
		return r
	}
	for name, c := range map[string]struct {
		address string
		n       uint64
		plugin  string // of the record then
		number  uint64 // of the revision that was added
		err     string
	}{
		"damaged, from the newest":      {"build.oci.damaged", 0, "two", 3, ""},
		"damaged, from an older one":    {"build.oci.damaged", 1, "one", 3, ""},
		"removed":                       {"build.oci.removed", 0, "one", 2, ""},
		"sound":                         {"build.oci.sound", 0, "", 0, "is not damaged: nothing to restore"},
		"sound, but asked for":          {"build.oci.sound", 1, "one", 3, ""},
		"deleted":                       {"build.oci.deleted", 0, "", 0, "was deleted by revision 2"},
		"deleted, but asked for":        {"build.oci.deleted", 1, "one", 3, ""},
		"without a history":             {"build.oci.none", 0, "", 0, "has no history to restore it from"},
		"a revision that is not there":  {"build.oci.damaged", 9, "", 0, "has no revision 9: the first is 1, the last 2"},
		"a revision that is damaged":    {"build.oci.old", 1, "", 0, "has no revision 1: the first is 2, the last 2"},
		"damaged as its newest is, too": {"build.oci.twice", 0, "one", 3, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := memory.New()
			l, err := s.Lock(t.Context(), state.Holder{})
			if err != nil {
				t.Fatal(err)
			}
			var b state.Batch
			for _, a := range []string{"damaged", "sound", "deleted", "old", "twice"} {
				a = "build.oci." + a
				b.Put = append(b.Put, mark(a, "now"))
				b.History = append(b.History, state.Revision{Action: "create", Record: mark(a, "one")}, state.Revision{Action: "update", Record: mark(a, "two")})
			}
			b.History[5].Action = "delete"
			b.Put = append(b.Put[:2], b.Put[3:]...) // the deleted one's
			b.History = append(b.History, state.Revision{Action: "create", Record: mark("build.oci.removed", "one")})
			if _, err := l.Commit(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			s.Damage("record", "build.oci.damaged", 0)
			s.Damage("record", "build.oci.twice", 0)
			s.Damage("revision", "build.oci.twice", 2)
			s.Damage("revision", "build.oci.old", 1)
			r, err := state.Restore(t.Context(), s, l, c.address, c.n, "somebody@host")
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Number != c.number || r.Action != state.ActionRestore || r.Who != "somebody@host" || len(r.Reasons) != 1 {
				t.Errorf("the revision is %+v", r)
			}
			snapshot, err := s.Load(t.Context())
			if got := snapshot.Records[c.address]; err != nil || got.Plugin != c.plugin || got.Address != c.address || !got.Updated.After(mark("", "").Updated) {
				t.Errorf("the record is %+v, %v", got, err)
			}
		})
	}
}
