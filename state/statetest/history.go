package statetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/davit-sh/davit/state"
)

// brief is a history as text: "ADDRESS NUMBER ACTION" of each revision.
func brief(list []state.Revision) []string {
	out := []string{}
	for _, r := range list {
		out = append(out, fmt.Sprintf("%s %d %s", r.Record.Address, r.Number, r.Action))
	}
	return out
}

// revisions are revisions of an address, one with each action.
func revisions(address string, actions ...string) (list []state.Revision) {
	for _, a := range actions {
		list = append(list, state.Revision{Action: a, Who: "tester", Record: Record(address)})
	}
	return list
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func testHistory(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	whole := state.Revision{
		Number: 77, Operation: "op", Action: "create", Plan: "sha256:x", Who: "tester", At: Record("").Updated, Reasons: []string{"why"}, Record: Record("build.oci.b"),
		From: []string{"source.git.a"}, Items: json.RawMessage(`[{"a":1}]`), Inputs: json.RawMessage(`{"b":2}`), Arguments: json.RawMessage(`[{"c":3}]`),
	}
	commit(t, l, state.Batch{History: append(revisions("build.oci.b-2", "create"), whole)})
	commit(t, l, state.Batch{History: append(revisions("build.oci.b", "update"), revisions("build.oci", "create", "update")...)})
	same(t, "one address", []string{"build.oci.b 2 update", "build.oci.b 1 create"}, brief(history(t, b.Open(), "build.oci.b")))
	same(t, "all addresses", []string{"build.oci 2 update", "build.oci 1 create", "build.oci.b 2 update", "build.oci.b 1 create", "build.oci.b-2 1 create"},
		brief(history(t, b.Open(), "")))
	same(t, "an address without one", []string{}, brief(history(t, b.Open(), "build.oci.c")))
	whole.Number = 1 // the store counts
	if diff := cmp.Diff(whole, history(t, b.Open(), "build.oci.b")[1]); diff != "" {
		t.Errorf("a revision (-want +got):\n%s", diff)
	}
	// The newest are kept, under their numbers, whether they come at once or one by one.
	for range state.KeepRevisions {
		commit(t, l, state.Batch{History: revisions("build.oci.b", "update")})
	}
	commit(t, l, state.Batch{History: revisions("build.oci", slices.Repeat([]string{"update"}, state.KeepRevisions+3)...)})
	for address, newest := range map[string]uint64{"build.oci.b": 2 + state.KeepRevisions, "build.oci": 5 + state.KeepRevisions} {
		list := history(t, b.Open(), address)
		if len(list) != state.KeepRevisions || list[0].Number != newest || list[len(list)-1].Number != newest-state.KeepRevisions+1 {
			t.Errorf("the history of %s is %v", address, brief(list))
		}
	}
	same(t, "an address in between", []string{"build.oci.b-2 1 create"}, brief(history(t, b.Open(), "build.oci.b-2")))
}

func testHistoryDeleted(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	commit(t, l, state.Batch{Put: []state.Record{Record("build.oci.a")}, History: revisions("build.oci.a", "create")})
	commit(t, l, state.Batch{Delete: []string{"build.oci.a"}, History: revisions("build.oci.a", "delete")})
	same(t, "after its deletion", []string{"build.oci.a 2 delete", "build.oci.a 1 create"}, brief(history(t, b.Open(), "build.oci.a")))
	commit(t, l, state.Batch{Put: []state.Record{Record("build.oci.a")}, History: revisions("build.oci.a", "create")})
	same(t, "when it is there again", []string{"build.oci.a 3 create", "build.oci.a 2 delete", "build.oci.a 1 create"}, brief(history(t, b.Open(), "")))
}

// marked is a record that can be told from others.
func marked(address, mark string) state.Record {
	r := Record(address)
	r.Plugin = mark
	return r
}

func testMove(t *testing.T, b Backend) {
	for name, c := range map[string]struct {
		batch   state.Batch
		records string // address=mark, in order
		history []string
	}{
		"a record with its history": {state.Batch{Move: []state.Move{{From: "a", To: "z"}}}, "b=B c=C z=A",
			[]string{"b 1 B1", "c 1 C1", "d 2 D2", "d 1 D1", "z 2 A2", "z 1 A1"}},
		"onto another record": {state.Batch{Move: []state.Move{{From: "a", To: "b"}}}, "b=A c=C",
			[]string{"b 2 A2", "b 1 A1", "c 1 C1", "d 2 D2", "d 1 D1"}},
		"onto the history of a deleted one": {state.Batch{Move: []state.Move{{From: "c", To: "d"}}}, "a=A b=B d=C",
			[]string{"a 2 A2", "a 1 A1", "b 1 B1", "d 1 C1"}},
		"a chain": {state.Batch{Move: []state.Move{{From: "a", To: "b"}, {From: "b", To: "c"}, {From: "c", To: "e"}}}, "b=A c=B e=C",
			[]string{"b 2 A2", "b 1 A1", "c 1 B1", "d 2 D2", "d 1 D1", "e 1 C1"}},
		"a swap": {state.Batch{Move: []state.Move{{From: "a", To: "b"}, {From: "b", To: "a"}}}, "a=B b=A c=C",
			[]string{"a 1 B1", "b 2 A2", "b 1 A1", "c 1 C1", "d 2 D2", "d 1 D1"}},
		"what is not there": {state.Batch{Move: []state.Move{{From: "x", To: "a"}, {From: "d", To: "b"}}}, "a=A b=B c=C",
			[]string{"a 2 A2", "a 1 A1", "b 1 B1", "c 1 C1", "d 2 D2", "d 1 D1"}},
		"to itself": {state.Batch{Move: []state.Move{{From: "a", To: "a"}}}, "a=A b=B c=C",
			[]string{"a 2 A2", "a 1 A1", "b 1 B1", "c 1 C1", "d 2 D2", "d 1 D1"}},
		"before everything else": {state.Batch{Move: []state.Move{{From: "a", To: "z"}}, Delete: []string{"b"}, Put: []state.Record{marked("a", "new"), marked("z", "changed")},
			History: revisions("z", "Z")}, "a=new c=C z=changed", []string{"b 1 B1", "c 1 C1", "d 2 D2", "d 1 D1", "z 3 Z", "z 2 A2", "z 1 A1"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := lock(t, b.Open())
			defer l.Release(t.Context()) //nolint:errcheck // the next one says so
			start := &state.Archive{Snapshot: state.Snapshot{Format: state.Format, Lineage: "moves", Serial: 5, Records: map[string]state.Record{}}}
			for _, address := range []string{"a", "b", "c"} {
				start.Records[address] = marked(address, strings.ToUpper(address))
			}
			for _, text := range []string{"a 2 A2", "a 1 A1", "b 1 B1", "c 1 C1", "d 2 D2", "d 1 D1"} {
				var r state.Revision
				var address string
				if _, err := fmt.Sscan(text, &address, &r.Number, &r.Action); err != nil {
					t.Fatal(err)
				}
				r.Record = Record(address)
				start.History = append(start.History, r)
			}
			if err := l.Replace(t.Context(), start); err != nil {
				t.Fatal(err)
			}
			commit(t, l, c.batch)
			a := archive(t, b.Open())
			var records []string
			for address, r := range a.Records {
				records = append(records, address+"="+r.Plugin)
				if r.Address != address {
					t.Errorf("the record of %s says that it is of %s", address, r.Address)
				}
			}
			slices.Sort(records)
			if got := strings.Join(records, " "); got != c.records {
				t.Errorf("the records are %s, want %s", got, c.records)
			}
			same(t, "history", c.history, brief(a.History))
		})
	}
}

// A move that nobody can carry out refuses the whole batch.
func testBadMove(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	commit(t, l, state.Batch{Put: []state.Record{marked("a", "A"), marked("b", "B")}, History: revisions("a", "create")})
	for name, moves := range map[string][]state.Move{
		"two to one place":   {{From: "a", To: "c"}, {From: "b", To: "c"}},
		"one to two places":  {{From: "a", To: "c"}, {From: "a", To: "d"}},
		"to nowhere":         {{From: "a", To: ""}},
		"what has no name":   {{From: "", To: "c"}},
		"to a name of bytes": {{From: "a", To: "\xff"}},
	} {
		if _, err := l.Commit(t.Context(), state.Batch{Move: moves, Put: []state.Record{Record("with-it")}}); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	b.Damage(t, Item{Kind: "record", Name: "b"})
	if _, err := l.Commit(t.Context(), state.Batch{Move: []state.Move{{From: "a", To: "c"}, {From: "b", To: "d"}}}); err == nil || !strings.Contains(err.Error(), "b") {
		t.Errorf("a damaged record was moved: %v", err)
	}
	s := load(t, b.Open())
	if s.Serial != 1 || len(s.Records) != 1 || s.Records["a"].Plugin != "A" || !slices.Equal(s.Damaged, []string{"b"}) {
		t.Errorf("after refused moves: %+v", s)
	}
	same(t, "history", []string{"a 1 create"}, brief(history(t, b.Open(), "")))
}
