package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/davit-sh/davit/state/statetest"
)

// stateDisk gives a new stack a folder of its own disk for its state. limited runs davit while the disk is small; grow
// makes it large. Where nothing can be mounted, the size of files is limited instead.
func (k *killing) stateDisk() (dir string, limited func(args ...string) *exec.Cmd, grow func()) {
	k.Helper()
	dir = k.newStack()
	own := filepath.Join(dir, ".davit")
	if err := os.Mkdir(own, 0o700); err != nil {
		k.Fatal(err)
	}
	limited = func(args ...string) *exec.Cmd { return k.command(dir, args...) }
	if syscall.Mount("tmpfs", own, "tmpfs", 0, "size=200k") == nil {
		k.Cleanup(func() { _ = syscall.Unmount(own, syscall.MNT_DETACH) })
		return dir, limited, func() {
			if err := syscall.Mount("tmpfs", own, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
				k.Fatal(err)
			}
		}
	}
	return dir, func(args ...string) *exec.Cmd {
		cmd := limited(args...)
		shell := exec.Command("sh", append([]string{"-c", `ulimit -f 300; exec "$@"`, "sh", cmd.Path}, args...)...)
		shell.Dir, shell.Env = cmd.Dir, cmd.Env
		return shell
	}, func() {}
}

// A disk that is full in the middle of an apply: davit says so, and what was done is known when there is space again.
func TestDiskFullDuringApply(t *testing.T) {
	t.Parallel()
	k := newKilling(t, killPlace{Backend: "local"}, "file", 1)
	dir, limited, grow := k.stateDisk()
	k.must(dir, "init")
	out, err := limited("apply", "-auto-approve").CombinedOutput()
	text := string(out)
	if err == nil || !strings.Contains(text, "no space left on device") && !strings.Contains(text, "file too large") {
		t.Fatalf("an apply on a full disk: %v\n%s", err, out)
	}
	if strings.Contains(text, "goroutine ") || strings.Contains(text, "panic") {
		t.Errorf("it crashed:\n%s", out)
	}
	if n := strings.Count(text, "Error:"); n > 25 {
		t.Errorf("%d errors say the same:\n%s", n, out)
	}
	files, err := os.ReadDir(filepath.Join(dir, "effects"))
	if err != nil || len(files) == 0 || len(files) == perRound {
		t.Fatalf("the disk was not full in the middle: %d of %d files were made, %v", len(files), perRound, err)
	}
	if _, errs, err := k.run(dir, "state", "list"); err != nil {
		t.Errorf("the state cannot be read while the disk is full: %s", errs)
	}
	grow()
	k.must(dir, "apply", "-auto-approve")
	k.check(dir)
	if k.lost+k.repeated+k.renamed > 0 {
		t.Errorf("%d effects lost, %d repeated, %d renamed", k.lost, k.repeated, k.renamed)
	}
	statetest.Numbers(t, "disk full after %d of %d operations: %d lost, %d repeated", len(files), perRound, k.lost, k.repeated)
}

// With a state that may only be read one can plan; apply says what is wrong before it does anything.
func TestReadOnlyState(t *testing.T) {
	t.Parallel()
	k := newKilling(t, killPlace{Backend: "local"}, "file", 1)
	dir, _, grow := k.stateDisk()
	grow()
	k.must(dir, "init")
	k.must(dir, "apply", "-auto-approve")
	if err := os.Remove(filepath.Join(dir, "effects", "e0-7")); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(dir, ".davit")
	if err := syscall.Mount("", own, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		if err := os.Chmod(own, 0o500); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(own, "state.db"), 0o400); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(own, 0o700) })
	}
	if out := k.must(dir, "plan"); !strings.Contains(out, "Plan: 1 to create") {
		t.Errorf("the plan:\n%s", out)
	}
	before, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	out, errs, err := k.run(dir, "apply", "-auto-approve")
	if err == nil || !strings.Contains(errs, "you may read this state but not write to it") {
		t.Errorf("apply: %v\n%s%s", err, out, errs)
	}
	if after, err := os.ReadFile(filepath.Join(dir, "journal")); err != nil || !bytes.Equal(after, before) {
		t.Errorf("something was done all the same: %v\n%s", err, after[len(before):])
	}
}
