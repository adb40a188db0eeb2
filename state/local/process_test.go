package local_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/local"
	"github.com/davit-sh/davit/state/statetest"
)

// childEnv makes the test binary one of the programs below: "NAME PATH [ARGUMENT...]", separated by tabs.
const childEnv = "DAVIT_TEST_STATE"

func TestMain(m *testing.M) {
	args := strings.Split(os.Getenv(childEnv), "\t")
	if args[0] == "" {
		os.Exit(m.Run())
	}
	program, ok := map[string]func(path string, args []string) error{
		"write": write, "count": count, "hold": holdOn, "read": readOnly, "fail": fail,
	}[args[0]]
	if !ok {
		panic(args[0])
	}
	if err := program(args[1], args[2:]); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

// child is a program that runs.
type child struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
}

func start(t *testing.T, args ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", childEnv+"="+strings.Join(args, "\t")) // a race detector sleeps before it ends
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd, in, bufio.NewScanner(out)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return c
}

// line is the next thing that the program says.
func (c *child) line() string {
	if !c.out.Scan() {
		return "(it ended)"
	}
	return c.out.Text()
}

func (c *child) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// write commits one record after the other, and says so when each is durable.
func write(path string, _ []string) error {
	s, err := local.Open(path)
	if err != nil {
		return err
	}
	l, err := s.Lock(context.Background(), state.Holder{Who: "writer@host"})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		address := fmt.Sprintf("build.oci.p%d-%d", os.Getpid(), i)
		_, err := l.Commit(context.Background(), state.Batch{
			Begin: []state.Operation{{ID: address, Address: address}}, End: []string{fmt.Sprintf("build.oci.p%d-%d", os.Getpid(), i-1)},
			Put: []state.Record{statetest.Record(address)}, History: []state.Revision{{Record: statetest.Record("build.oci.all")}},
		})
		if err != nil {
			return err
		}
		fmt.Println("done", address)
	}
}

// A writer that is killed at any moment loses nothing that it was told is durable, leaves no part of a commit,
// and its lock holds nobody up.
func TestKilledWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	acknowledged := map[string]bool{}
	const kills = 60
	var serial uint64
	for range kills {
		c := start(t, "write", path)
		timer := time.AfterFunc(time.Duration(5+rand.IntN(60))*time.Millisecond, func() { _ = c.Process.Kill() })
		for c.out.Scan() {
			what, address, _ := strings.Cut(c.out.Text(), " ")
			if what != "done" {
				t.Fatalf("the writer said: %s", c.out.Text())
			}
			acknowledged[address] = true
		}
		_ = c.Wait()
		timer.Stop()
		a, err := store(t, path).Archive(t.Context())
		if err != nil || len(a.Damaged) > 0 {
			t.Fatalf("after a kill: %v, damaged %v", err, a.Damaged)
		}
		for address := range acknowledged {
			if a.Records[address].Address != address {
				t.Fatalf("%s was acknowledged and is lost", address)
			}
		}
		if a.Serial < serial || int(a.Serial) != len(a.Records) || (a.Serial > 0 && a.History[0].Number != a.Serial) {
			t.Fatalf("serial %d after %d, %d records, %d revisions", a.Serial, serial, len(a.Records), len(a.History))
		}
		serial = a.Serial
	}
	statetest.Numbers(t, "%d kills, %d acknowledged commits, %d written, 0 lost", kills, len(acknowledged), serial)
	if len(acknowledged) == 0 {
		t.Error("no writer came as far as a commit")
	}
}

const counter = "build.oci.counter"

// count adds one to a record under the lock, as often as it is told.
func count(path string, args []string) error {
	rounds, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	s, err := local.Open(path, local.Busy(time.Minute))
	if err != nil {
		return err
	}
	ctx := context.Background()
	waits := 0
	for range rounds {
		l, err := s.Lock(ctx, state.Holder{Who: "counter@host"})
		for locked := new(state.LockedError); errors.As(err, &locked); l, err = s.Lock(ctx, state.Holder{Who: "counter@host"}) {
			waits++
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
		}
		if err != nil {
			return err
		}
		snapshot, err := s.Load(ctx)
		if err != nil {
			return err
		}
		r := statetest.Record(counter)
		n, _ := strconv.Atoi(string(snapshot.Records[counter].Private))
		r.Private = []byte(strconv.Itoa(n + 1))
		if _, err := l.Commit(ctx, state.Batch{Put: []state.Record{r}}); err != nil {
			return err
		}
		if err := l.Release(ctx); err != nil {
			return err
		}
	}
	fmt.Println("waited", waits)
	return nil
}

// Eight processes count together, and none of them loses what another has counted. Somebody who only looks is
// let in between.
func TestProcessesCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	const processes, rounds = 8, 125
	var children []*child
	for range processes {
		children = append(children, start(t, "count", path, strconv.Itoa(rounds)))
	}
	done := make(chan int)
	go func() {
		waits := 0
		for _, c := range children {
			n, err := strconv.Atoi(strings.TrimPrefix(c.line(), "waited "))
			if err != nil {
				t.Error(err)
			}
			waits += n
		}
		done <- waits
	}()
	looks, last, longest, waits := 0, uint64(0), time.Duration(0), -1
	for waits < 0 {
		begun := time.Now()
		s, err := store(t, path).Load(t.Context())
		if err != nil || s.Serial < last {
			t.Fatalf("serial %d after %d, %v", s.Serial, last, err)
		}
		looks, last, longest = looks+1, s.Serial, max(longest, time.Since(begun))
		select {
		case waits = <-done:
		case <-time.After(5 * time.Millisecond):
		}
	}
	s, err := store(t, path).Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := strconv.Atoi(string(s.Records[counter].Private))
	if err != nil || got != processes*rounds || s.Serial != processes*rounds {
		t.Errorf("they counted to %d, in %d commits, %v", got, s.Serial, err)
	}
	statetest.Numbers(t, "%d processes, %d increments, %d updates lost, %d times somebody else had the lock; %d reads meanwhile, the longest took %s",
		processes, processes*rounds, processes*rounds-got, waits, looks, longest.Round(time.Millisecond))
}

// holdOn takes the lease, and commits when it is told.
func holdOn(path string, args []string) error {
	ttl, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	s, err := local.Open(path, local.TTL(ttl))
	if err != nil {
		return err
	}
	l, err := s.Lock(context.Background(), state.Holder{Who: "holder@host"})
	if err != nil {
		return err
	}
	fmt.Println("held")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		_, err := l.Commit(context.Background(), state.Batch{Put: []state.Record{statetest.Record(lines.Text())}})
		select {
		case <-l.Lost():
			fmt.Println("lost", errors.Is(err, state.ErrLeaseLost))
		default:
			fmt.Println("committed", err)
		}
	}
	return nil
}

// A process that was suspended for longer than its lease lasts cannot write when it wakes up, whether another
// has taken the lease meanwhile or not.
func TestSuspendedHolder(t *testing.T) {
	for _, taken := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "state.db")
		const ttl = 300 * time.Millisecond
		c := start(t, "hold", path, ttl.String())
		if got := c.line(); got != "held" {
			t.Fatal(got)
		}
		if _, err := fmt.Fprintln(c.in, "build.oci.before"); err != nil || c.line() != "committed <nil>" {
			t.Fatal("it cannot commit")
		}
		suspend(t, c, path)
		s := store(t, path)
		if taken {
			l, err := s.Lock(t.Context(), state.Holder{Who: "next@host"})
			for locked := new(state.LockedError); errors.As(err, &locked); l, err = s.Lock(t.Context(), state.Holder{}) {
				time.Sleep(10 * time.Millisecond)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.next")}}); err != nil {
				t.Fatal(err)
			}
			defer l.Release(context.Background()) //nolint:errcheck // the test is over
		} else {
			time.Sleep(ttl + ttl/2)
		}
		before, err := s.Archive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.signal(t, syscall.SIGCONT)
		if _, err := fmt.Fprintln(c.in, "build.oci.late"); err != nil {
			t.Fatal(err)
		}
		if got := c.line(); got != "lost true" {
			t.Errorf("the commit of a process that had slept: %s", got)
		}
		after, err := s.Archive(t.Context())
		if err != nil || after.Serial != before.Serial || after.Records["build.oci.late"].Address != "" {
			t.Errorf("serial %d after %d, %v", after.Serial, before.Serial, err)
		}
		statetest.Numbers(t, "suspended past its lease of %s, lease taken by another: %v: fenced off, serial %d stays", ttl, taken, after.Serial)
	}
}

// suspend stops a process, but not in the middle of a transaction, in which it keeps the file itself.
func suspend(t *testing.T, c *child, path string) {
	t.Helper()
	for range 100 {
		c.signal(t, syscall.SIGSTOP)
		_, err := store(t, path, local.Busy(100*time.Millisecond)).Load(t.Context())
		if err == nil {
			return
		}
		c.signal(t, syscall.SIGCONT)
		time.Sleep(3 * time.Millisecond)
	}
	t.Fatal("it is always in the middle of something")
}
