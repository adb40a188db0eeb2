package state_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/davit-sh/davit/state"
)

// slow is a lease whose first commit waits until it is told to go on.
type slow struct {
	state.Lease
	started chan struct{}
	goOn    chan error
	mu      sync.Mutex
	batches []state.Batch
}

func (s *slow) Commit(_ context.Context, b state.Batch) (uint64, error) {
	s.mu.Lock()
	s.batches = append(s.batches, b)
	n := len(s.batches)
	s.mu.Unlock()
	if n == 1 {
		close(s.started)
		return uint64(n), <-s.goOn
	}
	return uint64(n), nil
}

// What comes while a commit is being written shares the next one, and each caller gets its own answer.
func TestGroup(t *testing.T) {
	s := &slow{started: make(chan struct{}), goOn: make(chan error)}
	g := state.Group(s)
	failed := errors.New("disk full")
	first := make(chan error, 1)
	go func() {
		_, err := g.Commit(t.Context(), state.Batch{Put: []state.Record{{Address: "a"}}})
		first <- err
	}()
	<-s.started
	var wg sync.WaitGroup
	var entered sync.WaitGroup
	for _, address := range []string{"b", "c", "d"} {
		entered.Add(1)
		wg.Go(func() {
			entered.Done()
			if _, err := g.Commit(t.Context(), state.Batch{Put: []state.Record{{Address: address}}}); err != nil {
				t.Errorf("%s: %v", address, err)
			}
		})
	}
	entered.Wait()
	s.goOn <- failed
	if err := <-first; !errors.Is(err, failed) {
		t.Errorf("the first caller got %v", err)
	}
	wg.Wait()
	var rest []string
	for _, b := range s.batches[1:] {
		for _, r := range b.Put {
			rest = append(rest, r.Address)
		}
	}
	slices.Sort(rest)
	if !slices.Equal(rest, []string{"b", "c", "d"}) {
		t.Errorf("the other batches hold %v", rest)
	}
	if len(s.batches) > 4 {
		t.Errorf("%d writes for four commits", len(s.batches))
	}
}
