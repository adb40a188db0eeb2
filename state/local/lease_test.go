package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/local"
	"github.com/davit-sh/davit/state/statetest"
)

// damageMeta spoils a value of the file's own.
func damageMeta(t *testing.T, path, key string) {
	t.Helper()
	edit(t, path, func(tx *bbolt.Tx) error {
		b := bytes.Clone(tx.Bucket([]byte("meta")).Get([]byte(key)))
		b[len(b)-1] ^= 1
		return tx.Bucket([]byte("meta")).Put([]byte(key), b)
	})
}

// An entry of the lease that cannot be read holds nobody up for ever, and takes nothing from a holder who is alive.
func TestDamagedLease(t *testing.T) {
	const ttl = 400 * time.Millisecond
	try := func(t *testing.T, path string) *state.LockedError {
		t.Helper()
		l, err := store(t, path, local.TTL(ttl)).Lock(t.Context(), state.Holder{})
		var locked *state.LockedError
		switch {
		case err == nil:
			_ = l.Release(t.Context())
		case !errors.As(err, &locked):
			t.Fatal(err)
		}
		return locked
	}
	t.Run("its holder has ended", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		c := start(t, "hold", path, "1h")
		if got := c.line(); got != "held" {
			t.Fatal(got)
		}
		_ = c.Process.Kill()
		_ = c.Wait()
		damageMeta(t, path, "lease")
		first := try(t, path)
		if first == nil || !strings.Contains(first.Error(), "damaged") {
			t.Fatalf("the first one who came: %v", first)
		}
		for try(t, path) != nil {
			time.Sleep(20 * time.Millisecond)
		}
	})
	t.Run("its holder goes on", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		l, err := store(t, path, local.TTL(time.Hour)).Lock(t.Context(), state.Holder{Who: "holder@host"})
		if err != nil {
			t.Fatal(err)
		}
		damageMeta(t, path, "lease")
		if _, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.a")}}); err != nil {
			t.Fatalf("the holder, before anybody came: %v", err)
		}
		damageMeta(t, path, "lease")
		if try(t, path) == nil {
			t.Fatal("the lease was taken")
		}
		if _, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.b")}}); err != nil {
			t.Fatalf("the holder, after somebody came: %v", err)
		}
		if locked := try(t, path); locked == nil || locked.Holder.Who != "holder@host" {
			t.Errorf("the entry is %v", locked)
		}
	})
	t.Run("it is ended by force", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		l, err := store(t, path, local.TTL(time.Hour)).Lock(t.Context(), state.Holder{})
		if err != nil {
			t.Fatal(err)
		}
		damageMeta(t, path, "lease")
		if err := store(t, path).Unlock(t.Context(), "whatever it was"); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Commit(t.Context(), state.Batch{}); !errors.Is(err, state.ErrLeaseLost) {
			t.Errorf("the old holder: %v", err)
		}
		if locked := try(t, path); locked != nil {
			t.Error(locked)
		}
	})
	t.Run("the token is damaged too", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "state.db")
		old, err := store(t, path, local.TTL(time.Hour)).Lock(t.Context(), state.Holder{})
		if err != nil {
			t.Fatal(err)
		}
		damageMeta(t, path, "token")
		damageMeta(t, path, "lease")
		for try(t, path) != nil {
			time.Sleep(20 * time.Millisecond)
		}
		if _, err := old.Commit(t.Context(), state.Batch{}); !errors.Is(err, state.ErrLeaseLost) {
			t.Errorf("the old holder: %v", err)
		}
	})
}

// busyFile keeps the file locked, as a process does that was suspended in the middle of a write.
func busyFile(t *testing.T, path string) (free func()) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return func() { _ = f.Close() }
}

// A holder whose beats fail for as long as the lease lasts hears of it, and writes no more even when it could.
func TestBeatsFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	l, err := store(t, path, local.TTL(200*time.Millisecond), local.Busy(20*time.Millisecond)).Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	free := busyFile(t, path)
	<-l.Lost()
	free()
	if _, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.a")}}); !errors.Is(err, state.ErrLeaseLost) {
		t.Errorf("a commit after that: %v", err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := store(t, path).Lock(t.Context(), state.Holder{}); err != nil {
		t.Errorf("the next holder: %v", err)
	}
}

// Who waits for a file that is busy can leave; and does not wait for ever.
func TestBusyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	patient := store(t, path, local.Busy(time.Hour), local.TTL(time.Hour))
	l, err := patient.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	free := busyFile(t, path)
	defer free()
	for name, call := range map[string]func(context.Context) error{
		"Load":                   func(ctx context.Context) error { _, err := patient.Load(ctx); return err },
		"Archive":                func(ctx context.Context) error { _, err := patient.Archive(ctx); return err },
		"Lock":                   func(ctx context.Context) error { _, err := patient.Lock(ctx, state.Holder{}); return err },
		"Unlock":                 func(ctx context.Context) error { return patient.Unlock(ctx, "x") },
		"Commit":                 func(ctx context.Context) error { _, err := l.Commit(ctx, state.Batch{}); return err },
		"another process's Load": func(ctx context.Context) error { _, err := store(t, path, local.Busy(time.Hour)).Load(ctx); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	if _, err := store(t, path, local.Busy(20*time.Millisecond)).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "another process is using the state for longer than 20ms") {
		t.Errorf("the file is busy: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Release(ended); err == nil { // tries for a second
		t.Error("the lease was released in a busy file")
	}
}

// A file that is put in the place of the one that a lease keeps open is the one that is written to.
func TestFileIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := store(t, path)
	l, err := s.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	commit := func(address string) {
		t.Helper()
		if _, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record(address)}}); err != nil {
			t.Fatal(err)
		}
	}
	commit("build.oci.a")
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	commit("build.oci.b")
	if err := errors.Join(os.WriteFile(path+".copy", backup, 0o600), os.Rename(path+".copy", path)); err != nil {
		t.Fatal(err)
	}
	commit("build.oci.c")
	if err := os.WriteFile(path, backup, 0o600); err != nil { // in place
		t.Fatal(err)
	}
	commit("build.oci.d")
	for _, look := range []*local.Store{s, store(t, path)} {
		snapshot, err := look.Load(t.Context())
		if err != nil || len(snapshot.Records) != 2 || snapshot.Records["build.oci.d"].Address == "" || snapshot.Serial != 2 {
			t.Errorf("%+v, %v", snapshot, err)
		}
	}
}

// What processes have left that were killed while they made a file goes when the next one comes; nothing else does.
func TestSweep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[odd] *dir?")
	path := filepath.Join(dir, "state.db")
	for _, there := range []bool{false, true} {
		var keep []string
		for _, name := range []string{".state.db.new-1/state.db", ".state.db.new-2/backup.db", ".new-folder/mine", ".other.db.new-3/state.db"} {
			name = filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte("x"), 0o600)); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(name, "/.state.db.") {
				keep = append(keep, name)
			}
		}
		l, err := store(t, path).Lock(t.Context(), state.Holder{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 3 {
			t.Errorf("the file was there: %v, and now there are %v, %v", there, entries, err)
		}
		for _, k := range keep {
			if _, err := os.Stat(k); err != nil {
				t.Error(err)
			}
		}
	}
}

// A head that is damaged is said, and can be written over.
func TestDamagedHead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	l, err := store(t, path).Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	a := &state.Archive{Snapshot: state.Snapshot{Lineage: "x", Serial: 3, Records: map[string]state.Record{"a": statetest.Record("a")}, Outputs: map[string]json.RawMessage{"o": json.RawMessage(`1`)}}}
	if err := l.Replace(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	damageMeta(t, path, "head")
	if _, err := store(t, path).Load(t.Context()); err == nil || !strings.Contains(err.Error(), "its lineage and serial cannot be read") {
		t.Errorf("%v", err)
	}
	if _, err := l.Commit(t.Context(), state.Batch{}); err == nil {
		t.Error("it was written to")
	}
	if err := l.Replace(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if s, err := store(t, path).Load(t.Context()); err != nil || s.Serial != 3 || len(s.Damaged) > 0 {
		t.Errorf("%+v, %v", s, err)
	}
}
