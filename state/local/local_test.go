package local_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/local"
	"github.com/davit-sh/davit/state/statetest"
)

func store(t testing.TB, path string, options ...local.Option) *local.Store {
	t.Helper()
	s, err := local.Open(path, options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	statetest.Run(t, func(t *testing.T) statetest.Backend {
		path := filepath.Join(t.TempDir(), ".davit", "state.db")
		return statetest.Backend{
			Open:   func() state.Store { return store(t, path, local.TTL(4*time.Second)) },
			Damage: func(t *testing.T, what statetest.Item) { damage(t, path, what) },
			Newer: func(t *testing.T) {
				edit(t, path, func(tx *bbolt.Tx) error {
					return tx.Bucket([]byte("meta")).Put([]byte("format"), binary.BigEndian.AppendUint64(nil, state.Format+1))
				})
			},
		}
	})
}

// edit changes the file behind the store's back.
func edit(t testing.TB, path string, fn func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// damage changes the last byte of an item.
func damage(t testing.TB, path string, what statetest.Item) {
	t.Helper()
	key := []byte(what.Name)
	bucket := map[string]string{"record": "records", "operation": "operations", "output": "outputs", "revision": "history"}[what.Kind]
	if what.Kind == "revision" {
		key = binary.BigEndian.AppendUint64(append(key, 0), what.Number)
	}
	edit(t, path, func(tx *bbolt.Tx) error {
		b := bytes.Clone(tx.Bucket([]byte(bucket)).Get(key))
		b[len(b)-1] ^= 1
		return tx.Bucket([]byte(bucket)).Put(key, b)
	})
}

// The lease is kept alive by its heartbeat.
func TestHeartbeat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	l, err := store(t, path, local.TTL(2*time.Second)).Lock(t.Context(), state.Holder{Who: "a@elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release(context.Background()) //nolint:errcheck // the test is over
	time.Sleep(5 * time.Second)
	var locked *state.LockedError
	if _, err := store(t, path).Lock(t.Context(), state.Holder{}); !errors.As(err, &locked) {
		t.Errorf("the lease expired under its heartbeat: %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	newer := func(t *testing.T, path string) {
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucket([]byte("meta"))
			if err != nil {
				return err
			}
			return b.Put([]byte("format"), binary.BigEndian.AppendUint64(nil, state.Format+1))
		}); err != nil {
			t.Fatal(err)
		}
	}
	write := func(content string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		make func(*testing.T, string)
		want string
	}{
		"empty":   {write(""), "the file is empty"},
		"garbage": {write(strings.Repeat("garbage ", 2000)), "not a davit state, or is damaged"},
		"newer":   {newer, "use a newer davit"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			c.make(t, path)
			before, _ := os.ReadFile(path)
			_, err := store(t, path).Load(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Load: %v, want %q", err, c.want)
			}
			if name != "empty" {
				if _, err := store(t, path).Lock(t.Context(), state.Holder{}); err == nil {
					t.Error("Lock took a file that Load refuses")
				}
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

// A full disk is an error that says so, and what was there before stays.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if !mountSmallDisk(t, dir, "size=256k") {
		limitFileSize(t, 256<<10)
	}
	path := filepath.Join(dir, "state.db")
	l, err := store(t, path).Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	durable := 0
	for i := 0; ; i++ {
		r := statetest.Record("build.oci.r" + strconv.Itoa(i))
		r.Private = bytes.Repeat([]byte{1}, 8<<10)
		if _, err = l.Commit(t.Context(), state.Batch{Put: []state.Record{r}}); err != nil {
			break
		}
		durable++
	}
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EFBIG) {
		t.Errorf("the error of a full disk is: %v", err)
	}
	s, err := store(t, path).Load(t.Context())
	if err != nil || len(s.Records) != durable {
		t.Errorf("%d records of %d are left: %v", len(s.Records), durable, err)
	}
}

// A disk that is full from the beginning leaves no half of a file behind, and a file of which a
// part was lost is an error, not the end of the process.
func TestFullDiskAtTheBeginning(t *testing.T) {
	dir := t.TempDir()
	if !mountSmallDisk(t, dir, "size=16k") {
		limitFileSize(t, 8<<10)
	}
	path := filepath.Join(dir, "state.db")
	if _, err := store(t, path).Lock(t.Context(), state.Holder{}); !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EFBIG) {
		t.Errorf("a full disk: %v", err)
	}
	if s, err := store(t, path).Load(t.Context()); err != nil || s.Serial != 0 {
		t.Errorf("after a failed beginning: %v", err)
	}
}

func TestCutFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	l, err := store(t, path).Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.x")}}); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 4096, 8192, 9000, 12288, 16384, 20480} {
		if err := os.WriteFile(path, whole[:min(size, len(whole))], 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := store(t, path).Load(t.Context()); err == nil && s.Records["build.oci.x"].Address == "" {
			t.Errorf("a file cut to %d bytes is taken for an empty state", size)
		}
	}
}

// limitFileSize makes files end early where no file system can be mounted.
func limitFileSize(t *testing.T, size uint64) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // so that a write says so instead
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	limited := old
	limited.Cur = size
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old) })
}

// Items that are sound do not hide that others are missing or are those of an earlier commit. What is left can be taken
// for all there is.
func TestMissingItems(t *testing.T) {
	for name, spoil := range map[string]func(records *bbolt.Bucket, old []byte) error{
		"one is missing":     func(r *bbolt.Bucket, _ []byte) error { return r.Delete([]byte("build.oci.b")) },
		"an old one is back": func(r *bbolt.Bucket, old []byte) error { return r.Put([]byte("build.oci.b"), old) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			s := store(t, path)
			l, err := s.Lock(t.Context(), state.Holder{})
			if err != nil {
				t.Fatal(err)
			}
			commit := func(b state.Batch) {
				t.Helper()
				if _, err := l.Commit(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			damaged := func() []string {
				t.Helper()
				a, err := s.Archive(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				return a.Damaged
			}
			commit(state.Batch{Put: []state.Record{statetest.Record("build.oci.a"), statetest.Record("build.oci.b")}})
			var old []byte
			edit(t, path, func(tx *bbolt.Tx) error {
				old = bytes.Clone(tx.Bucket([]byte("records")).Get([]byte("build.oci.b")))
				return nil
			})
			changed := statetest.Record("build.oci.b")
			changed.Status = state.StatusPartial
			commit(state.Batch{Put: []state.Record{changed}})
			if list := damaged(); len(list) > 0 {
				t.Fatalf("damaged before anything happened: %v", list)
			}
			edit(t, path, func(tx *bbolt.Tx) error { return spoil(tx.Bucket([]byte("records")), old) })
			if list := damaged(); !slices.Equal(list, []string{"table records"}) {
				t.Errorf("damaged: %v", list)
			}
			commit(state.Batch{Put: []state.Record{statetest.Record("build.oci.c")}})
			if list := damaged(); !slices.Equal(list, []string{"table records"}) {
				t.Errorf("damaged after another commit: %v", list)
			}
			commit(state.Batch{Delete: []string{"table records"}})
			if list := damaged(); len(list) > 0 {
				t.Errorf("damaged after it was accepted: %v", list)
			}
		})
	}
}
