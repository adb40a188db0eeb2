package local_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/seal"
)

// editLease changes the entry of the lease in the file.
func editLease(t *testing.T, path string, fn func(entry, process map[string]any)) {
	t.Helper()
	const place = "meta\x00lease"
	edit(t, path, func(tx *bbolt.Tx) error {
		var entry map[string]any
		if err := seal.Open(place, tx.Bucket([]byte("meta")).Get([]byte("lease")), &entry); err != nil {
			return err
		}
		process, ok := entry["process"].(map[string]any)
		if !ok {
			return errors.New("the entry does not say which process holds the lease")
		}
		fn(entry, process)
		b, err := seal.Seal(place, entry)
		if err != nil {
			return err
		}
		return tx.Bucket([]byte("meta")).Put([]byte("lease"), b)
	})
}

// deadPID is the number of a process that has ended.
func deadPID(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// A lease is taken over before it expires only if its holder is known to have ended: a number that is free here says
// nothing of a process of another machine or another container, whatever its host is called.
func TestWhoHasEnded(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, entry, process map[string]any)
		taken  bool
	}{
		"alive":                          {func(*testing.T, map[string]any, map[string]any) {}, false},
		"ended":                          {func(t *testing.T, _, p map[string]any) { p["pid"] = deadPID(t) }, true},
		"another process has its number": {func(_ *testing.T, _, p map[string]any) { p["started"] = "1" }, true},
		"another machine, or before the last start of this one": {func(t *testing.T, _, p map[string]any) { p["pid"], p["boot"] = deadPID(t), "another" }, false},
		"another container":   {func(t *testing.T, _, p map[string]any) { p["pid"], p["namespace"] = deadPID(t), "pid:[1]" }, false},
		"nothing is known":    {func(_ *testing.T, e, _ map[string]any) { delete(e, "process") }, false},
		"no number":           {func(_ *testing.T, _, p map[string]any) { p["pid"] = 0 }, false},
		"a number of a group": {func(_ *testing.T, _, p map[string]any) { p["pid"] = -1 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			host, _ := os.Hostname()
			if _, err := store(t, path).Lock(t.Context(), state.Holder{Who: "somebody@" + host}); err != nil {
				t.Fatal(err)
			}
			editLease(t, path, func(entry, process map[string]any) { c.change(t, entry, process) })
			_, err := store(t, path).Lock(t.Context(), state.Holder{})
			var locked *state.LockedError
			if taken := err == nil; taken != c.taken || (!taken && !errors.As(err, &locked)) {
				t.Errorf("the lease was taken: %v (%v), want %v", taken, err, c.taken)
			}
		})
	}
}

// The lock of a process of this machine that was killed holds nobody up; that of one that is only suspended
// does, until it expires.
func TestKilledHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	c := start(t, "hold", path, "1h")
	if got := c.line(); got != "held" {
		t.Fatal(got)
	}
	suspend(t, c, path)
	var locked *state.LockedError
	if _, err := store(t, path).Lock(t.Context(), state.Holder{}); !errors.As(err, &locked) || locked.Holder.PID != c.Process.Pid {
		t.Fatalf("a suspended process lost its lease before it expired: %v", err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	l, err := store(t, path).Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatalf("the lock of a dead process of this machine: %v", err)
	}
	_ = l.Release(t.Context())
}
