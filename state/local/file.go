package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
)

// transact opens and locks the file, and calls fn with it. The lock is shared with other readers, or exclusive.
func (s *Store) transact(ctx context.Context, write bool, fn func(*bbolt.DB) error) (err error) {
	doing := "reading"
	if write {
		doing = "writing"
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.busy, state.ErrBusy)
	defer cancel()
	select {
	case s.gate <- struct{}{}:
		defer func() { <-s.gate }()
	case <-ctx.Done():
		return s.explain(doing, context.Cause(ctx))
	}
	var f *file
	defer func() {
		// The file is mapped into memory: reading a part that a full disk never gave is a fault. It
		// becomes a panic, as the database's own on pages that make no sense.
		if p := recover(); p != nil {
			err = fmt.Errorf("the file is damaged: %v", p)
			f.abandon()
		} else {
			s.put(f, err == nil)
		}
		if err != nil {
			err = s.explain(doing, err)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if f, err = s.get(ctx, write); err != nil {
		return err
	}
	return fn(f.db)
}

// file is the database file, open.
//
// The database locks its file from opening to closing. This type unlocks it in between, so that
// the commits of a lease need not open it again, and others can read: the head shows whether
// another process has written.
type file struct {
	db   *bbolt.DB
	f    *os.File
	head []byte
}

// get returns the locked file: the open one if it is still valid, else a newly opened one.
func (s *Store) get(ctx context.Context, write bool) (*file, error) {
	if f := s.kept; f != nil {
		s.kept = nil
		if err := lockFile(ctx, f.f, write); err != nil {
			s.put(f, false)
			return nil, err
		}
		if f.current(s.path) {
			return f, nil
		}
		s.put(f, false)
	}
	return openFile(ctx, s.path, write)
}

// put returns the file: it stays open while there is a lease, except after an error.
func (s *Store) put(f *file, good bool) {
	if f == nil {
		return
	}
	if good && s.leases > 0 && !f.db.IsReadOnly() && f.remember() == nil && syscall.Flock(int(f.f.Fd()), syscall.LOCK_UN) == nil { //nolint:gosec // a file descriptor is small
		s.kept = f
		return
	}
	_ = f.db.Close()
}

// letGo counts a released lease, and closes the file after the last one.
func (s *Store) letGo() {
	s.gate <- struct{}{}
	defer func() { <-s.gate }()
	if s.leases--; s.leases == 0 && s.kept != nil {
		_ = s.kept.db.Close()
		s.kept = nil
	}
}

// abandon drops a file after a panic of the database without closing it, because closing might wait for ever. The
// mapping stays until the process ends.
func (f *file) abandon() {
	if f != nil {
		_ = syscall.Flock(int(f.f.Fd()), syscall.LOCK_UN) //nolint:gosec // a file descriptor is small
		_ = f.f.Close()
	}
}

func openFile(ctx context.Context, path string, write bool) (*file, error) {
	f, settled := &file{}, false
	defer func() {
		if !settled && f.f != nil { // it panicked on the way
			f.abandon()
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		ReadOnly: !write, FreelistType: bbolt.FreelistMapType, NoStatistics: true,
		OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
			// Nothing is made here: see create. The database would ask for the lock only every 50 ms.
			if f.f, err = os.OpenFile(name, flag&^os.O_CREATE, mode); err != nil {
				return nil, err
			}
			if err = lockFile(ctx, f.f, write); err == nil {
				err = notEmpty(f.f)
			}
			if err != nil {
				_ = f.f.Close()
				return nil, err
			}
			return f.f, nil
		},
	})
	if settled = err != nil; settled {
		return nil, err
	}
	f.db = db
	if err := f.walkable(); err != nil {
		settled = true
		_ = db.Close()
		return nil, err
	}
	settled = true
	return f, nil
}

func notEmpty(f *os.File) error {
	info, err := f.Stat()
	if err == nil && info.Size() == 0 {
		err = errors.New("the file is empty: it was truncated. Replace it by a backup, or remove it to start with an empty state")
	}
	return err
}

// remember takes down the state of the file, current tells whether it is still that. The first two pages of a
// database name everything else, and change with each transaction.
func (f *file) remember() (err error) {
	f.head, err = f.pages()
	return err
}

func (f *file) pages() ([]byte, error) {
	const meta = 128 // bytes at the beginning of a page that hold what changes
	size := int64(f.db.Info().PageSize)
	b := make([]byte, 2*meta)
	_, err1 := f.f.ReadAt(b[:meta], 0)
	_, err2 := f.f.ReadAt(b[meta:], size)
	if err2 == io.EOF { //nolint:errorlint // ReadAt's own
		err2 = nil
	}
	return b, errors.Join(err1, err2)
}

func (f *file) current(path string) bool {
	named, err1 := os.Stat(path)
	mine, err2 := f.f.Stat()
	if err1 != nil || err2 != nil || !os.SameFile(named, mine) {
		return false
	}
	now, err := f.pages()
	return err == nil && slices.Equal(now, f.head)
}

// lockFile waits for the lock of the file. It polls, because a context cannot end a blocking lock.
func lockFile(ctx context.Context, f *os.File, exclusive bool) error {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	for wait := 200 * time.Microsecond; ; wait = min(2*wait, 4*time.Millisecond) {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB) //nolint:gosec // a file descriptor is small
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("locking: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }
