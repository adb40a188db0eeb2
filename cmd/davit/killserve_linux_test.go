package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A loop of which the core, a plugin, or everything is killed at any moment is gone on with by the next one: everything is done, and once.
func TestKilledServe(t *testing.T) {
	kills := 12
	if text := os.Getenv(killsEnv); text != "" {
		kills = number(t, killsEnv, text)
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(killSeedEnv); text != "" {
		seed = uint64(number(t, killSeedEnv, text))
	}
	k := newKilling(t, killPlace{Backend: "local", Effects: []string{"file"}}, "file", seed)
	for k.kills() < kills {
		k.serveRound(k.newStack(), kills)
	}
	k.report()
}

// serving is a davit serve that runs.
type serving struct {
	*exec.Cmd
	out   said
	ended chan error
}

func (k *killing) serve(dir string) *serving {
	k.Helper()
	s := &serving{Cmd: k.command(dir, "serve", "-stack", ".", "-interval", "1s"), ended: make(chan error, 1)}
	s.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	s.Stdout, s.Stderr = &s.out, &s.out
	if err := s.Start(); err != nil {
		k.Fatal(err)
	}
	k.runs++
	go func() { s.ended <- s.Wait() }()
	return s
}

// serveRound reconciles one stack and kills the loop, or its plugin, until that was done often enough, and then lets it end.
func (k *killing) serveRound(dir string, until int) {
	k.Helper()
	k.rounds++
	k.must(dir, "init")
	for n := 0; n < most && k.kills() < until && k.serveAndKill(dir); n++ {
		continue
	}
	s := k.serve(dir)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		out, errs, err := k.run(dir, "sync", "-wait")
		if err == nil && strings.Contains(out, "Everything is as it should be") {
			break
		}
		if time.Now().After(deadline) {
			k.Fatalf("the loop does not come to its end: %v (seed %d)\n%s%s\n%s", err, k.seed, out, errs, &s.out)
		}
	}
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		k.Fatal(err)
	}
	select {
	case err := <-s.ended:
		if err != nil {
			k.Errorf("a loop that was told to end: %v\n%s", err, &s.out)
		}
	case <-time.After(time.Minute):
		k.Fatalf("the loop did not end within a minute:\n%s", &s.out)
	}
	k.check(dir)
}

// serveAndKill starts a loop and kills something of it. It returns false if everything had been done before.
func (k *killing) serveAndKill(dir string) bool {
	s := k.serve(dir)
	moment := k.moment(dir, &s.out)
	what := []string{"core", "plugin", "both", "groups"}[k.rand.IntN(4)]
	for deadline := time.Now().Add(3 * k.full); ; {
		select {
		case err := <-s.ended:
			k.Fatalf("the loop ended by itself: %v\n%s", err, &s.out)
		case <-time.After(500 * time.Microsecond):
		}
		over := time.Now().After(deadline)
		if over {
			what = "groups"
		}
		if !over && !moment() || !kill(s.Process.Pid, what) {
			continue // there is no plugin yet
		}
		k.killed[what]++
		if what == "plugin" {
			time.Sleep(time.Duration(k.rand.Int64N(int64(200 * time.Millisecond)))) // the loop opens the stack again
			if !kill(s.Process.Pid, "groups") {                                     // no plugin runs at the moment
				kill(s.Process.Pid, "core")
			}
		}
		<-s.ended
		return !over
	}
}
