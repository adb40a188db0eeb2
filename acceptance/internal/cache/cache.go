// Package cache keeps what is costly to make (server binaries, base images)
// in a folder outside of the repository, shared by every test process of the
// user. An entry is made once: processes that need the same one wait for each
// other on a file lock, and a half-made entry is never seen.
package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Dir returns the cache folder, making it when needed: $DAVIT_LAB_CACHE, else
// davit-lab in the user's cache folder, else .davit-lab in the home folder.
func Dir() (string, error) {
	dir := os.Getenv("DAVIT_LAB_CACHE")
	if dir == "" {
		if base, err := os.UserCacheDir(); err == nil {
			dir = filepath.Join(base, "davit-lab")
		} else if home, err := os.UserHomeDir(); err == nil {
			dir = filepath.Join(home, ".davit-lab")
		} else {
			return "", errors.New("no folder for the lab's cache: set DAVIT_LAB_CACHE, XDG_CACHE_HOME or HOME")
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("lab cache: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("lab cache: %w", err)
	}
	return dir, nil
}

// Once returns the path of the entry name below the cache folder. When it does
// not exist, fill is called with a path beside it, to be made a file or a
// folder, which becomes the entry only if fill succeeds.
func Once(name string, fill func(path string) error) (string, error) {
	dir, err := Dir()
	if err != nil {
		return "", err
	}
	entry := filepath.Join(dir, filepath.FromSlash(name))
	if exists(entry) {
		return entry, nil
	}
	if err := os.MkdirAll(filepath.Dir(entry), 0o755); err != nil {
		return "", fmt.Errorf("lab cache: %w", err)
	}
	unlock, err := Lock(entry + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(entry) { // another process made it while we waited
		return entry, nil
	}
	partial := entry + ".partial"
	if err := os.RemoveAll(partial); err != nil {
		return "", fmt.Errorf("lab cache: %w", err)
	}
	if err := fill(partial); err != nil {
		return "", errors.Join(err, os.RemoveAll(partial))
	}
	if err := os.Rename(partial, entry); err != nil {
		return "", fmt.Errorf("lab cache: %w", err)
	}
	return entry, nil
}

// Lock takes an exclusive lock on the file at path and waits for it as long as
// needed. The lock ends with unlock or with the process.
func Lock(path string) (unlock func(), err error) {
	return lock(path, unix.LOCK_EX)
}

// TryLock is Lock, but returns a nil unlock when someone else holds the lock.
func TryLock(path string) (unlock func(), err error) {
	unlock, err = lock(path, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return unlock, err
}

func lock(path string, how int) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing releases the lock
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
