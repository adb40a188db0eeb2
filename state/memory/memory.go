// Package memory keeps a state in memory, for tests. It keeps the stored form of each item,
// so that values are encoded and decoded as in a real backend.
package memory

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/davit-sh/davit/state"
)

// Store is a state in memory.
type Store struct {
	mu     sync.Mutex
	data   tables
	holder *lease
}

// New returns an empty state.
func New() *Store { return &Store{data: empty()} }

// Lock implements state.Store. The lease does not expire: it ends with the process.
func (s *Store) Lock(ctx context.Context, who state.Holder) (state.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if s.holder != nil {
		return nil, &state.LockedError{Holder: s.holder.who}
	}
	who.ID = uuid.NewString()
	s.holder = &lease{store: s, who: who, lost: make(chan struct{})}
	return s.holder, nil
}

// usable returns an error for an ended context and for a state of a newer davit.
func (s *Store) usable(ctx context.Context) error {
	if s.data.format > state.Format {
		return &state.FormatError{Where: "the state in memory", Got: s.data.format, Know: state.Format}
	}
	return ctx.Err()
}

// Load implements state.Store.
func (s *Store) Load(ctx context.Context) (*state.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	return s.data.snapshot(), nil
}

// Archive implements state.Store.
func (s *Store) Archive(ctx context.Context) (*state.Archive, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	a := &state.Archive{Snapshot: *s.data.snapshot()}
	history, damaged := s.data.revisions("")
	a.History, a.Damaged = history, append(a.Damaged, damaged...)
	return a, nil
}

// History implements state.Store.
func (s *Store) History(ctx context.Context, address string) ([]state.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	list, _ := s.data.revisions(address)
	return list, nil
}

// Unlock implements state.Store.
func (s *Store) Unlock(ctx context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return err
	}
	if s.holder == nil || s.holder.who.ID != id {
		return fmt.Errorf("the lock %q does not exist", id)
	}
	s.holder.lose()
	s.holder = nil
	return nil
}

// Close implements state.Store.
func (s *Store) Close() error { return nil }

// Damage spoils the stored form of one item: a "record", an "operation", an "output" or a "revision", which has
// a number. It panics when there is no such item.
func (s *Store) Damage(kind, name string, number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.data.stored(kind, name, number)
	b[len(b)-1] ^= 1
}

// SetFormat makes the state one that was written by a davit of another format.
func (s *Store) SetFormat(format int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.format = format
}

type lease struct {
	store *Store
	who   state.Holder
	once  sync.Once
	lost  chan struct{}
}

func (l *lease) lose() { l.once.Do(func() { close(l.lost) }) }

// write calls fn with a copy of the tables, and keeps the copy if fn returns no error.
func (l *lease) write(ctx context.Context, fn func(*tables) error) error {
	s := l.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != l {
		l.lose()
		return state.ErrLeaseLost
	}
	if err := s.usable(ctx); err != nil {
		return err
	}
	changed := s.data.clone()
	if err := fn(&changed); err != nil {
		return err
	}
	s.data = changed
	return nil
}

// Commit implements state.Lease.
func (l *lease) Commit(ctx context.Context, b state.Batch) (serial uint64, err error) {
	if err := b.Check(); err != nil {
		return 0, err
	}
	err = l.write(ctx, func(t *tables) error {
		if err := t.commit(b); err != nil {
			return err
		}
		serial = t.serial
		return nil
	})
	return serial, err
}

// Replace implements state.Lease.
func (l *lease) Replace(ctx context.Context, a *state.Archive) error {
	if err := a.Check(); err != nil {
		return err
	}
	return l.write(ctx, func(t *tables) error { return t.replace(a) })
}

// Lost implements state.Lease.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Until implements state.Lease.
func (l *lease) Until() time.Time { return time.Time{} }

// Release implements state.Lease.
func (l *lease) Release(context.Context) error {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.store.holder == l {
		l.store.holder = nil
	}
	return nil
}
