package carry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/davit-sh/davit/state"
)

// errCancelled ends the operation of one instance.
var errCancelled = errors.New("it was cancelled by a person")

// errSuperseded ends the operation of one instance that need not end: what it would do is done by another apply.
var errSuperseded = errors.New("a newer change takes its place")

// Running is an operation that a plugin is working on.
type Running struct {
	Address, Action, Operation string
	Since                      time.Time
}

// Handle is a hold on an apply while it runs. It may be used concurrently, before the apply begins and after it has ended. The zero value
// is ready to use, for one apply.
type Handle struct {
	mu      sync.Mutex
	stopped bool
	stop    func() // nil until the apply begins
	running map[string]*work
}

type work struct {
	Running
	cancel context.CancelCauseFunc
}

// Running returns the operations that plugins are working on, in the order of their addresses.
func (h *Handle) Running() []Running {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Running, 0, len(h.running))
	for _, w := range h.running {
		list = append(list, w.Running)
	}
	slices.SortFunc(list, func(a, b Running) int { return strings.Compare(a.Address, b.Address) })
	return list
}

// Stop cancels the apply softly: no operation is started any more, and those that are running finish.
func (h *Handle) Stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if h.stop != nil {
		h.stop()
	}
}

// Cancel cancels the running operation of one instance. It fails, what depends on it is not started (what depends on a build goes
// on with its last result), and the rest goes on. The operation stays open in state, and the next run finds out what became of it.
// Cancel returns false if there is no such operation.
func (h *Handle) Cancel(address string) bool { return h.end(address, errCancelled) }

// Supersede cancels the running operation of one instance as Cancel does, and it counts neither as done nor as failed: another apply takes its
// place.
func (h *Handle) Supersede(address string) bool { return h.end(address, errSuperseded) }

func (h *Handle) end(address string, why error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := false
	for _, w := range h.running {
		if w.Address == address {
			w.cancel(why)
			found = true
		}
	}
	return found
}

// attach gives the handle the function that ends the apply softly.
func (h *Handle) attach(stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop = stop; h.stopped {
		stop()
	}
}

// begin notes that a plugin works on an operation, until end is called. The context that it returns ends when the operation is cancelled.
func (h *Handle) begin(ctx context.Context, op *state.Operation) (working context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running == nil {
		h.running = map[string]*work{}
	}
	h.running[op.ID] = &work{Running{op.Address, op.Action, op.ID, time.Now()}, cancel}
	return ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.running, op.ID)
		cancel(nil)
	}
}
