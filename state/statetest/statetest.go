// Package statetest is the conformance suite of state backends.
package statetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davit-sh/davit/state"
)

// Backend is one state, freshly made, and what a test can do to it.
type Backend struct {
	// Open returns a store; two calls return stores of the same state, as two processes would have them.
	// A backend whose leases beat should be opened with a short time to live: one test waits for the
	// loser of a lease to notice by itself.
	Open func() state.Store
	// Damage spoils the stored form of one item, as a bad disk would: the item is there and is not
	// what was written.
	Damage func(t *testing.T, what Item)
	// Newer makes the state one that a davit of the next format wrote.
	Newer func(t *testing.T)
}

// Item names one stored item.
type Item struct {
	Kind   string // "record", "operation", "output" or "revision"
	Name   string // address, id or name; of a revision the address
	Number uint64 // of a revision
}

// Run checks a backend: fresh makes a new and empty state for each test.
func Run(t *testing.T, fresh func(t *testing.T) Backend) {
	t.Helper()
	for _, c := range []struct {
		name  string
		check func(*testing.T, Backend)
	}{
		{"an empty state", testEmpty},
		{"what is committed is there", testCommit},
		{"a batch has its order", testBatchOrder},
		{"a batch that cannot be is refused whole", testBadBatch},
		{"what is loaded belongs to the caller", testOwnCopy},
		{"names of all kinds", testNames},
		{"one holds the lease", testLock},
		{"a lease that was ended is fenced", testFencing},
		{"a lease that was ended is noticed", testLost},
		{"a lease says how long it lasts", testUntil},
		{"a lease that was released writes nothing", testReleased},
		{"readers see whole commits", testAtomic},
		{"an archive is of one serial", testArchive},
		{"concurrent commits", testConcurrent},
		{"commits share", testGroup},
		{"revisions are numbered and pruned", testHistory},
		{"revisions of deleted instances stay", testHistoryDeleted},
		{"moves", testMove},
		{"moves that cannot be", testBadMove},
		{"a whole state is replaced", testReplace},
		{"a whole state that cannot be is refused", testBadReplace},
		{"big records", testBig},
		{"many records", testMany},
		{"damage is named and the rest is usable", testDamage},
		{"a newer format is refused", testNewer},
		{"contexts that have ended", testContexts},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := fresh(t)
			open := b.Open
			b.Open = func() state.Store {
				s := open()
				t.Cleanup(func() { _ = s.Close() })
				return s
			}
			c.check(t, b)
		})
	}
}

// Record is a record for tests.
func Record(address string) state.Record {
	return state.Record{
		Address: address, Kind: "build", Type: "oci", Plugin: "oci", Status: state.StatusOK, Private: []byte{0, 1, 2},
		Outputs: json.RawMessage(`{"type":"string","value":"x"}`), DependsOn: []string{"source.git.a"}, Claims: []string{"image:registry.example.com/a:1"},
		Updated: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func lock(t *testing.T, s state.Store) state.Lease {
	t.Helper()
	l, err := s.Lock(t.Context(), state.Holder{Who: "tester@somewhere-else", What: "testing"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Release(context.Background()) })
	return l
}

func load(t *testing.T, s state.Store) *state.Snapshot {
	t.Helper()
	snapshot, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return snapshot
}

func archive(t *testing.T, s state.Store) *state.Archive {
	t.Helper()
	a, err := s.Archive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func history(t *testing.T, s state.Store, address string) []state.Revision {
	t.Helper()
	list, err := s.History(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func commit(t *testing.T, l state.Lease, b state.Batch) uint64 {
	t.Helper()
	serial, err := l.Commit(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	return serial
}

func testEmpty(t *testing.T, b Backend) {
	s := load(t, b.Open())
	if s.Serial != 0 || s.Lineage != "" || len(s.Records) != 0 || s.Format != state.Format {
		t.Errorf("an empty state is %+v", s)
	}
	if a := archive(t, b.Open()); a.Serial != 0 || len(a.History) != 0 {
		t.Errorf("an empty state with its history is %+v", a)
	}
	l := lock(t, b.Open())
	if s := load(t, b.Open()); s.Serial != 0 || s.Lineage != "" {
		t.Errorf("a state that was locked and not written to is %+v", s)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func testCommit(t *testing.T, b Backend) {
	store := b.Open()
	l := lock(t, store)
	op := state.Operation{ID: "op", Address: "build.oci.a", Kind: "build", Type: "oci", Action: "build", Begun: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	first, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{Record("build.oci.a"), Record("build.oci.b")}, Begin: []state.Operation{op},
		Outputs: map[string]json.RawMessage{"o": json.RawMessage(`1`)}})
	if err != nil {
		t.Fatal(err)
	}
	s := load(t, b.Open())
	if diff := cmp.Diff(map[string]state.Record{"build.oci.a": Record("build.oci.a"), "build.oci.b": Record("build.oci.b")}, s.Records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]state.Operation{"op": op}, s.Operations); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
	if s.Serial != first || s.Lineage == "" || string(s.Outputs["o"]) != "1" {
		t.Errorf("serial %d (want %d), lineage %q, outputs %v", s.Serial, first, s.Lineage, s.Outputs)
	}
	changed := Record("build.oci.b")
	changed.Status = state.StatusPartial
	second, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{changed}, Delete: []string{"build.oci.a", "never.was.there"}, End: []string{"op", "nor this"}, Outputs: map[string]json.RawMessage{}})
	if err != nil || second != first+1 {
		t.Fatalf("serial %d after %d, %v", second, first, err)
	}
	after := load(t, b.Open())
	if diff := cmp.Diff(map[string]state.Record{"build.oci.b": changed}, after.Records); diff != "" || len(after.Operations) != 0 || len(after.Outputs) != 0 {
		t.Errorf("records (-want +got):\n%s\noperations %v, outputs %v", diff, after.Operations, after.Outputs)
	}
	if after.Lineage != s.Lineage {
		t.Errorf("the lineage moved from %s to %s", s.Lineage, after.Lineage)
	}
}

// What a batch says of the same thing twice has one meaning.
func testBatchOrder(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	commit(t, l, state.Batch{Put: []state.Record{Record("build.oci.a")}, Begin: []state.Operation{{ID: "x", Action: "first"}}})
	later := Record("build.oci.a")
	later.Status = state.StatusPartial
	commit(t, l, state.Batch{
		Delete: []string{"build.oci.a"}, Put: []state.Record{Record("build.oci.a"), later},
		End: []string{"x"}, Begin: []state.Operation{{ID: "x", Action: "second"}},
	})
	s := load(t, b.Open())
	if s.Records["build.oci.a"].Status != state.StatusPartial || s.Operations["x"].Action != "second" {
		t.Errorf("the records are %v, the operations %v", s.Records, s.Operations)
	}
}

// One wrong item refuses the batch, and nothing of it is written.
func testBadBatch(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	serial := commit(t, l, state.Batch{Put: []state.Record{Record("build.oci.a")}})
	bad := Record("build.oci.bad")
	bad.Config = json.RawMessage(`{"cut":`)
	for name, batch := range map[string]state.Batch{
		"a record without an address":   {Put: []state.Record{Record("")}},
		"a record that is no JSON":      {Put: []state.Record{bad}},
		"an operation without an id":    {Begin: []state.Operation{{}}},
		"an output without a name":      {Outputs: map[string]json.RawMessage{"": json.RawMessage(`1`)}},
		"a revision of nothing":         {History: []state.Revision{{}}},
		"an address with a zero byte":   {Put: []state.Record{Record("build.oci.a\x00b")}},
		"an address that is no text":    {Put: []state.Record{Record("build.oci.\xff")}},
		"an address that does not end ": {Put: []state.Record{Record(strings.Repeat("a", state.MaxName+1))}},
	} {
		batch.Put = append(batch.Put, Record("build.oci.with-it"))
		if _, err := l.Commit(t.Context(), batch); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	if s := load(t, b.Open()); s.Serial != serial || len(s.Records) != 1 {
		t.Errorf("serial %d (want %d), records %v", s.Serial, serial, s.Records)
	}
	if next := commit(t, l, state.Batch{Put: []state.Record{Record("build.oci.b")}}); next != serial+1 {
		t.Errorf("after refused commits the serial is %d, want %d", next, serial+1)
	}
}

// Changing what was given, or what was loaded, changes nothing of what is stored.
func testOwnCopy(t *testing.T, b Backend) {
	store := b.Open()
	l := lock(t, store)
	given := Record("build.oci.a")
	commit(t, l, state.Batch{Put: []state.Record{given}, Outputs: map[string]json.RawMessage{"o": json.RawMessage(`"x"`)}})
	given.DependsOn[0], given.Private[0] = "changed", 9
	first := load(t, store)
	first.Records["build.oci.a"].DependsOn[0] = "changed"
	first.Outputs["o"][1] = '!'
	delete(first.Records, "build.oci.a")
	s := load(t, store)
	if diff := cmp.Diff(Record("build.oci.a"), s.Records["build.oci.a"]); diff != "" || string(s.Outputs["o"]) != `"x"` {
		t.Errorf("the record (-want +got):\n%s\nthe outputs are %s", diff, s.Outputs)
	}
}

// Names are what they are: no backend's file names, separators or limits shine through.
func testNames(t *testing.T, b Backend) {
	names := []string{
		`build.oci.a`, `build.oci.A`, `build.oci.a.b`, `build.oci.a/b`, `build.oci.a//b/../c`, `../../etc/passwd`, `/`, `.`, `..`, ` `, "build.oci.a ",
		`module.x["a/b"].build.oci.y["c\"d"]`, `module.x["eu"].module.y[0].application.kubernetes.z["100%"]`, `a%2Fb`, `a?b#c&d=e+f`, `a\b`,
		`build.oci.ü["日本語"]`, "build.oci.u\u0308", `build.oci["🚢"]`, "tab\there", "line\nbreak", `<script>&amp;`, "\u2028", "\x01\x7f",
		"build.oci.long-" + strings.Repeat("x", 3000), "build.oci.long-" + strings.Repeat("x", 3001), strings.Repeat("日", state.MaxName/3),
	}
	l := lock(t, b.Open())
	batch := state.Batch{Outputs: map[string]json.RawMessage{}}
	for i, n := range names {
		batch.Put = append(batch.Put, Record(n))
		batch.Begin = append(batch.Begin, state.Operation{ID: n, Address: n})
		batch.Outputs[n] = json.RawMessage(fmt.Sprint(i))
		batch.History = append(batch.History, state.Revision{Action: "create", Record: Record(n)})
	}
	commit(t, l, batch)
	a := archive(t, b.Open())
	if len(a.Records) != len(names) || len(a.Operations) != len(names) || len(a.Outputs) != len(names) || len(a.History) != len(names) || len(a.Damaged) != 0 {
		t.Errorf("of %d names: %d records, %d operations, %d outputs, %d revisions, damaged: %q", len(names), len(a.Records), len(a.Operations), len(a.Outputs), len(a.History), a.Damaged)
	}
	for i, n := range names {
		if a.Records[n].Address != n || a.Operations[n].Address != n || string(a.Outputs[n]) != fmt.Sprint(i) {
			t.Errorf("%.80q is not what was written", n)
		}
		if list := history(t, b.Open(), n); len(list) != 1 || list[0].Record.Address != n || list[0].Number != 1 {
			t.Errorf("the history of %.80q is %+.200v", n, list)
		}
	}
	commit(t, l, state.Batch{Delete: names, End: names})
	if s := load(t, b.Open()); len(s.Records)+len(s.Operations) != 0 {
		t.Errorf("left after deleting all: %v %v", s.Records, s.Operations)
	}
}
