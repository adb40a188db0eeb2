package cache_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/davit-sh/davit/acceptance/internal/cache"
)

func TestOnceFillsAnEntryOnce(t *testing.T) {
	t.Setenv("DAVIT_LAB_CACHE", t.TempDir())
	var fills atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			path, err := cache.Once("a/b", func(path string) error {
				fills.Add(1)
				time.Sleep(10 * time.Millisecond)
				return os.WriteFile(path, []byte("x"), 0o644)
			})
			if err != nil {
				t.Error(err)
			}
			if data, err := os.ReadFile(path); err != nil || string(data) != "x" {
				t.Errorf("entry holds %q, %v", data, err)
			}
		})
	}
	wg.Wait()
	if n := fills.Load(); n != 1 {
		t.Errorf("filled %d times, want once", n)
	}
}

func TestOnceKeepsNothingOfAFailedFill(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("DAVIT_LAB_CACHE", dir)
	broken := errors.New("broken")
	_, err := cache.Once("entry", func(path string) error {
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	for _, name := range []string{"entry", "entry.partial"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s was left behind", name)
		}
	}
}

func TestTryLockDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := cache.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := cache.TryLock(path); err != nil || second != nil {
		t.Errorf("a held lock was taken (%v)", err)
	}
	unlock()
	third, err := cache.TryLock(path)
	if err != nil || third == nil {
		t.Fatalf("a free lock was not taken (%v)", err)
	}
	third()
}
