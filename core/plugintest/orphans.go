package plugintest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/davit-sh/davit/core/pluginhost"
)

// ready is what HostToKill prints.
const ready = "ready"

// HostToKill starts the plugin, lets it plan the examples, prints a line and waits to be killed, or for the end of in.
func HostToKill(ctx context.Context, o Options, in io.Reader, out io.Writer) error {
	if o.Examples == nil {
		o.Examples = &Examples{}
	}
	folder, err := os.MkdirTemp("", "davit-plugin-test-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	s, err := newSuite(o, folder)
	if err != nil {
		return err
	}
	h := pluginhost.New(pluginhost.Options{
		Version: o.Version, CacheDir: s.cache, StackDir: s.folder, Plugins: map[string]pluginhost.Executable{name: o.Executable},
	})
	defer h.Close()
	s.rig = &rig{suite: s, host: h}
	if s.rig.client, err = h.Client(ctx, name); err != nil {
		return err
	}
	if s.started, err = s.rig.client.Describe(ctx); err != nil {
		return err
	}
	for _, d := range s.started.GetTypes() {
		t, err := s.newTrial(d)
		if err != nil {
			return err
		}
		if !t.isPlanned() {
			continue
		}
		_, _ = t.plan(ctx, t.request(t.example.config), nil) // what comes of it is judged elsewhere
	}
	fmt.Fprintln(out, ready)
	_, err = io.Copy(io.Discard, in)
	return err
}

// killedHost kills a host and looks whether anything that the plugin is, or has started, is left.
func (s *suite) killedHost(ctx context.Context) outcome {
	const mend = "End when the host ends: do not leave the process group or start daemons. A plugin sees the end of its host by the end of its connection."
	switch {
	case s.options.Host.Path == "":
		return skip("the plugin was not started by a host")
	case !isDir("/proc/self"):
		return skip("this system does not show the children of a process in /proc")
	}
	cmd := exec.CommandContext(ctx, s.options.Host.Path, s.options.Host.Args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+filepath.Dir(s.folder)) // it cannot remove what it makes
	stop, err := cmd.StdinPipe()
	if err != nil {
		return skip("%v", err)
	}
	defer stop.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return skip("%v", err)
	}
	if err := cmd.Start(); err != nil {
		return skip("the host did not start: %v", err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	children := descendants(cmd.Process.Pid)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if strings.TrimSpace(line) != ready {
		return fail("See the check start.", "in a host of its own it did not start")
	}
	return left(ctx, children, mend)
}

// left waits for processes to end; it ends those that do not.
func left(ctx context.Context, children map[int]string, mend string) outcome {
	deadline := time.Now().Add(5 * time.Second)
	for {
		var alive []string
		for pid, what := range children {
			if _, started := stat(pid); started == what {
				alive = append(alive, fmt.Sprintf("process %d (%s)", pid, command(pid)))
			}
		}
		if len(alive) == 0 {
			return pass()
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			for pid, what := range children {
				if _, started := stat(pid); started == what {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
			return fail(mend, "5 seconds after its host was killed, %s still ran", strings.Join(alive, ", "))
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// descendants are the processes below one, each with the time of its start, which tells it from a later one of its number.
func descendants(root int) map[int]string {
	below, all := map[int]bool{root: true}, map[int]string{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for grown := true; grown; {
		grown = false
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil || below[pid] {
				continue
			}
			if parent, started := stat(pid); below[parent] {
				below[pid], all[pid], grown = true, started, true
			}
		}
	}
	return all
}

// stat returns a process's parent and start time; both are empty when it has ended.
func stat(pid int) (parent int, started string) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, ""
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // the name before it may hold anything
	if len(f) < 20 || f[0] == "Z" || f[0] == "X" {
		return 0, ""
	}
	parent, _ = strconv.Atoi(f[1])
	return parent, f[19]
}

func command(pid int) string {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return short(strings.TrimSpace(strings.ReplaceAll(string(b), "\x00", " ")))
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
