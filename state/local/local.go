// Package local keeps a stack's state in one database file.
//
// The file is open only for the time of one transaction, so that a plan can read while
// another process applies; the right to write is a lease that is kept in the file itself.
package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
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
	mu   sync.Mutex // one transaction of this process at a time: waiting for the file's lock is slow
}

// Option changes how a store behaves.
type Option func(*Store)

// TTL sets how long a lease lasts without a heartbeat; 30 seconds if not given.
func TTL(d time.Duration) Option { return func(s *Store) { s.ttl = d } }

// Busy sets how long a transaction waits for that of another process; 10 seconds if not given.
func Busy(d time.Duration) Option { return func(s *Store) { s.busy = d } }

// Open names the file; it is made by the first Lock.
func Open(path string, options ...Option) (*Store, error) {
	s := &Store{path: path, ttl: 30 * time.Second, busy: 10 * time.Second, now: time.Now}
	for _, o := range options {
		o(s)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, fmt.Errorf("state %s is a folder: name a file", path)
	}
	return s, nil
}

// Close implements state.Store.
func (s *Store) Close() error { return nil }

// view runs a reading transaction. A file that is not there yet is no error: fn is not called.
func (s *Store) view(fn func(*bbolt.Tx) error) error {
	if info, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err == nil && info.Size() == 0 {
		return s.failed("reading", errors.New("the file is empty: it was cut off; restore it from a backup, or remove it to begin anew"))
	}
	return s.transact(true, func(db *bbolt.DB) error { return db.View(fn) })
}

func (s *Store) update(fn func(*bbolt.Tx) error) error {
	return s.transact(false, func(db *bbolt.DB) error { return db.Update(fn) })
}

func (s *Store) transact(readOnly bool, fn func(*bbolt.DB) error) (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	doing := "writing"
	if readOnly {
		doing = "reading"
	}
	// The file is mapped into memory: reading a part that a full disk never gave is a fault. It
	// becomes a panic, as the database's own on pages that make no sense.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = s.failed(doing, fmt.Errorf("the file is damaged: %v", p))
		}
	}()
	db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: s.busy, ReadOnly: readOnly, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return s.failed(doing, err)
	}
	defer db.Close()
	if err := fn(db); err != nil {
		return s.failed(doing, err)
	}
	return nil
}

// failed says what went wrong with which file. What state's own errors say is enough.
func (s *Store) failed(doing string, err error) error {
	var locked *state.LockedError
	var format *state.FormatError
	var own *Error
	switch {
	case errors.As(err, &locked), errors.As(err, &format), errors.As(err, &own), errors.Is(err, state.ErrLeaseLost):
		return err
	case errors.Is(err, berrors.ErrTimeout):
		err = errors.New("another process keeps the file busy")
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		err = fmt.Errorf("the file is no davit state, or damaged (%w)", err)
	}
	return &Error{Doing: doing, Path: s.path, Err: err}
}

// Error is a failure to read or write the file.
type Error struct {
	Doing, Path string
	Err         error
}

func (e *Error) Error() string { return fmt.Sprintf("%s the state in %s: %v", e.Doing, e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// create makes the folder and the file, and lets git ignore davit's folder. The file is whole or
// not there: it is made under another name first.
func (s *Store) create() error {
	if _, err := os.Stat(s.path); err == nil {
		return nil
	}
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s.failed("making", err)
	}
	if filepath.Base(dir) == ".davit" {
		ignore := filepath.Join(dir, ".gitignore")
		if _, err := os.Stat(ignore); errors.Is(err, fs.ErrNotExist) {
			if err := os.WriteFile(ignore, []byte("*\n"), 0o600); err != nil {
				return s.failed("making", err)
			}
		}
	}
	tmp, err := os.MkdirTemp(dir, ".new-*")
	if err != nil {
		return s.failed("making", err)
	}
	defer os.RemoveAll(tmp)
	fresh := &Store{path: filepath.Join(tmp, "state.db"), ttl: s.ttl, busy: s.busy, now: s.now}
	if err := fresh.update(func(tx *bbolt.Tx) error { return begin(tx, fresh.path) }); err != nil {
		return s.failed("making", errors.Unwrap(err))
	}
	// A link does not replace what another process has made in the meantime.
	if err := os.Link(fresh.path, s.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return s.failed("making", err)
	}
	return s.syncDir()
}

// syncDir makes the name of a new file durable.
func (s *Store) syncDir() error {
	d, err := os.Open(filepath.Dir(s.path))
	if err != nil {
		return s.failed("making", err)
	}
	defer d.Close()
	return d.Sync()
}

// Load implements state.Store.
func (s *Store) Load(context.Context) (*state.Snapshot, error) {
	snapshot := &state.Snapshot{Format: state.Format, Records: map[string]state.Record{}, Operations: map[string]state.Operation{}}
	err := s.view(func(tx *bbolt.Tx) error { return load(tx, s.path, snapshot) })
	return snapshot, err
}

// History implements state.Store.
func (s *Store) History(_ context.Context, address string) (list []state.Revision, err error) {
	err = s.view(func(tx *bbolt.Tx) error {
		list = loadHistory(tx, address)
		return nil
	})
	return list, err
}

// Unlock implements state.Store.
func (s *Store) Unlock(_ context.Context, id string) error {
	if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no state in %s, so no lock", s.path)
	}
	return s.update(func(tx *bbolt.Tx) error {
		held, err := heldLease(tx)
		if err != nil {
			return err
		}
		if held == nil || held.Holder.ID != id {
			return fmt.Errorf("there is no lock %q", id)
		}
		return tx.Bucket(bucketMeta).Delete(keyLease)
	})
}
