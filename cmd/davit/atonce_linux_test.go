package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/davit-sh/davit/state/statetest"
)

// Eight processes apply one stack at once: those that wait find everything done, those that do not are told who works,
// and everything is done once.
func TestEightAtOnce(t *testing.T) {
	t.Parallel()
	k := newKilling(t, killPlace{Backend: "local"}, "file", 1)
	dir := k.newStack()
	k.must(dir, "init")
	var wg sync.WaitGroup
	var mu sync.Mutex
	var worked, found, refused int
	for i := range 8 {
		args := []string{"apply", "-auto-approve"}
		if i%2 == 0 {
			args = append(args, "-lock-timeout=5m")
		}
		wg.Go(func() {
			out, errs, err := k.run(dir, args...)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && strings.Contains(out, fmt.Sprintf("%d done", perRound)):
				worked++
			case err == nil && strings.Contains(out, "No changes"):
				found++
			case err != nil && len(args) == 2 && strings.Contains(errs, "the state is locked by") && strings.Contains(errs, "(davit apply, process "):
				refused++
			default:
				t.Errorf("davit %v: %v\n%s%s", args, err, out, errs)
			}
		})
	}
	wg.Wait()
	k.check(dir)
	if worked != 1 || k.lost+k.repeated+k.renamed > 0 {
		t.Errorf("%d processes did the work; %d effects lost, %d repeated, %d renamed", worked, k.lost, k.repeated, k.renamed)
	}
	statetest.Numbers(t, "8 processes at once: %d worked, %d found everything done, %d were told to wait; %d operations, %d lost, %d repeated",
		worked, found, refused, perRound, k.lost, k.repeated)
}

// An apply that is suspended for longer than its lock lasts, and wakes up when another one has done the rest, writes nothing.
func TestSuspendedApply(t *testing.T) {
	t.Parallel()
	k := newKilling(t, killPlace{Backend: "local"}, "file", 1)
	var out bytes.Buffer
	dir, first := k.suspended(&out)
	if done := k.must(dir, "apply", "-auto-approve", "-lock-timeout=5m"); !strings.Contains(done, " done, 0 failed") {
		t.Errorf("the one that waited did not go on:\n%s", done)
	}
	before := k.must(dir, "state", "pull")
	if err := first.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := first.Wait(); err == nil || !strings.Contains(out.String(), "The lock on the state was lost") {
		t.Errorf("the suspended one ended with %v and said\n%s", err, &out)
	}
	if after := k.must(dir, "state", "pull"); after != before {
		t.Errorf("the suspended one wrote to state:\n%s", after)
	}
	k.check(dir)
	if k.lost+k.repeated+k.renamed > 0 {
		t.Errorf("%d effects lost, %d repeated, %d renamed", k.lost, k.repeated, k.renamed)
	}
	statetest.Numbers(t, "suspended apply: %d operations, %d lost, %d repeated, nothing written after it woke up", perRound, k.lost, k.repeated)
}

// suspended begins an apply in a new stack and stops it while there is still much to do.
func (k *killing) suspended(out *bytes.Buffer) (dir string, first *exec.Cmd) {
	k.Helper()
	for {
		dir = k.newStack()
		k.must(dir, "init")
		out.Reset()
		first = k.command(dir, "apply", "-auto-approve")
		first.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		first.Stdout, first.Stderr = out, out
		if err := first.Start(); err != nil {
			k.Fatal(err)
		}
		made := func() int {
			journal, _ := os.ReadFile(filepath.Join(dir, "journal"))
			return bytes.Count(journal, []byte("made"))
		}
		for made() <= perRound/8 { // it is at work
			time.Sleep(time.Millisecond)
		}
		suspend(k.T, first.Process, filepath.Join(dir, ".davit", "state.db"))
		if made() < perRound*3/4 {
			return dir, first
		}
		// It was too fast for this machine, and is through by now.
		if err := first.Process.Signal(syscall.SIGCONT); err != nil {
			k.Fatal(err)
		}
		if err := first.Wait(); err != nil {
			k.Fatalf("%v\n%s", err, out)
		}
		k.check(dir)
	}
}

// suspend stops a process, but not in the middle of a write: the others could not even look then, and say so.
func suspend(t *testing.T, p *os.Process, file string) {
	t.Helper()
	for {
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		_ = f.Close()
		if err == nil {
			return
		}
		if err := p.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}
