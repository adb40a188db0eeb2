// Package process runs the lab's servers so that none of them outlives the
// test: each has a process group of its own and is killed by the kernel when
// the process that started it dies, however it dies.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Command says what to run.
type Command struct {
	Name string   // what people call it; also in error messages
	Args []string // path of the executable and its arguments
	Env  []string // added to this process's environment
	Dir  string   // working folder; this process's when empty
	Log  string   // file that gets standard output and standard error

	// Private gives the process new PID and mount namespaces: everything it
	// ever started dies with it, and its mounts vanish with it. Needs root.
	Private bool
	// Hidden are folders that a Private process sees empty at first, made when
	// they do not exist. What it writes there is gone when it ends.
	Hidden []string
	// Within runs the process in the namespaces of a Private one.
	Within *Process
}

// Process is a running server. Its methods may be called concurrently.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // how it ended; valid once done is closed
}

// privateInit is the first process of a private PID namespace: it shows the
// namespace's own processes in /proc, hides folders ($1, separated by colons),
// runs the command and inherits its orphans.
const privateInit = `set -e
mount -t proc proc /proc
IFS=:; for dir in $1; do mkdir -p "$dir"; mount -t tmpfs tmpfs "$dir"; done; unset IFS
shift; set +e
"$@" & wait $!`

// Start starts a command.
func Start(c Command) (*Process, error) {
	log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	defer func() { _ = log.Close() }() // the child has its own copy

	args := c.Args
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.Private {
		attr.Cloneflags = syscall.CLONE_NEWPID
		attr.Unshareflags = syscall.CLONE_NEWNS // Unshareflags also makes mounts private
		args = append([]string{"/bin/sh", "-c", privateInit, c.Name, strings.Join(c.Hidden, ":")}, args...)
	}
	if c.Within != nil {
		pid := strconv.Itoa(c.Within.Pid())
		args = append([]string{"nsenter", "--target", pid, "--pid", "--mount", "--"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // the lab's own servers
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir = c.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attr

	p := &Process{name: c.Name, log: c.Log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends Pdeathsig when the *thread* that started the child
		// ends, so one thread is kept for as long as the child lives.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	return p, nil
}

// Pid returns the process id as seen from outside of any namespace.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// WaitReady calls check until it returns nil. It gives up when the process
// ends, when ctx is done, or after limit; the error then shows what check said
// last and the end of the log.
func (p *Process) WaitReady(ctx context.Context, limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	pause := 5 * time.Millisecond
	for {
		last := check(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended while starting (%v); its log, %s, ends with:\n%s", p.name, p.err, p.log, p.Tail(20))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready after %s: %w; its log, %s, ends with:\n%s",
				p.name, time.Since(start).Round(time.Millisecond), last, p.log, p.Tail(20))
		case <-time.After(pause):
			pause = min(pause*2, 100*time.Millisecond)
		}
	}
}

// Stop asks the process group to end, kills it after the grace period, and
// returns when the process is gone. A zero grace kills at once.
func (p *Process) Stop(grace time.Duration) error {
	if p == nil {
		return nil
	}
	if grace > 0 {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(grace):
		}
	}
	p.signal(syscall.SIGKILL)
	select {
	case <-p.done:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("%s (pid %d) does not end", p.name, p.Pid())
	}
}

// signal reaches the whole group, but only while its leader has not been
// waited for: after that the number may belong to someone else.
func (p *Process) signal(sig syscall.Signal) {
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(-p.Pid(), sig)
	}
}

// Tail returns the last lines of the log, indented.
func (p *Process) Tail(lines int) string {
	text, err := tail(p.log, 32<<10)
	if err != nil {
		return "    (" + err.Error() + ")"
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	all = all[max(0, len(all)-lines):]
	return "    " + strings.Join(all, "\n    ")
}

func tail(path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-size), size))
	return bytes.ToValidUTF8(text, []byte("?")), err
}

// Run runs a command to its end and returns its standard output. The error
// holds what it wrote to standard error. When ctx ends the command is killed
// with all it started; it does not outlive this process either.
func Run(ctx context.Context, c Command) ([]byte, error) {
	runtime.LockOSThread() // for Pdeathsig, as in Start
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...) //nolint:gosec // the lab's own commands
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Dir = c.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(stderr.String())
		if ctx.Err() != nil {
			err = errors.Join(err, context.Cause(ctx))
		}
		return stdout.Bytes(), fmt.Errorf("%s: %w\n%s", c.Name, err, said)
	}
	return stdout.Bytes(), nil
}
