package pluginhost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// StackOptions are the name, the plugins and the settings of one stack of a shared host.
type StackOptions struct {
	Dir     string                // what relative paths in a configuration are relative to
	Name    string                // what people call it
	Lineage string                // of its state; empty while nothing was ever written to it
	Plugins map[string]Executable // by the plugin's name
	// Credentials are told to the plugins that they are for, by the plugin's name.
	Credentials map[string][]*pluginv1.Credential
}

// Stack is one of several stacks of a host. Stacks with the same executable share its process if the plugin declares
// many_stacks; other plugins have a process for each stack. Its methods may be called concurrently.
type Stack struct {
	host    *Host
	id      string
	options StackOptions

	mu     sync.Mutex
	closed bool
	seats  map[string]*seat
}

// seat is a stack's use of one plugin.
type seat struct {
	ready  chan struct{} // closed when the rest is set
	key    string
	slot   *sharedSlot
	client *Client
	many   bool // the plugin serves several stacks, so it can be configured again
	err    error
}

// sharedSlot is a process that stacks share. Under Host.mu but for what ready says.
type sharedSlot struct {
	ready  chan struct{} // closed when client, many and err are set
	client *Client       // not configured
	many   bool
	err    error
	users  int
	owner  *Stack // of a process that serves one stack only
}

// Open returns a stack on the host. Its plugins are started at the first use, or taken from other stacks.
func (h *Host) Open(o StackOptions) *Stack {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stacks++
	return &Stack{host: h, id: strconv.FormatUint(h.stacks, 10), options: o, seats: map[string]*seat{}}
}

// Client returns the plugin of that name, started and configured for the stack. The error is an *Error, or that of the
// context.
func (s *Stack) Client(ctx context.Context, name string) (*Client, error) {
	t, err := s.seat(name)
	if err != nil {
		return nil, err
	}
	select {
	case <-t.ready:
		return t.client, t.err
	case <-ctx.Done():
		return nil, &Error{Plugin: name, Doing: "starting", Problem: "was not awaited", Err: context.Cause(ctx)}
	}
}

// AnyEnded tells whether a plugin of the stack did not start, or has ended.
func (s *Stack) AnyEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.seats {
		select {
		case <-t.ready:
			if t.err != nil {
				return true
			}
			if _, ended := t.client.Ended(); ended {
				return true
			}
		default:
		}
	}
	return false
}

func (s *Stack) seat(name string) (*seat, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, &Error{Plugin: name, Problem: "was not started, because its stack is closed"}
	}
	if t := s.seats[name]; t != nil {
		return t, nil
	}
	exe, ok := s.options.Plugins[name]
	if !ok {
		return nil, &Error{Plugin: name, Problem: "is not known", Hint: fmt.Sprintf("Add it to required_plugins: %s = { source = \"./path/to/it\" }.", name)}
	}
	t := &seat{ready: make(chan struct{})}
	s.seats[name] = t
	go func() {
		defer close(t.ready)
		s.join(t, name, exe)
	}()
	return t, nil
}

// join takes a shared process, or one of the stack's own, and configures it for the stack.
func (s *Stack) join(t *seat, name string, exe Executable) {
	id, err := json.Marshal([]any{name, exe})
	if err != nil {
		t.err = &Error{Plugin: name, Problem: "was not started: " + err.Error(), Err: err}
		return
	}
	key := string(id)
	slot, err := s.host.take(key, name, exe)
	if err == nil && !slot.many && !slot.first(s) {
		// It serves one stack in each process, and another stack has this one.
		s.host.leave(key, slot)
		key += " " + s.id
		slot, err = s.host.take(key, name, exe)
	}
	if err != nil {
		t.err = err
		return
	}
	t.key, t.slot, t.many = key, slot, slot.many
	ctx, cancel := context.WithTimeout(s.host.ctx, s.host.options.StartTimeout)
	defer cancel()
	if err := slot.client.send(ctx, s.configuration(name)); err != nil {
		t.err = slot.client.failed(ctx, "starting", err)
		if no, ok := errors.AsType[*refused](err); ok {
			t.err = &Error{Plugin: name, Problem: "refused to work: " + no.text, Hint: no.hint}
		}
		s.host.leave(key, slot)
		return
	}
	t.client = &Client{running: slot.client.running, stack: s.id}
}

// first tells whether the stack is the one that a process of a single stack belongs to: the first that asks.
func (s *sharedSlot) first(by *Stack) bool {
	by.host.mu.Lock()
	defer by.host.mu.Unlock()
	if s.owner == nil {
		s.owner = by
	}
	return s.owner == by
}

// configuration is the Configure request of the stack for the plugin of that name.
func (s *Stack) configuration(name string) *pluginv1.ConfigureRequest {
	o := s.host.options
	s.mu.Lock()
	defer s.mu.Unlock()
	return &pluginv1.ConfigureRequest{
		HostVersion: o.Version, CacheDir: o.CacheDir, StackDir: s.options.Dir, StackName: s.options.Name, Lineage: s.options.Lineage, Stack: s.id,
		Credentials: s.options.Credentials[name],
	}
}

// SetLineage tells the stack's plugins the lineage of its state, those that run and those that start later.
func (s *Stack) SetLineage(ctx context.Context, lineage string) error {
	s.mu.Lock()
	changed := s.options.Lineage != lineage
	s.options.Lineage = lineage
	seats := slices.Collect(maps.Values(s.seats))
	s.mu.Unlock()
	if !changed {
		return nil
	}
	var errs []error
	for _, t := range seats {
		select {
		case <-t.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if t.err == nil && t.many {
			errs = append(errs, t.client.failed(ctx, "configuring it", t.client.send(ctx, s.configuration(t.client.name))))
		}
	}
	return errors.Join(errs...)
}

// take returns a process that is started and not configured, and counts its users. One that has ended is started again for
// those who come later.
func (h *Host) take(key, name string, exe Executable) (*sharedSlot, error) {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, &Error{Plugin: name, Problem: "was not started because davit is stopping"}
	}
	s := h.shared[key]
	if s == nil || s.over() {
		s = &sharedSlot{ready: make(chan struct{})}
		h.shared[key] = s
		go func() {
			defer close(s.ready)
			if s.client, s.err = h.start(name, exe, true); s.err == nil {
				s.many, s.err = manyStacks(h.ctx, s.client)
			}
		}()
	}
	s.users++
	h.mu.Unlock()
	<-s.ready
	if s.err != nil {
		h.leave(key, s)
		return nil, s.err
	}
	return s, nil
}

func manyStacks(ctx context.Context, c *Client) (bool, error) {
	d, err := c.Describe(ctx)
	return d.GetManyStacks(), err
}

// over returns whether the process has ended or could not be started.
func (s *sharedSlot) over() bool {
	select {
	case <-s.ready:
	default:
		return false
	}
	if s.err != nil {
		return true
	}
	_, ended := s.client.Ended()
	return ended
}

// leave ends the process when its last user leaves.
func (h *Host) leave(key string, s *sharedSlot) {
	h.mu.Lock()
	s.users--
	last := s.users == 0 && !h.closed
	if last && h.shared[key] == s {
		delete(h.shared, key)
	}
	h.mu.Unlock()
	if last && s.client != nil {
		s.client.stop()
	}
}

// Close ends the stack's use of its plugins. A process that no other stack uses ends.
func (s *Stack) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	var wg sync.WaitGroup
	for _, t := range s.seats {
		wg.Go(func() {
			<-t.ready
			if t.client == nil {
				return
			}
			ctx, cancel := context.WithTimeout(s.host.ctx, graceTime)
			defer cancel()
			_, _ = t.client.rpc.CloseStack(ctx, &pluginv1.CloseStackRequest{Stack: s.id}) // a plugin can do without
			s.host.leave(t.key, t.slot)
		})
	}
	wg.Wait()
	return nil
}
