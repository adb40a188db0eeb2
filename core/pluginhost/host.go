// Package pluginhost finds, verifies, starts, supervises and stops plugin processes.
//
// Each plugin is a process of its own that speaks schemas/plugin/v1 over an owner-only Unix
// socket. It sees a short list of environment variables, starts on first use, and is gone
// when the host is, however the host ends.
package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options says which plugins there are and what they are told.
type Options struct {
	Version            string // davit's, told to plugins
	CacheDir, StackDir string
	Plugins            map[string]Executable // by name
	StartTimeout       time.Duration         // 0: ten seconds
	Log                func(plugin, line string)
}

// Executable is how a plugin is started.
type Executable struct {
	Path   string
	Args   []string
	SHA256 string   // hex; empty: not verified, for the running binary itself
	Env    []string // names of variables that it may see besides the usual ones
}

// Host starts plugins and keeps them.
type Host struct {
	options Options
	starter *starter

	mu      sync.Mutex
	dir     string
	clients map[string]*starting
	closed  bool
}

// starting is a plugin that is being started, or has been.
type starting struct {
	once   sync.Once
	client *Client
	err    error
}

// New makes a host. Nothing is started yet.
func New(o Options) *Host {
	if o.StartTimeout == 0 {
		o.StartTimeout = 10 * time.Second
	}
	return &Host{options: o, starter: newStarter(), clients: map[string]*starting{}}
}

// Client returns the running plugin, starting it on first use. A plugin that has failed stays
// failed: its operations fail, and nothing else does.
func (h *Host) Client(ctx context.Context, name string) (*Client, error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, &Error{Plugin: name, Doing: "starting", Problem: "the run is over"}
	}
	s := h.clients[name]
	if s == nil {
		s = &starting{}
		h.clients[name] = s
	}
	h.mu.Unlock()
	s.once.Do(func() { s.client, s.err = h.start(ctx, name) })
	return s.client, s.err
}

func (h *Host) start(ctx context.Context, name string) (*Client, error) {
	e, ok := h.options.Plugins[name]
	if !ok {
		return nil, &Error{Plugin: name, Doing: "starting", Problem: "there is no such plugin", Hint: "Name it in required_plugins and run davit init."}
	}
	dir, err := h.socketDir()
	if err != nil {
		return nil, &Error{Plugin: name, Doing: "starting", Err: err}
	}
	return start(ctx, name, e, dir, h)
}

// socketDir makes the host's folder for sockets, which only its owner may enter, and removes
// those of hosts that were killed.
func (h *Host) socketDir() (string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dir != "" {
		return h.dir, nil
	}
	sweep()
	dir, err := os.MkdirTemp("", prefix()+strconv.Itoa(os.Getpid())+"-*")
	h.dir = dir
	return dir, err
}

func prefix() string { return "davit-" + strconv.Itoa(os.Getuid()) + "-" }

// sweep removes the folders of this user's hosts that are not there any more.
func sweep() {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), prefix()+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix()), "-")
		pid, err := strconv.Atoi(owner)
		info, statErr := os.Lstat(dir)
		if err != nil || statErr != nil || !info.IsDir() || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		if s, ok := info.Sys().(*syscall.Stat_t); ok && int(s.Uid) == os.Getuid() {
			_ = os.RemoveAll(dir) // what cannot be removed now is swept by the next host
		}
	}
}

// Close ends all plugins, gracefully first. Nothing is left running.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closed = true
	clients, dir := h.clients, h.dir
	h.clients = map[string]*starting{}
	h.mu.Unlock()
	var wg sync.WaitGroup
	for _, s := range clients {
		s.once.Do(func() { s.err = &Error{Doing: "starting", Problem: "the run is over"} })
		if s.client != nil {
			wg.Go(s.client.stop)
		}
	}
	wg.Wait()
	h.starter.close()
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}

// Error is a failure of a plugin as a process.
type Error struct {
	Plugin  string
	Doing   string // "starting", "planning build.x.y"
	Problem string
	Output  string // the last lines that it wrote to standard error
	Hint    string
	Err     error
}

func (e *Error) Error() string {
	problem := e.Problem
	if e.Err != nil {
		if problem != "" {
			problem += ": "
		}
		problem += e.Err.Error()
	}
	text := fmt.Sprintf("plugin %q, %s: %s", e.Plugin, e.Doing, problem)
	if e.Output != "" {
		text += "\nIts last words:\n  " + strings.ReplaceAll(e.Output, "\n", "\n  ")
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// HintText says what to do next.
func (e *Error) HintText() string { return e.Hint }
