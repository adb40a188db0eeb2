package statetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/davit-sh/davit/state"
)

func testLock(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	_, err := b.Open().Lock(t.Context(), state.Holder{Who: "other@host"})
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
	lock(t, b.Open())
}

func testFencing(t *testing.T, b Backend) {
	store := b.Open()
	old := lock(t, store)
	_, err := b.Open().Lock(t.Context(), state.Holder{})
	var locked *state.LockedError
	if !errors.As(err, &locked) {
		t.Fatal(err)
	}
	if err := b.Open().Unlock(t.Context(), "another"); err == nil {
		t.Error("a lock that is not there was ended")
	}
	if err := b.Open().Unlock(t.Context(), locked.Holder.ID); err != nil {
		t.Fatal(err)
	}
	now := lock(t, b.Open())
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
	if s := load(t, b.Open()); len(s.Records) != 1 || s.Records["build.oci.new"].Address == "" {
		t.Errorf("records %v", s.Records)
	}
}

func testAtomic(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	reader := b.Open()
	done := make(chan error, 1)
	go func() {
		for i := range 30 {
			var batch state.Batch
			for j := range 5 {
				r := Record(fmt.Sprintf("build.oci.r%d", j))
				r.Type = fmt.Sprint(i)
				batch.Put = append(batch.Put, r)
			}
			if _, err := l.Commit(context.Background(), batch); err != nil {
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

func testGroup(t *testing.T, b Backend) {
	g := state.Group(lock(t, b.Open()))
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
	s := load(t, b.Open())
	if len(s.Records) != 32 || len(s.Operations) != 0 {
		t.Errorf("%d records and %d open operations", len(s.Records), len(s.Operations))
	}
}

// A holder whose lease was ended by another hears of it, without writing anything.
func testLost(t *testing.T, b Backend) {
	old := lock(t, b.Open())
	if err := b.Open().Unlock(t.Context(), leaseID(t, b)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-old.Lost():
	case <-time.After(time.Minute):
		t.Error("the old holder was not told")
	}
	if _, err := old.Commit(t.Context(), state.Batch{Put: []state.Record{Record("build.oci.old")}}); !errors.Is(err, state.ErrLeaseLost) {
		t.Errorf("the old holder's commit: %v", err)
	}
	if s := load(t, b.Open()); len(s.Records) != 0 {
		t.Errorf("it wrote %v", s.Records)
	}
}

// What a holder is told of its lease is what the others are told.
func testUntil(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	before := l.Until()
	_, err := b.Open().Lock(t.Context(), state.Holder{Who: "asking"})
	var locked *state.LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("nobody holds the lease: %v", err)
	}
	commit(t, l, state.Batch{Put: []state.Record{Record("build.oci.one")}})
	after := l.Until()
	if told := locked.Holder.Expires; told.Before(before) || after.Before(told) {
		t.Errorf("the lease lasted until %s, then until %s, and another was told %s", before, after, told)
	}
	if !after.IsZero() && !after.After(time.Now()) {
		t.Errorf("the lease was renewed just now, and is over since %s", after)
	}
}

// leaseID is the id of the lease that somebody holds.
func leaseID(t *testing.T, b Backend) string {
	t.Helper()
	_, err := b.Open().Lock(t.Context(), state.Holder{Who: "asking"})
	var locked *state.LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("nobody holds the lease: %v", err)
	}
	return locked.Holder.ID
}

// Who released a lease, once or twice, or lost it, writes nothing and takes nobody's away.
func testReleased(t *testing.T, b Backend) {
	store := b.Open()
	old := lock(t, store)
	for range 2 {
		if err := old.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := old.Commit(t.Context(), state.Batch{Put: []state.Record{Record("build.oci.old")}}); !errors.Is(err, state.ErrLeaseLost) {
		t.Errorf("a commit after the release: %v", err)
	}
	if err := old.Replace(t.Context(), &state.Archive{Snapshot: state.Snapshot{Lineage: "x", Serial: 7}}); !errors.Is(err, state.ErrLeaseLost) {
		t.Errorf("a replacement after the release: %v", err)
	}
	now := lock(t, store) // of the same process: only the lease tells the two apart
	if err := old.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Commit(t.Context(), state.Batch{Put: []state.Record{Record("build.oci.old")}}); !errors.Is(err, state.ErrLeaseLost) {
		t.Errorf("a commit under another's lease: %v", err)
	}
	leaseID(t, b) // somebody still holds it
	commit(t, now, state.Batch{Put: []state.Record{Record("build.oci.new")}})
	if s := load(t, b.Open()); len(s.Records) != 1 || s.Serial != 1 {
		t.Errorf("serial %d, records %v", s.Serial, s.Records)
	}
}

// Snapshot and history of an archive belong together.
func testArchive(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	reader := b.Open()
	done := make(chan error, 1)
	go func() {
		for i := range 30 {
			r := Record("build.oci.a")
			r.Type = fmt.Sprint(i + 1)
			if _, err := l.Commit(context.Background(), state.Batch{Put: []state.Record{r}, History: []state.Revision{{Record: r}}}); err != nil {
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
		a := archive(t, reader)
		if a.Serial == 0 {
			continue
		}
		if len(a.History) == 0 || a.History[0].Number != a.Serial || fmt.Sprint(a.Serial) != a.Records["build.oci.a"].Type {
			t.Fatalf("at serial %d the record is of %s and the history %+v", a.Serial, a.Records["build.oci.a"].Type, a.History)
		}
	}
}

// Commits of one lease at the same time are all written, one after the other.
func testConcurrent(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	var mu sync.Mutex
	serials := map[uint64]bool{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 4 {
				serial, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{Record(fmt.Sprintf("build.oci.c%d-%d", i, j))}})
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				serials[serial] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if s := load(t, b.Open()); len(s.Records) != 32 || len(serials) != 32 || s.Serial != 32 {
		t.Errorf("%d records and %d serials of 32 commits; the serial is %d", len(s.Records), len(serials), s.Serial)
	}
}

// A context that has ended ends every call, and nothing is written.
func testContexts(t *testing.T, b Backend) {
	l := lock(t, b.Open())
	commit(t, l, state.Batch{Put: []state.Record{Record("build.oci.a")}})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	store := b.Open()
	for name, call := range map[string]func() error{
		"Load":    func() error { _, err := store.Load(ended); return err },
		"Archive": func() error { _, err := store.Archive(ended); return err },
		"History": func() error { _, err := store.History(ended, ""); return err },
		"Commit": func() error {
			_, err := l.Commit(ended, state.Batch{Put: []state.Record{Record("build.oci.b")}})
			return err
		},
		"Replace": func() error {
			return l.Replace(ended, &state.Archive{Snapshot: state.Snapshot{Lineage: "x", Serial: 99}})
		},
		"Unlock": func() error { return store.Unlock(ended, "x") },
		"Lock":   func() error { _, err := store.Lock(ended, state.Holder{}); return err },
	} {
		if err := call(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s under a context that has ended: %v", name, err)
		}
	}
	if s := load(t, b.Open()); s.Serial != 1 || len(s.Records) != 1 {
		t.Errorf("serial %d, records %v", s.Serial, s.Records)
	}
	commit(t, l, state.Batch{Put: []state.Record{Record("build.oci.c")}}) // the lease is as good as before
}
