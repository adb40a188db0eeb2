package pluginhost

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
)

// Guard reads the running process groups from r ("+123" when one starts, "-123" when it has ended, one a line) until
// its end, and then kills the remaining groups. r ends when davit ends, for whatever reason.
func Guard(r io.Reader) {
	groups := map[int]bool{}
	for s := bufio.NewScanner(r); s.Scan(); {
		if id, err := strconv.Atoi(s.Text()); err == nil && id != 0 {
			if id > 0 {
				groups[id] = true
			} else {
				delete(groups, -id)
			}
		}
	}
	for id := range groups {
		if id > 1 {
			_ = syscall.Kill(-id, syscall.SIGKILL) // gone already is what is wanted
		}
	}
}

// guard is the host's end of a process that runs Guard. A nil guard does nothing.
type guard struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	to  *os.File
}

// startGuard starts a guard. It returns nil if that fails: the guard matters only when davit is killed.
func startGuard(e Executable) *guard {
	if e.Path == "" {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil
	}
	defer r.Close()
	cmd := exec.Command(e.Path, e.Args...)
	cmd.Stdin = r
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	// Out of reach of the terminal's signals, and of those sent to davit's group.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if cmd.Start() != nil {
		_ = w.Close()
		return nil
	}
	return &guard{cmd: cmd, to: w}
}

func (g *guard) add(group int)    { g.tell("+%d\n", group) }
func (g *guard) remove(group int) { g.tell("-%d\n", group) }

func (g *guard) tell(format string, group int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	_, _ = fmt.Fprintf(g.to, format, group) // a guard that was killed is done without
}

func (g *guard) stop() {
	if g == nil {
		return
	}
	_ = g.to.Close()
	_ = g.cmd.Wait()
}
