package pluginhost

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// announceLimit is how many bytes the first line of a plugin may have.
	announceLimit = 4096
	// drainTime is how long the output of a plugin that has ended is read. Only what left its process
	// group can keep it open.
	drainTime = 300 * time.Millisecond
)

// process is one run of a plugin's executable. It is the runner that go-plugin starts it by: go-plugin's own gives
// the plugin davit's standard input, and stops reading output at a long line.
type process struct {
	cmd     *exec.Cmd
	spawn   *spawner
	guard   *guard
	output  *tail
	printed func(line []byte) // told the lines of standard output after the first
	dir     string            // where its sockets must be

	said      chan struct{} // closed when announced is set
	announced string        // the first line of its standard output, where it says how to reach it
	rest      *strings.Reader
	address   string        // of its socket
	done      chan struct{} // closed when it has ended, with its group, and its output is read

	mu      sync.Mutex
	pid     int // 0: not started
	killed  bool
	reaped  bool
	pipes   [2]*os.File
	readers sync.WaitGroup
}

func newProcess(cmd *exec.Cmd, h *Host, c *Client, dir string) *process {
	cmd.SysProcAttr = processAttributes()
	return &process{
		cmd: cmd, spawn: h.setUp.spawn, guard: h.setUp.guard, output: c.output, printed: c.printed, dir: dir,
		said: make(chan struct{}), done: make(chan struct{}), rest: strings.NewReader(""),
	}
}

// Start implements go-plugin's runner.
func (p *process) Start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.killed {
		return context.Canceled
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer outW.Close()
	errR, errW, err := os.Pipe()
	if err != nil {
		_ = outR.Close()
		return err
	}
	defer errW.Close()
	p.cmd.Stdout, p.cmd.Stderr = outW, errW
	p.spawn.do(func() { err = p.cmd.Start() })
	if err != nil {
		_, _ = outR.Close(), errR.Close()
		return err
	}
	p.pid = p.cmd.Process.Pid
	p.guard.add(p.pid)
	p.pipes = [2]*os.File{outR, errR}
	p.readers.Go(func() { p.readOutput(outR) })
	p.readers.Go(func() { copyLines(errR, p.output.add) })
	go p.watch()
	return nil
}

// readOutput takes the first line, which is the handshake, and reads on for ever: a plugin that prints must not stop.
func (p *process) readOutput(r io.Reader) {
	b := bufio.NewReaderSize(r, announceLimit)
	line, _ := b.ReadSlice('\n') // too long a line, or the end, is no handshake: judged by who waits for it
	p.announced = strings.TrimSpace(string(line))
	if len(line) > 0 {
		p.rest = strings.NewReader(p.announced + "\n")
	}
	close(p.said)
	copyLines(b, p.printed)
}

// announcement is the first line of its standard output, empty if there is none yet.
func (p *process) announcement() string {
	select {
	case <-p.said:
		return p.announced
	default:
		return ""
	}
}

func copyLines(r io.Reader, add func(line []byte)) {
	l := &lines{add: add}
	_, _ = io.Copy(l, r)
	l.flush()
}

// watch waits for the end of the process, ends what it left behind, and reads what it said last.
func (p *process) watch() {
	waitExit(p.cmd)
	p.mu.Lock()
	p.signal()
	_ = p.cmd.Wait() // the state is what counts
	p.reaped = true
	p.mu.Unlock()
	p.guard.remove(p.pid)
	for _, r := range p.pipes {
		_ = r.SetReadDeadline(time.Now().Add(drainTime))
	}
	p.readers.Wait()
	for _, r := range p.pipes {
		_ = r.Close()
	}
	close(p.done)
}

// signal kills the process group. The lock is held.
func (p *process) signal() { _ = syscall.Kill(-p.pid, syscall.SIGKILL) }

// kill ends the process and its group; before the start, it prevents it.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	if p.pid != 0 && !p.reaped {
		p.signal()
	}
}

// ended tells whether the process has ended, and how: "exit status 2".
func (p *process) ended() (string, bool) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.String(), true
	default:
		return "", false
	}
}

// alone tells whether a process that has ended did so by itself, and was not killed from here.
func (p *process) alone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return !p.killed || !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL
}

// wait waits until the process has ended, or the time is over.
func (p *process) wait(ctx context.Context, most time.Duration) {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
	case <-ctx.Done():
	}
}

// Wait implements go-plugin's runner.
func (p *process) Wait(context.Context) error {
	<-p.done
	return nil
}

// Kill implements go-plugin's runner.
func (p *process) Kill(context.Context) error {
	p.kill()
	return nil
}

// Stdout implements go-plugin's runner: it has the first line only.
func (p *process) Stdout() io.ReadCloser { return io.NopCloser(firstLine{p}) }

// Stderr implements go-plugin's runner. It is read here.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements go-plugin's runner.
func (p *process) Name() string { return p.cmd.Path }

// ID implements go-plugin's runner: empty when there is nothing to stop.
func (p *process) ID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid == 0 {
		return ""
	}
	return strconv.Itoa(p.pid)
}

// Diagnose implements go-plugin's runner.
func (p *process) Diagnose(context.Context) string { return "" }

// PluginToHost implements go-plugin's runner.
func (p *process) PluginToHost(network, address string) (string, string, error) {
	if err := checkSocket(p.dir, network, address); err != nil {
		return "", "", err
	}
	p.address = address
	return network, address, nil
}

// HostToPlugin implements go-plugin's runner.
func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

type firstLine struct{ p *process }

// Read waits for the line, or the end of the output.
func (f firstLine) Read(b []byte) (int, error) {
	<-f.p.said
	return f.p.rest.Read(b)
}
