package pluginhost

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// runs tells whether a process is there and is not a zombie.
func runs(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// gone waits until a process has ended; it fails, and ends it, if that takes unreasonably long.
func gone(t *testing.T, what string, pid int) {
	t.Helper()
	for range 500 {
		if !runs(pid) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%s still runs", what)
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func number(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil || n <= 1 {
		t.Fatalf("not a process: %q", s)
	}
	return n
}

func pluginPID(t testing.TB, c *Client) int {
	t.Helper()
	d, err := c.Describe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return number(t, d.GetVersion())
}

// The name of the guard's test command, and what the host that is to be killed prints.
var guardCommand = Executable{Path: os.Args[0], Args: []string{"as-guard"}}

// hostToBeKilled starts a plugin that starts a child, prints who they are, and waits for its end.
func hostToBeKilled(guarded string) {
	o := Options{Plugins: map[string]Executable{"good": fakeExecutable("good")}}
	if guarded == "guarded" {
		o.Guard = guardCommand
	}
	h := New(o)
	c, err := h.Client(context.Background(), "good")
	if err != nil {
		panic(err)
	}
	d, err := c.Describe(context.Background())
	if err != nil {
		panic(err)
	}
	r, err := c.Plan(context.Background(), &pluginv1.PlanRequest{Address: "child:"}, nil)
	if err != nil {
		panic(err)
	}
	guard := 0
	if h.setUp.guard != nil {
		guard = h.setUp.guard.cmd.Process.Pid
	}
	fmt.Println(d.GetVersion(), string(r.GetPrivate()), guard, h.setUp.dir.path)
	time.Sleep(time.Hour)
}

func TestAKilledHostLeavesNothing(t *testing.T) {
	for _, test := range []struct {
		mode   string
		signal syscall.Signal
	}{{"guarded", syscall.SIGKILL}, {"guarded", syscall.SIGTERM}, {"unguarded", syscall.SIGKILL}} {
		t.Run(test.mode+" "+test.signal.String(), func(t *testing.T) {
			if runtime.GOOS != "linux" && test.mode == "unguarded" {
				return // there the guard is all there is
			}
			cmd := exec.Command(os.Args[0], "as-host", test.mode)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			words := strings.Fields(line)
			plugin, grandchild, sockets := number(t, words[0]), number(t, words[1]), words[3]
			t.Cleanup(func() { _ = os.RemoveAll(sockets) })
			if !runs(plugin) || !runs(grandchild) {
				t.Fatal("they do not run")
			}
			if err := cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // it was killed
			gone(t, "the plugin", plugin)
			if test.mode == "unguarded" {
				_ = syscall.Kill(grandchild, syscall.SIGKILL) // as documented: only the guard knows of it
				return
			}
			gone(t, "the grandchild", grandchild)
			gone(t, "the guard", number(t, words[2]))
		})
	}
}

func TestAKilledPluginLeavesNothing(t *testing.T) {
	c := goodClient(t, nil)
	plugin, grandchild := pluginPID(t, c), number(t, planned(t, c, "child:"))
	if err := syscall.Kill(plugin, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	gone(t, "the grandchild", grandchild)
	<-c.process.done
	_, err := c.Describe(context.Background())
	if e := problem(t, err, "ended (signal: killed)"); !strings.Contains(e.Hint, "memory") {
		t.Errorf("the hint is %q", e.Hint)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	c := goodClient(t, func(o *Options) { o.Guard = guardCommand })
	plugin, grandchild, guard := pluginPID(t, c), number(t, planned(t, c, "child:")), c.host.setUp.guard.cmd.Process.Pid
	if err := c.host.Close(); err != nil {
		t.Error(err)
	}
	for what, pid := range map[string]int{"the plugin": plugin, "the grandchild": grandchild, "the guard": guard} {
		if runs(pid) {
			t.Errorf("%s still runs", what)
		}
	}
}

func TestAStoppedPluginIsClosedToo(t *testing.T) {
	c := goodClient(t, nil)
	plugin := pluginPID(t, c)
	if err := syscall.Kill(plugin, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if err := c.host.Close(); err != nil {
		t.Error(err)
	}
	if runs(plugin) {
		t.Error("it still runs")
	}
}

func TestADaemonThatHoldsTheOutputOpenHidesNoDeath(t *testing.T) {
	c := goodClient(t, nil)
	daemon := number(t, planned(t, c, "daemon:"))
	t.Cleanup(func() { _ = syscall.Kill(daemon, syscall.SIGKILL) })
	_, err := c.Plan(context.Background(), &pluginv1.PlanRequest{Address: "exit:5"}, nil)
	problem(t, err, "ended (exit status 5)")
}

func TestAPluginOutlivesTheThreadsOfItsHost(t *testing.T) {
	c := goodClient(t, nil)
	done := make(chan struct{})
	for range 64 {
		go func() {
			runtime.LockOSThread() // the thread ends with the goroutine
			done <- struct{}{}
		}()
	}
	for range 64 {
		<-done
	}
	if got := planned(t, c, "say:alive"); got != "alive" {
		t.Error(got)
	}
}
