package session

import (
	"context"
	"sync"

	"github.com/davit-sh/davit/state"
)

// identifying is a store that tells the lineage of its state as soon as it is known: when it is read, and after the
// commit that makes it. Plugins mark what they make with it.
type identifying struct {
	state.Store
	tell func(ctx context.Context, lineage string) error

	mu      sync.Mutex
	lineage string
}

// Load implements state.Store.
func (s *identifying) Load(ctx context.Context) (*state.Snapshot, error) {
	snapshot, err := s.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lineage = snapshot.Lineage
	return snapshot, s.tell(ctx, snapshot.Lineage)
}

// Lock implements state.Store.
func (s *identifying) Lock(ctx context.Context, who state.Holder) (state.Lease, error) {
	lease, err := s.Store.Lock(ctx, who)
	if err != nil {
		return nil, err
	}
	return &identifyingLease{lease, s}, nil
}

type identifyingLease struct {
	state.Lease
	store *identifying
}

// Commit implements state.Lease.
func (l *identifyingLease) Commit(ctx context.Context, b state.Batch) (uint64, error) {
	serial, err := l.Lease.Commit(ctx, b)
	if err != nil {
		return serial, err
	}
	l.store.mu.Lock()
	known := l.store.lineage != ""
	l.store.mu.Unlock()
	if !known {
		_, err = l.store.Load(ctx)
	}
	return serial, err
}
