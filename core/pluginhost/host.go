// Package pluginhost finds, verifies, starts, supervises and stops plugin processes.
//
// A plugin is a process of its own that serves the protocol of schemas/plugin/v1 over
// gRPC on a Unix socket that only its owner can reach, after the handshake of
// hashicorp/go-plugin. What the host promises:
//
//   - A plugin sees a few neutral environment variables and those that it is named for, not the secrets of a CI job.
//   - It has no terminal, and a process group of its own. When it ends, for whatever reason, the
//     rest of its group is killed; when davit ends, for whatever reason, so do its plugins.
//   - What is started is what was verified.
//   - A plugin that crashes, hangs, floods its output or breaks the protocol costs its own
//     calls an error that a person understands. Other plugins do not notice.
package pluginhost

import (
	"context"
	"fmt"
	"sync"
	"time"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/handshake"
)

// startTimeout is how long a plugin may take until it is configured, unless Options say otherwise.
const startTimeout = 10 * time.Second

// Options are the plugins of a host and their settings.
type Options struct {
	Version  string // davit's version, told to plugins
	CacheDir string // told to plugins: content-addressed folders live here
	StackDir string // told to plugins: what relative paths in a configuration are relative to
	// StackName is the name of the stack for people; plugins receive it.
	StackName string

	Plugins map[string]Executable // by the plugin's name
	// Credentials are the logins for each plugin, by the plugin's name.
	Credentials map[string][]*pluginv1.Credential
	// Reattach has the addresses of plugins that were started by other means, by name. They are not started, verified or ended.
	Reattach map[string]Reattach
	// Guard is a command that runs the function Guard on its standard input, usually davit itself. It outlives
	// a davit that is killed and ends what plugins have started. Without it, only the plugins themselves
	// end with a killed davit, and only on Linux.
	Guard Executable
	// Log receives each line that a plugin writes to its standard error or output. It may be
	// called concurrently. Nil: the lines are dropped.
	Log func(plugin, line string)
	// Stdout receives, besides Log, each line that a plugin writes to its standard output after its handshake. A correct plugin
	// writes none. It may be called concurrently. Nil: the lines are dropped.
	Stdout func(plugin, line string)
	// StartTimeout bounds the start of a plugin, until it is configured; 0 means 10 s.
	StartTimeout time.Duration
}

// Executable is a program with its checksum, arguments and environment.
type Executable struct {
	Path   string
	Args   []string
	SHA256 string   // hex; empty: not verified (the running binary itself)
	Env    []string // environment variables that it may see besides the neutral ones; NAME*: all that begin so
	Set    []string // further variables, as NAME=value
	Mend   string   // what to do when it is not what SHA256 says; empty: what to do about a file that a person has built
}

// Host starts and ends plugins. Its methods may be called concurrently.
type Host struct {
	options Options
	limit   int // bytes of the largest message

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	telling sync.Mutex // held while running plugins are told the lineage
	mu      sync.Mutex
	closed  bool
	slots   map[string]*slot
	shared  map[string]*sharedSlot
	stacks  uint64 // how many stacks were opened
	lineage string // of the stack's state
	closing sync.Once

	setUp struct {
		once  sync.Once
		err   error
		dir   *socketDir
		spawn *spawner
		guard *guard
	}
}

// slot is one plugin, started or starting.
type slot struct {
	ready  chan struct{} // closed when client and err are set
	client *Client
	err    error
}

// New returns a host. It starts nothing yet.
func New(o Options) *Host {
	if o.StartTimeout <= 0 {
		o.StartTimeout = startTimeout
	}
	h := &Host{options: o, limit: handshake.MaxMessage, slots: map[string]*slot{}, shared: map[string]*sharedSlot{}}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Client returns the plugin of that name, started and configured. It starts it at the first call; calls for
// different names start in parallel. A plugin that did not start, or that ended, is not started again.
// The error is an *Error, or that of the context.
func (h *Host) Client(ctx context.Context, name string) (*Client, error) {
	s, err := h.slot(name)
	if err != nil {
		return nil, err
	}
	select {
	case <-s.ready:
		return s.client, s.err
	case <-ctx.Done():
		return nil, &Error{Plugin: name, Doing: "starting", Problem: "was not awaited", Err: context.Cause(ctx)}
	}
}

// AnyEnded returns whether a plugin failed to start, or has ended.
func (h *Host) AnyEnded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.slots {
		select {
		case <-s.ready:
			if s.err != nil {
				return true
			}
			if _, ended := s.client.Ended(); ended {
				return true
			}
		default:
		}
	}
	return false
}

func (h *Host) slot(name string) (*slot, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, &Error{Plugin: name, Problem: "was not started because davit is stopping"}
	}
	if s := h.slots[name]; s != nil {
		return s, nil
	}
	exe, ok := h.options.Plugins[name]
	where, attached := h.options.Reattach[name]
	if !ok && !attached {
		return nil, &Error{Plugin: name, Problem: "is not known", Hint: fmt.Sprintf("Add it to required_plugins: %s = { source = \"./path/to/it\" }.", name)}
	}
	s := &slot{ready: make(chan struct{})}
	h.slots[name] = s
	// The start belongs to all who wait for it, so it does not end with the context of one of them.
	go func() {
		defer close(s.ready)
		if attached {
			s.client, s.err = h.attach(name, where)
			return
		}
		s.client, s.err = h.start(name, exe, false)
	}()
	return s, nil
}

// prepare creates, once, the folder of sockets and the guard that all plugins share.
func (h *Host) prepare() error {
	s := &h.setUp
	s.once.Do(func() {
		if s.dir, s.err = newSocketDir(); s.err != nil {
			return
		}
		s.spawn = newSpawner()
		s.guard = startGuard(h.options.Guard)
	})
	return s.err
}

// Close asks all plugins to end, and kills those that do not. When it returns, no process of the host
// runs, and the folder of its sockets is removed.
func (h *Host) Close() error {
	h.closing.Do(h.close)
	return nil
}

func (h *Host) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	var wg sync.WaitGroup
	for _, s := range h.slots { // not written to any more, nor is shared
		wg.Go(func() {
			<-s.ready
			if s.client != nil {
				s.client.stop()
			}
		})
	}
	for _, s := range h.shared {
		wg.Go(func() {
			<-s.ready
			if s.client != nil {
				s.client.stop()
			}
		})
	}
	wg.Wait()
	h.setUp.once.Do(func() {}) // after this nothing is made any more
	h.setUp.guard.stop()
	h.setUp.spawn.stop()
	h.setUp.dir.remove()
}
