package pluginhost

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// starter starts processes from one operating-system thread that lives as long as the host:
// the signal that a child gets at its parent's death is sent when the thread that made it ends.
type starter struct {
	work chan func()
	once sync.Once
}

func newStarter() *starter { return &starter{work: make(chan func())} }

func (s *starter) run(f func()) {
	s.once.Do(func() {
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			for f := range s.work {
				f()
			}
		}()
	})
	done := make(chan struct{})
	s.work <- func() {
		defer close(done)
		f()
	}
	<-done
}

func (s *starter) close() { close(s.work) }

// process is a plugin's process, as go-plugin's runner.Runner.
type process struct {
	name           string
	cmd            *exec.Cmd
	stdout, stderr io.ReadCloser
	starter        *starter
	verified       *os.File

	mu    sync.Mutex
	ended chan struct{}
	state string // how it ended, "exit status 2"
}

// newProcess makes the process ready to start. spec has the arguments and environment that go-plugin wants.
func newProcess(name string, e Executable, spec *exec.Cmd, s *starter) (*process, error) {
	p := &process{name: name, starter: s, ended: make(chan struct{})}
	cmd := exec.Command(e.Path, e.Args...) //nolint:gosec // starting plugins is what this package is for; the stack names them
	cmd.Env = append(environment(e.Env), spec.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if e.SHA256 != "" {
		f, err := verified(e)
		if err != nil {
			return nil, err
		}
		// What was checked is what is run: the file is started by its descriptor, not by its name.
		p.verified = f
		cmd.ExtraFiles = []*os.File{f}
		cmd.Path = "/proc/self/fd/3"
	}
	var err error
	if p.stdout, err = cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if p.stderr, err = cmd.StderrPipe(); err != nil {
		return nil, err
	}
	p.cmd = cmd
	return p, nil
}

var errChecksum = errors.New("its checksum is not the one in the lock file")

// verified opens the executable and checks its digest.
func verified(e Executable) (*os.File, error) {
	f, err := os.Open(e.Path)
	if err != nil {
		return nil, err
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != e.SHA256 {
		return nil, errors.Join(fmt.Errorf("%w: %s has sha256 %s", errChecksum, e.Path, got), f.Close())
	}
	return f, nil
}

func (p *process) Start(context.Context) (err error) {
	p.starter.run(func() { err = p.cmd.Start() })
	if p.verified != nil {
		err = errors.Join(err, p.verified.Close())
	}
	return err
}

// Wait returns when the process has ended; what it has started itself is ended then as well.
func (p *process) Wait(context.Context) error {
	err := p.cmd.Wait()
	p.killGroup()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == "" {
		p.state = p.cmd.ProcessState.String()
		close(p.ended)
	}
	return err
}

func (p *process) Kill(context.Context) error {
	p.killGroup()
	return nil
}

func (p *process) killGroup() {
	if p.cmd.Process != nil {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // ESRCH: all of it is gone
	}
}

// end tells how the process ended, "" while it runs.
func (p *process) end() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

func (p *process) Stdout() io.ReadCloser { return p.stdout }

func (p *process) Stderr() io.ReadCloser { return p.stderr }

func (p *process) Name() string { return p.name }

func (p *process) ID() string {
	if p.cmd.Process == nil {
		return ""
	}
	return strconv.Itoa(p.cmd.Process.Pid)
}

func (p *process) Diagnose(context.Context) string { return "" }

func (p *process) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// allowed are the variables that a plugin sees: where things are and who the user is to the
// tools that plugins stand for. A secret of a CI job is in none of them.
var allowed = []string{
	"HOME", "PATH", "USER", "LOGNAME", "TMPDIR", "LANG", "TZ", "KUBECONFIG", "DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT",
	"BUILDKIT_HOST", "REGISTRY_AUTH_FILE", "SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "GOMEMLIMIT", "GOMAXPROCS",
}

var allowedPrefixes = []string{"XDG_", "BUILDX_", "KUBERNETES_SERVICE_", "DAVIT_", "LC_"}

func environment(extra []string) []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "DAVIT_VAR_") || name == "DAVIT_PLUGIN" {
			continue // values of variables may be secrets, and reach plugins as arguments
		}
		if slices.Contains(allowed, name) || slices.Contains(extra, name) ||
			slices.ContainsFunc(allowedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			env = append(env, e)
		}
	}
	return env
}

// tail keeps the last lines that a plugin wrote, however many it writes.
type tail struct {
	mu    sync.Mutex
	lines []string
	rest  []byte
	log   func(line string)
}

const (
	tailLines = 12
	tailWidth = 400
)

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range b {
		if c != '\n' {
			if len(t.rest) < tailWidth {
				t.rest = append(t.rest, c)
			}
			continue
		}
		line := strings.ToValidUTF8(string(t.rest), "\uFFFD")
		t.rest = t.rest[:0]
		t.lines = append(t.lines, line)
		if len(t.lines) > tailLines {
			t.lines = slices.Delete(t.lines, 0, len(t.lines)-tailLines)
		}
		if t.log != nil {
			t.log(line)
		}
	}
	return len(b), nil
}

// String returns the last lines; of a Go panic only what went wrong, not the stack.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []string
	for _, l := range t.lines {
		if strings.HasPrefix(l, "goroutine ") || strings.HasPrefix(l, "\t") || strings.HasPrefix(l, "[signal ") {
			break
		}
		if strings.TrimSpace(l) != "" {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}
