// Package local keeps a stack's state in one database file. docs/state.md describes the file.
//
// The file is locked only for the time of one transaction, so that a plan can read while another
// process applies; the right to write is a lease that is kept in the file itself.
package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/davit-sh/davit/state"
)

// Store is a state in a file.
type Store struct {
	path string
	ttl  time.Duration
	busy time.Duration
	now  func() time.Time

	gate   chan struct{} // one transaction of this process at a time; a mutex that a context can leave
	leases int           // under the gate: how many leases of this store have not been released
	kept   *file         // under the gate: open while there is a lease
	failed string        // under the gate: id of a lease that was perhaps written, and that nobody got
}

// Option changes how a store behaves.
type Option func(*Store)

// TTL sets how long a lease lasts without a heartbeat; 30 seconds if not given.
func TTL(d time.Duration) Option { return func(s *Store) { s.ttl = d } }

// Busy sets how long a transaction waits for that of another process; 10 seconds if not given.
func Busy(d time.Duration) Option { return func(s *Store) { s.busy = d } }

// Open returns the state in the file; the first Lock creates the file.
func Open(path string, options ...Option) (*Store, error) {
	s := &Store{path: path, ttl: 30 * time.Second, busy: 10 * time.Second, now: time.Now, gate: make(chan struct{}, 1)}
	for _, o := range options {
		o(s)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("the state %s is a folder: name a file", path)
	}
	return s, nil
}

// Close implements state.Store. It does not end leases.
func (s *Store) Close() error { return nil }

// Load implements state.Store.
func (s *Store) Load(ctx context.Context) (*state.Snapshot, error) {
	a, err := s.read(ctx, func(t tables, a *state.Archive) (func(), error) { return t.snapshot(&a.Snapshot) })
	if err != nil {
		return nil, err
	}
	return &a.Snapshot, nil
}

// Archive implements state.Store.
func (s *Store) Archive(ctx context.Context) (*state.Archive, error) {
	return s.read(ctx, func(t tables, a *state.Archive) (func(), error) {
		snapshot, err1 := t.snapshot(&a.Snapshot)
		history, err2 := t.history("", a)
		return func() { snapshot(); history() }, errors.Join(err1, err2)
	})
}

// History implements state.Store.
func (s *Store) History(ctx context.Context, address string) ([]state.Revision, error) {
	a, err := s.read(ctx, func(t tables, a *state.Archive) (func(), error) { return t.history(address, a) })
	if err != nil {
		return nil, err
	}
	return a.History, nil
}

// read runs a reading transaction, and then, after releasing the file, the function that it has returned. It does nothing if the file
// does not exist.
func (s *Store) read(ctx context.Context, fn func(tables, *state.Archive) (func(), error)) (*state.Archive, error) {
	empty := func() *state.Archive {
		return &state.Archive{Snapshot: state.Snapshot{Format: state.Format, Records: map[string]state.Record{}, Operations: map[string]state.Operation{}}}
	}
	if err := ctx.Err(); err != nil {
		return nil, s.explain("reading", err)
	}
	if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		return empty(), nil
	}
	a := empty()
	var finish func()
	err := s.transact(ctx, false, func(db *bbolt.DB) error {
		return db.View(func(tx *bbolt.Tx) error {
			t, err := open(tx, s.path)
			if err != nil {
				return err
			}
			finish, err = fn(t, a)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	finish()
	return a, nil
}

// update runs a writing transaction on an existing file.
func (s *Store) update(ctx context.Context, fn func(tables) error) error {
	return s.transact(ctx, true, func(db *bbolt.DB) error {
		return db.Update(func(tx *bbolt.Tx) error {
			t, err := open(tx, s.path)
			if err != nil {
				return err
			}
			return fn(t)
		})
	})
}

// Error is a failure to read or write the file.
type Error struct {
	Doing, Path string
	Err         error
}

func (e *Error) Error() string { return fmt.Sprintf("%s the state in %s: %v", e.Doing, e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// explain adds the action, the file and a hint to an error. Errors of package state are returned unchanged.
func (s *Store) explain(doing string, err error) error {
	var locked *state.LockedError
	var format *state.FormatError
	var own *Error
	switch {
	case errors.As(err, &locked), errors.As(err, &format), errors.As(err, &own), errors.Is(err, state.ErrLeaseLost):
		return err
	case errors.Is(err, state.ErrBusy):
		err = fmt.Errorf("%w for longer than %s: a process may have been suspended during a write", err, s.busy)
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		err = fmt.Errorf("the file is not a davit state, or is damaged (%w): replace it by a backup", err)
	case doing != "reading" && (errors.Is(err, fs.ErrPermission) || isReadOnly(err)):
		err = fmt.Errorf("%w: you may read this state but not write to it", err)
	}
	return &Error{Doing: doing, Path: s.path, Err: err}
}
