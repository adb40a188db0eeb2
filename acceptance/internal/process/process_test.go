package process_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/davit-sh/davit/acceptance/internal/process"
)

// TestMain is also the process that TestNothingOutlivesAKilledParent kills.
func TestMain(m *testing.M) {
	dir := os.Getenv("PROCESS_TEST_PARENT")
	if dir == "" {
		os.Exit(m.Run())
	}
	for i, private := range []bool{false, true} {
		if _, err := process.Start(process.Command{
			Name:    "sleeper",
			Args:    []string{"/bin/sh", "-c", "setsid sleep " + sleeps[i] + " & exec sleep " + sleeps[i]},
			Log:     filepath.Join(dir, "log"),
			Private: private,
		}); err != nil {
			panic(err)
		}
	}
	select {}
}

// Unusual numbers, so that the sleepers can be told from any other.
var sleeps = []string{"86231", "86237"}

// TestNothingOutlivesAKilledParent: a server dies with its parent, and a private
// one takes along even what it started in sessions of their own.
func TestNothingOutlivesAKilledParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "PROCESS_TEST_PARENT="+t.TempDir())
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "four sleepers run", func() bool { return len(running(t, sleeps[0])) == 2 && len(running(t, sleeps[1])) == 2 })
	if err := parent.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	t.Cleanup(func() {
		for _, pid := range append(running(t, sleeps[0]), running(t, sleeps[1])...) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // the detached one of the server that is not private
		}
	})
	eventually(t, "the server is gone", func() bool { return len(running(t, sleeps[0])) <= 1 })
	eventually(t, "the private server is gone with all it started", func() bool { return len(running(t, sleeps[1])) == 0 })
}

// TestRunEndsWithItsContext: a build that is interrupted takes its compilers along.
func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for len(running(t, "86243")) < 2 && t.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	_, err := process.Run(ctx, process.Command{
		Name: "sleepers",
		Args: []string{"/bin/sh", "-c", "sleep 86243 & sleep 86243; true"},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	eventually(t, "both sleepers are gone", func() bool { return len(running(t, "86243")) == 0 })
}

func TestWaitReadyShowsTheLogOfAServerThatEnds(t *testing.T) {
	p, err := process.Start(process.Command{
		Name: "broken",
		Args: []string{"/bin/sh", "-c", "echo no such disk >&2; exit 3"},
		Log:  filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	err = p.WaitReady(t.Context(), time.Minute, func(context.Context) error { return errors.New("not yet") })
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such disk") {
		t.Errorf("got %v", err)
	}
}

func TestStopKillsWhatDoesNotListen(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	p, err := process.Start(process.Command{
		Name: "stubborn",
		Args: []string{"/bin/sh", "-c", "trap '' TERM; touch " + ready + "; while :; do sleep 0.05; done"},
		Log:  filepath.Join(t.TempDir(), "log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { _, err := os.Stat(ready); return err == nil })
	if err := p.Stop(50 * time.Millisecond); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(p.Pid(), 0); err == nil {
		t.Error("it still runs")
	}
}

// running lists the processes that sleep for the given time.
func running(t *testing.T, sleep string) []int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have ended meanwhile
		if string(text) == "sleep\x00"+sleep+"\x00" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("not so after ten seconds: %s", what)
}
