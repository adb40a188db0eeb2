package statetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davit-sh/davit/state"
)

func testReplace(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	commit(t, l, state.Batch{Put: []state.Record{Record("old.a"), Record("both")}, Begin: []state.Operation{{ID: "old"}},
		Outputs: map[string]json.RawMessage{"old": json.RawMessage(`1`)}, History: append(revisions("old.a", "create"), revisions("both", "create")...)})
	want := &state.Archive{
		Snapshot: state.Snapshot{Format: state.Format, Lineage: "another", Serial: 41,
			Records:    map[string]state.Record{"both": marked("both", "new"), "new": Record("new")},
			Operations: map[string]state.Operation{"new": {ID: "new", Address: "new", Begun: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}},
			Outputs:    map[string]json.RawMessage{"new": json.RawMessage(`{"a":[1]}`)}},
	}
	for n := range uint64(state.KeepRevisions + 5) {
		want.History = append(want.History, state.Revision{Number: n + 3, Action: "update", Record: Record("both")})
	}
	want.History = append(want.History, state.Revision{Number: 9, Action: "create", Record: Record("a-new")})
	given := *want
	given.History = slices.Clone(want.History)
	rand.Shuffle(len(given.History), func(i, j int) { given.History[i], given.History[j] = given.History[j], given.History[i] }) //nolint:gosec // any order will do
	if err := l.Replace(t.Context(), &given); err != nil {
		t.Fatal(err)
	}
	want.History = state.SortHistory(want.History)
	if n := len(want.History); n != 1+state.KeepRevisions || want.History[0].Number != 9 || want.History[1].Number != state.KeepRevisions+7 {
		t.Fatalf("the order is %v", brief(want.History))
	}
	if diff := cmp.Diff(want, archive(t, b.Open())); diff != "" {
		t.Errorf("what was replaced (-want +got):\n%s", diff)
	}
	// It goes on from there: serial, lineage and numbers.
	if serial := commit(t, l, state.Batch{History: append(revisions("both", "update"), revisions("old.a", "create")...)}); serial != 42 {
		t.Errorf("the next serial is %d", serial)
	}
	a := archive(t, b.Open())
	if a.Lineage != "another" || a.Serial != 42 {
		t.Errorf("lineage %q, serial %d", a.Lineage, a.Serial)
	}
	if list := history(t, b.Open(), "both"); len(list) != state.KeepRevisions || list[0].Number != state.KeepRevisions+8 {
		t.Errorf("the history goes on as %v", brief(list))
	}
	same(t, "what was there before is gone", []string{"old.a 1 create"}, brief(history(t, b.Open(), "old.a")))
}

// A state that cannot be is refused, and the old one stays whole.
func testBadReplace(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	commit(t, l, state.Batch{Put: []state.Record{Record("a")}, History: revisions("a", "create")})
	before := archive(t, b.Open())
	broken := Record("z")
	broken.Config = json.RawMessage(`{`)
	for name, spoil := range map[string]func(*state.Archive){
		"no lineage":            func(a *state.Archive) { a.Lineage = "" },
		"a record elsewhere":    func(a *state.Archive) { a.Records["x"] = Record("y") },
		"an operation in place": func(a *state.Archive) { a.Operations = map[string]state.Operation{"x": {ID: "y"}} },
		"no JSON":               func(a *state.Archive) { a.Records["z"] = broken },
		"a revision twice":      func(a *state.Archive) { a.History = append(a.History, a.History[0]) },
		"no number":             func(a *state.Archive) { a.History = revisions("x", "create") },
	} {
		bad := *before
		bad.Records, bad.History, bad.Serial = maps.Clone(before.Records), slices.Clone(before.History), 99
		spoil(&bad)
		if err := l.Replace(t.Context(), &bad); err == nil {
			t.Errorf("%s was written", name)
		}
		if diff := cmp.Diff(before, archive(t, b.Open())); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", name, diff)
		}
	}
}

func testBig(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	r := Record("build.oci.big")
	r.Private = make([]byte, 4<<20)
	for i := range r.Private { // nothing that could be packed
		r.Private[i] = byte(rand.Uint32()) //nolint:gosec // any byte will do
	}
	r.Config = json.RawMessage(`{"text":"` + strings.Repeat(`x\n`, 1<<20) + `"}`)
	op := state.Operation{ID: "big", Address: r.Address, Private: r.Private, Checkpoint: &state.Checkpoint{Private: r.Private}}
	output := json.RawMessage(`"` + strings.Repeat("ü", 1<<20) + `"`)
	commit(t, l, state.Batch{Put: []state.Record{Record("build.oci.small"), r}, Begin: []state.Operation{op},
		Outputs: map[string]json.RawMessage{"o": output}, History: []state.Revision{{Record: r}}})
	a := archive(t, b.Open())
	if got := a.Records[r.Address]; !bytes.Equal(got.Private, r.Private) || !bytes.Equal(got.Config, r.Config) {
		t.Errorf("the record has %d and %d bytes, or others", len(got.Private), len(got.Config))
	}
	if got := a.Operations["big"]; got.Checkpoint == nil || !bytes.Equal(got.Checkpoint.Private, r.Private) || !bytes.Equal(a.Outputs["o"], output) {
		t.Error("the operation or the output is another one")
	}
	if len(a.History) != 1 || !bytes.Equal(a.History[0].Record.Private, r.Private) || len(a.Damaged) != 0 {
		t.Errorf("%d revisions, damaged %v", len(a.History), a.Damaged)
	}
	commit(t, l, state.Batch{Put: []state.Record{Record(r.Address)}, End: []string{"big"}, Outputs: map[string]json.RawMessage{}})
	if s := load(t, b.Open()); len(s.Records) != 2 || len(s.Records[r.Address].Private) != 3 || len(s.Operations)+len(s.Outputs)+len(s.Damaged) != 0 {
		t.Errorf("after it became small again: %d records, damaged %v", len(s.Records), s.Damaged)
	}
}

func testMany(t *testing.T, b Backend) {
	const n = 5000
	l := lock(t, b.Open())
	var batch state.Batch
	for i := range n {
		r := marked(fmt.Sprintf("build.oci.r[%d]", i), "first")
		batch.Put, batch.History = append(batch.Put, r), append(batch.History, state.Revision{Action: "create", Record: r})
	}
	commit(t, l, batch)
	commit(t, l, state.Batch{Put: []state.Record{marked("build.oci.r[77]", "second")}, Delete: []string{"build.oci.r[78]"}})
	a := archive(t, b.Open())
	if len(a.Records) != n-1 || len(a.History) != n || a.Serial != 2 {
		t.Errorf("%d records and %d revisions at serial %d", len(a.Records), len(a.History), a.Serial)
	}
	for address, r := range a.Records {
		if r.Address != address || (r.Plugin == "second") != (address == "build.oci.r[77]") {
			t.Errorf("under %s is %+v", address, r)
		}
	}
}

// One damaged item is named by what it is. Everything else can be read and written, and the item itself
// can be written again or taken out.
func testDamage(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	commit(t, l, state.Batch{
		Put:     []state.Record{Record("build.oci.good"), Record("build.oci.bad"), Record("build.oci.worse")},
		Begin:   []state.Operation{{ID: "one", Address: "build.oci.bad"}, {ID: "two", Address: "build.oci.good"}},
		Outputs: map[string]json.RawMessage{"bad": json.RawMessage(`"x"`), "good": json.RawMessage(`1`)},
		History: append(revisions("build.oci.bad", "create", "update", "update"), revisions("build.oci.good", "create")...),
	})
	for _, what := range []Item{{Kind: "record", Name: "build.oci.bad"}, {Kind: "record", Name: "build.oci.worse"}, {Kind: "operation", Name: "one"},
		{Kind: "output", Name: "bad"}, {Kind: "revision", Name: "build.oci.bad", Number: 2}} {
		b.Damage(t, what)
	}
	named := []string{"build.oci.bad", "build.oci.worse", "operation one", "output bad"}
	s := load(t, b.Open())
	slices.Sort(s.Damaged)
	if !slices.Equal(s.Damaged, named) || len(s.Records) != 1 || len(s.Operations) != 1 || len(s.Outputs) != 1 {
		t.Errorf("the state is %+v", s)
	}
	a := archive(t, b.Open())
	slices.Sort(a.Damaged)
	if want := append(slices.Clone(named), "revision 2 of build.oci.bad"); !slices.Equal(a.Damaged, want) {
		t.Errorf("damaged with the history: %q, want %q", a.Damaged, want)
	}
	left := []string{"build.oci.bad 3 update", "build.oci.bad 1 create", "build.oci.good 1 create"}
	same(t, "the history that is left", left, brief(a.History))
	same(t, "the history that is left", left[:2], brief(history(t, b.Open(), "build.oci.bad")))
	// What is damaged is written again, or goes.
	commit(t, l, state.Batch{Put: []state.Record{Record("build.oci.bad")}, Delete: []string{"build.oci.worse"}, End: []string{"one"},
		Outputs: map[string]json.RawMessage{"good": json.RawMessage(`1`)}, History: revisions("build.oci.bad", "restore")})
	s = load(t, b.Open())
	if len(s.Damaged) != 0 || len(s.Records) != 2 || len(s.Operations) != 1 {
		t.Errorf("after it was mended: %+v", s)
	}
	same(t, "the history goes on", []string{"build.oci.bad 4 restore", "build.oci.bad 3 update", "build.oci.bad 1 create"}, brief(history(t, b.Open(), "build.oci.bad")))
}

// A state of a newer davit is refused by everything that reads or writes it, and is not touched.
func testNewer(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	commit(t, l, state.Batch{Put: []state.Record{Record("a")}})
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Newer(t)
	store := b.Open()
	for name, call := range map[string]func() error{
		"Load":    func() error { _, err := store.Load(t.Context()); return err },
		"Archive": func() error { _, err := store.Archive(t.Context()); return err },
		"History": func() error { _, err := store.History(t.Context(), "a"); return err },
		"Lock":    func() error { _, err := store.Lock(t.Context(), state.Holder{}); return err },
		"Unlock":  func() error { return store.Unlock(t.Context(), "x") },
	} {
		var newer *state.FormatError
		if err := call(); !errors.As(err, &newer) || newer.Got != state.Format+1 || newer.Know != state.Format || !strings.Contains(err.Error(), "use a newer davit") {
			t.Errorf("%s of a newer format: %v", name, err)
		}
	}
}
