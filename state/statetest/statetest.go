// Package statetest is the conformance suite of state backends.
package statetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davit-sh/davit/state"
)

// Run checks a backend. open returns a store; two calls in one test return stores of the same
// state, as two processes would have them.
func Run(t *testing.T, fresh func(t *testing.T) (open func() state.Store)) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, func() state.Store){
		"an empty state":                   testEmpty,
		"what is committed is there":       testCommit,
		"one holds the lease":              testLock,
		"a lease that was ended is fenced": testFencing,
		"readers see whole commits":        testAtomic,
		"commits share":                    testGroup,
	} {
		t.Run(name, func(t *testing.T) {
			open := fresh(t)
			check(t, func() state.Store {
				s := open()
				t.Cleanup(func() { _ = s.Close() })
				return s
			})
		})
	}
}

// Record is a record for tests.
func Record(address string) state.Record {
	return state.Record{
		Address: address, Kind: "build", Type: "oci", Plugin: "oci", Status: state.StatusOK, Private: []byte{0, 1, 2},
		Outputs: json.RawMessage(`{"type":"string","value":"x"}`), DependsOn: []string{"source.git.a"},
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

func testEmpty(t *testing.T, open func() state.Store) {
	s := load(t, open())
	if s.Serial != 0 || s.Lineage != "" || len(s.Records) != 0 || s.Format != state.Format {
		t.Errorf("an empty state is %+v", s)
	}
}

func testCommit(t *testing.T, open func() state.Store) {
	store := open()
	l := lock(t, store)
	op := state.Operation{ID: "op", Address: "build.oci.a", Kind: "build", Type: "oci", Action: "build", Begun: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	first, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{Record("build.oci.a"), Record("build.oci.b")}, Begin: []state.Operation{op},
		Outputs: map[string]json.RawMessage{"o": json.RawMessage(`1`)}})
	if err != nil {
		t.Fatal(err)
	}
	s := load(t, open())
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
	after := load(t, open())
	if diff := cmp.Diff(map[string]state.Record{"build.oci.b": changed}, after.Records); diff != "" || len(after.Operations) != 0 || len(after.Outputs) != 0 {
		t.Errorf("records (-want +got):\n%s\noperations %v, outputs %v", diff, after.Operations, after.Outputs)
	}
	if after.Lineage != s.Lineage {
		t.Errorf("the lineage moved from %s to %s", s.Lineage, after.Lineage)
	}
}

func testLock(t *testing.T, open func() state.Store) {
	l := lock(t, open())
	_, err := open().Lock(t.Context(), state.Holder{Who: "other@host"})
	var locked *state.LockedError
	if !errors.As(err, &locked) || locked.Holder.Who != "tester@somewhere-else" || locked.Holder.What != "testing" || locked.Holder.ID == "" {
		t.Fatalf("a second lock: %v", err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Errorf("releasing twice: %v", err)
	}
	lock(t, open())
}

func testFencing(t *testing.T, open func() state.Store) {
	store := open()
	old := lock(t, store)
	_, err := open().Lock(t.Context(), state.Holder{})
	var locked *state.LockedError
	if !errors.As(err, &locked) {
		t.Fatal(err)
	}
	if err := open().Unlock(t.Context(), "another"); err == nil {
		t.Error("a lock that is not there was ended")
	}
	if err := open().Unlock(t.Context(), locked.Holder.ID); err != nil {
		t.Fatal(err)
	}
	now := lock(t, open())
	if _, err := old.Commit(t.Context(), state.Batch{Put: []state.Record{Record("build.oci.old")}}); !errors.Is(err, state.ErrLeaseLost) {
		t.Fatalf("the old holder's commit: %v", err)
	}
	select {
	case <-old.Lost():
	case <-time.After(10 * time.Second):
		t.Error("the old holder was not told")
	}
	if err := old.Release(t.Context()); err != nil {
		t.Errorf("releasing a lost lease: %v", err)
	}
	if _, err := now.Commit(t.Context(), state.Batch{Put: []state.Record{Record("build.oci.new")}}); err != nil {
		t.Fatal(err)
	}
	if s := load(t, open()); len(s.Records) != 1 || s.Records["build.oci.new"].Address == "" {
		t.Errorf("records %v", s.Records)
	}
}

func testAtomic(t *testing.T, open func() state.Store) {
	l := lock(t, open())
	reader := open()
	done := make(chan error, 1)
	go func() {
		for i := range 30 {
			var b state.Batch
			for j := range 5 {
				r := Record(fmt.Sprintf("build.oci.r%d", j))
				r.Type = fmt.Sprint(i)
				b.Put = append(b.Put, r)
			}
			if _, err := l.Commit(context.Background(), b); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			return
		default:
		}
		types := map[string]bool{}
		for _, r := range load(t, reader).Records {
			types[r.Type] = true
		}
		if len(types) > 1 {
			t.Fatalf("a reader saw parts of several commits: %v", types)
		}
	}
}

func testGroup(t *testing.T, open func() state.Store) {
	g := state.Group(lock(t, open()))
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			address := fmt.Sprintf("build.oci.g%d", i)
			id := fmt.Sprint(i)
			if _, err := g.Commit(t.Context(), state.Batch{Begin: []state.Operation{{ID: id, Address: address}}}); err != nil {
				t.Error(err)
			}
			if _, err := g.Commit(t.Context(), state.Batch{Put: []state.Record{Record(address)}, End: []string{id}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	s := load(t, open())
	if len(s.Records) != 32 || len(s.Operations) != 0 {
		t.Errorf("%d records and %d open operations", len(s.Records), len(s.Operations))
	}
}
