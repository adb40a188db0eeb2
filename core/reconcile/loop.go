package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/state"
)

// Options say how a loop works.
type Options struct {
	Stacks   Stacks
	Process  *session.Process
	Interval time.Duration // of the timer of a stack that has none of its own; 0: a minute
	Parallel int           // operations of one stack at the same time; 0: 10
	Passes   int           // stacks that plan at the same time; 0: 4
	Grace    time.Duration // how long a stop waits for running operations before it cancels them; 0: 20 s
	// RetryMin and RetryMax bound the delay after a failure; 0: 5 s and 10 min.
	RetryMin, RetryMax time.Duration
	Who                string // works, for locks and histories
	Log                *slog.Logger
}

func (o *Options) fill() {
	def := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	def(&o.Interval, time.Minute)
	def(&o.Grace, 20*time.Second)
	def(&o.RetryMin, 5*time.Second)
	def(&o.RetryMax, 10*time.Minute)
	if o.Passes <= 0 {
		o.Passes = 4
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Loop keeps the stacks of one process what they should be. Its methods may be called concurrently.
type Loop struct {
	options Options
	passes  chan struct{}    // one for each stack that plans
	host    *pluginhost.Host // of all stacks; it is there while Run runs
	feed    feed
	metrics metrics

	mu      sync.Mutex
	workers map[string]*worker
}

// New returns a loop that does not run yet.
func New(o Options) *Loop {
	o.fill()
	return &Loop{options: o, passes: make(chan struct{}, o.Passes), workers: map[string]*worker{}}
}

// Run works until the soft context ends, and returns when all of its work has ended: running operations may finish for as long as Options.Grace
// says, and are cancelled then. What is unfinished is found again by the next process. When the hard context ends they are cancelled at once.
func (l *Loop) Run(soft, hard context.Context) error {
	l.host = l.options.Process.NewHost()
	defer func() { _ = l.host.Close() }() // it has said all that there is to say
	var running sync.WaitGroup
	defer running.Wait()
	for {
		list, err := l.options.Stacks.List(soft)
		if err != nil && soft.Err() == nil {
			l.options.Log.Error("the stacks cannot be listed", "error", err.Error())
		}
		if err == nil {
			l.adjust(soft, hard, list, &running)
		}
		select {
		case <-soft.Done():
			return nil
		case <-l.options.Stacks.Changed():
		}
	}
}

// adjust starts workers of new stacks, tells others what has changed, and ends those of stacks that are gone.
func (l *Loop) adjust(soft, hard context.Context, list []Stack, running *sync.WaitGroup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wanted := map[string]bool{}
	for _, s := range list {
		wanted[s.Name] = true
		if w := l.workers[s.Name]; w != nil {
			w.setStack(s)
			continue
		}
		w := newWorker(l, s)
		l.workers[s.Name] = w
		own, stop := context.WithCancel(soft)
		w.stop = stop
		running.Go(func() { w.run(own, hard) })
	}
	for name, w := range l.workers {
		if !wanted[name] {
			w.stop()
			delete(l.workers, name)
		}
	}
}

// NotFoundError says that there is no such stack, instance or order.
type NotFoundError struct{ What string }

func (e *NotFoundError) Error() string { return e.What }

// worker returns the worker of a stack. An empty name is the only stack.
func (l *Loop) worker(name string) (*worker, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w := l.workers[name]; w != nil {
		return w, nil
	}
	names := make([]string, 0, len(l.workers))
	for n := range l.workers {
		names = append(names, n)
	}
	slices.Sort(names)
	return nil, &NotFoundError{fmt.Sprintf("there is no stack %q. Stacks: %s", name, strings.Join(names, ", "))}
}

// Stacks returns the status of all stacks without their instances, by name.
func (l *Loop) Stacks() []status.Stack {
	l.mu.Lock()
	workers := make([]*worker, 0, len(l.workers))
	for _, w := range l.workers {
		workers = append(workers, w)
	}
	l.mu.Unlock()
	list := make([]status.Stack, 0, len(workers))
	for _, w := range workers {
		list = append(list, w.board.stack(false))
	}
	slices.SortFunc(list, func(a, b status.Stack) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Stack returns the status of a stack with its instances.
func (l *Loop) Stack(name string) (status.Stack, error) {
	w, err := l.worker(name)
	if err != nil {
		return status.Stack{}, err
	}
	return w.board.stack(true), nil
}

// Trigger makes instances of a stack dirty: all of them if no address is given.
func (l *Loop) Trigger(name string, t Trigger) error {
	w, err := l.worker(name)
	if err != nil {
		return err
	}
	w.queue.add(t)
	return nil
}

// Sync orders a look at a stack, or at one instance of it, and that what may go is applied now. The order's token is in the status until the
// process ends.
func (l *Loop) Sync(name, address, who string) (status.Order, error) {
	w, err := l.worker(name)
	if err != nil {
		return status.Order{}, err
	}
	return w.order("sync", address, who)
}

// Order returns an order of a stack.
func (l *Loop) Order(name, token string) (status.Order, error) {
	w, err := l.worker(name)
	if err != nil {
		return status.Order{}, err
	}
	if o, ok := w.board.order(token); ok {
		return o, nil
	}
	return status.Order{}, &NotFoundError{"there is no order " + token + " of the stack " + name + ": orders are forgotten when the server restarts"}
}

// Suspend makes a stack act on orders of persons only. It holds when the process begins again.
func (l *Loop) Suspend(ctx context.Context, name, who string) error {
	if _, err := l.worker(name); err != nil {
		return err
	}
	return l.options.Stacks.Decide(ctx, name, func(d *Decisions) { d.Suspended = suspension(who) })
}

// Resume ends a suspension.
func (l *Loop) Resume(ctx context.Context, name string) error {
	if _, err := l.worker(name); err != nil {
		return err
	}
	return l.options.Stacks.Decide(ctx, name, func(d *Decisions) { d.Suspended = nil })
}

// Plan plans a stack as it is now, with its gates; nothing is applied, and the worker goes on meanwhile.
func (l *Loop) Plan(ctx context.Context, name string) (*plan.Plan, error) {
	var found *plan.Plan
	err := l.use(name, func(w *worker, s *session.Session) error {
		snapshot, err := s.Store.Load(ctx)
		if err != nil {
			return err
		}
		made, diags := s.Engine.PlanGated(ctx, snapshot, engine.Options{}, gate.Request{Approvals: w.stack().Decisions.Approvals, Now: time.Now()})
		if made == nil {
			return &planError{diags}
		}
		found = made.Plan
		return found.Seal()
	})
	return found, err
}

// History returns the applied revisions of an instance, newest first.
func (l *Loop) History(ctx context.Context, name, address string) (list []state.Revision, err error) {
	err = l.use(name, func(_ *worker, s *session.Session) error {
		list, err = s.Store.History(ctx, address)
		return err
	})
	return list, err
}

// use gives a function the session of a stack, which is not closed before it returns.
func (l *Loop) use(name string, with func(*worker, *session.Session) error) error {
	w, err := l.worker(name)
	if err != nil {
		return err
	}
	w.using.RLock()
	defer w.using.RUnlock()
	if w.shared == nil {
		return &ConflictError{"the stack " + name + " is not open: see its status"}
	}
	return with(w, w.shared)
}

// Subscribe returns a channel with what happens in a stack, "" for all of them, until the context ends. Who is too slow misses some of it.
func (l *Loop) Subscribe(ctx context.Context, stack string) <-chan Event {
	return l.feed.subscribe(ctx, stack)
}
