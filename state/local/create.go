package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
)

// create creates the folder and the file, and lets git ignore davit's folder. The file is written under another
// name and renamed, so that it is complete or missing.
func (s *Store) create(ctx context.Context) error {
	dir := filepath.Dir(s.path)
	_, err := os.Stat(s.path)
	if err == nil {
		sweep(dir, s.temporary())
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return s.explain("making", err)
	}
	if err := makeDir(dir); err != nil {
		return s.explain("making", err)
	}
	unlock, alone, err := lockDir(ctx, dir)
	if err != nil {
		return s.explain("making", err)
	}
	defer unlock()
	if _, err := os.Stat(s.path); err == nil {
		return nil // another process was faster
	}
	if alone {
		removeAll(leftovers(dir, s.temporary()))
	}
	tmp, err := os.MkdirTemp(dir, s.temporary())
	if err != nil {
		return s.explain("making", err)
	}
	defer os.RemoveAll(tmp)
	fresh := filepath.Join(tmp, "state.db")
	if err := initialise(fresh); err != nil {
		return s.explain("making", err)
	}
	publish := os.Rename
	if !alone {
		publish = os.Link // which does not replace what another process has made meanwhile
	}
	if err := publish(fresh, s.path); err != nil && !errors.Is(err, fs.ErrExist) {
		return s.explain("making", err)
	}
	if err := syncDir(dir); err != nil {
		return s.explain("making", err)
	}
	return nil
}

func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if filepath.Base(dir) != ".davit" {
		return nil
	}
	ignore := filepath.Join(dir, ".gitignore")
	if _, err := os.Stat(ignore); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.WriteFile(ignore, []byte("*\n"), 0o600)
}

// initialise writes an empty state.
func initialise(path string) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize})
	if err != nil {
		return err
	}
	return errors.Join(db.Update(begin), db.Close())
}

// temporary is the name pattern of folders for unfinished files.
func (s *Store) temporary() string { return "." + filepath.Base(s.path) + ".new-*" }

// sweep removes the unfinished files of killed processes. It does nothing if another process has the lock of the folder, which the
// creator of a file holds. It ignores errors.
func sweep(dir, pattern string) {
	if len(leftovers(dir, pattern)) == 0 {
		return
	}
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	if syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil { //nolint:gosec // a file descriptor is small
		return
	}
	removeAll(leftovers(dir, pattern))
}

func leftovers(dir, pattern string) []string {
	left, _ := filepath.Glob(filepath.Join(quote(dir), quote(strings.TrimSuffix(pattern, "*"))+"*"))
	return left
}

func removeAll(paths []string) {
	for _, p := range paths {
		_ = os.RemoveAll(p)
	}
}

// quote returns a pattern that matches only the path.
func quote(path string) string {
	var out []rune
	for _, r := range path {
		if r == '*' || r == '?' || r == '[' || r == '\\' {
			out = append(out, '\\')
		}
		out = append(out, r)
	}
	return string(out)
}

// lockDir locks a folder, so that one process makes a file in it at a time. Some file systems (NFS) lock no
// folders, and then this process may not be alone.
func lockDir(ctx context.Context, dir string) (unlock func(), alone bool, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, false, err
	}
	err = lockFile(ctx, d, true)
	switch {
	case err == nil:
		return func() { _ = d.Close() }, true, nil
	case errors.Is(err, syscall.EBADF), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOLCK), errors.Is(err, syscall.ENOSYS):
		return func() { _ = d.Close() }, false, nil
	}
	_ = d.Close()
	return nil, false, err
}

// syncDir makes the name of a new file durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
