// Package memory keeps a state for the length of a test.
package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/davit-sh/davit/state"
)

// Store is a state in memory.
type Store struct {
	mu       sync.Mutex
	snapshot state.Snapshot
	history  map[string][]state.Revision // by address, oldest first
	holder   *lease
}

// New returns an empty state.
func New() *Store {
	return &Store{snapshot: state.Snapshot{Format: state.Format, Records: map[string]state.Record{}, Operations: map[string]state.Operation{}},
		history: map[string][]state.Revision{}}
}

// Lock implements state.Store.
func (s *Store) Lock(_ context.Context, who state.Holder) (state.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != nil {
		return nil, &state.LockedError{Holder: s.holder.who}
	}
	who.ID = uuid.NewString()
	s.holder = &lease{store: s, who: who, lost: make(chan struct{})}
	return s.holder, nil
}

// Load implements state.Store.
func (s *Store) Load(context.Context) (*state.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.snapshot
	out.Records, out.Operations, out.Outputs = maps.Clone(out.Records), maps.Clone(out.Operations), maps.Clone(out.Outputs)
	return &out, nil
}

// History implements state.Store.
func (s *Store) History(_ context.Context, address string) ([]state.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []state.Revision
	for _, a := range slices.Sorted(maps.Keys(s.history)) {
		if address == "" || a == address {
			for _, r := range slices.Backward(s.history[a]) {
				list = append(list, r)
			}
		}
	}
	return list, nil
}

// Unlock implements state.Store.
func (s *Store) Unlock(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder == nil || s.holder.who.ID != id {
		return fmt.Errorf("there is no lock %q", id)
	}
	s.holder = nil
	return nil
}

// Close implements state.Store.
func (s *Store) Close() error { return nil }

type lease struct {
	store *Store
	who   state.Holder
	once  sync.Once
	lost  chan struct{}
}

// Commit implements state.Lease.
func (l *lease) Commit(_ context.Context, b state.Batch) (uint64, error) {
	s := l.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != l {
		l.once.Do(func() { close(l.lost) })
		return 0, state.ErrLeaseLost
	}
	if s.snapshot.Lineage == "" {
		s.snapshot.Lineage = uuid.NewString()
	}
	for _, m := range b.Move {
		if r, ok := s.snapshot.Records[m.From]; ok {
			delete(s.snapshot.Records, m.From)
			r.Address = m.To
			s.snapshot.Records[m.To] = r
		}
		if h, ok := s.history[m.From]; ok {
			delete(s.history, m.From)
			s.history[m.To] = h
		}
	}
	for _, d := range b.Delete {
		delete(s.snapshot.Records, d)
	}
	for _, r := range b.Put {
		s.snapshot.Records[r.Address] = r
	}
	for _, id := range b.End {
		delete(s.snapshot.Operations, id)
	}
	for _, o := range b.Begin {
		s.snapshot.Operations[o.ID] = o
	}
	if b.Outputs != nil {
		s.snapshot.Outputs = map[string]json.RawMessage{}
		maps.Copy(s.snapshot.Outputs, b.Outputs)
	}
	for _, r := range b.History {
		list := s.history[r.Record.Address]
		r.Number = 1
		if n := len(list); n > 0 {
			r.Number = list[n-1].Number + 1
		}
		list = append(list, r)
		s.history[r.Record.Address] = list[max(0, len(list)-state.KeepRevisions):]
	}
	s.snapshot.Serial++
	return s.snapshot.Serial, nil
}

// Replace implements state.Lease.
func (l *lease) Replace(_ context.Context, a *state.Archive) error {
	s := l.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != l {
		l.once.Do(func() { close(l.lost) })
		return state.ErrLeaseLost
	}
	s.snapshot = a.Snapshot
	s.snapshot.Records, s.snapshot.Operations = maps.Clone(a.Records), maps.Clone(a.Operations)
	if s.snapshot.Records == nil {
		s.snapshot.Records = map[string]state.Record{}
	}
	if s.snapshot.Operations == nil {
		s.snapshot.Operations = map[string]state.Operation{}
	}
	s.history = map[string][]state.Revision{}
	for _, r := range slices.Backward(a.History) {
		s.history[r.Record.Address] = append(s.history[r.Record.Address], r)
	}
	return nil
}

// Lost implements state.Lease.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Release implements state.Lease.
func (l *lease) Release(context.Context) error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.store.holder == l {
		l.store.holder = nil
	}
	return nil
}
