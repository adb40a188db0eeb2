package reconcile

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/reconcile/backoff"
	"github.com/davit-sh/davit/core/reconcile/hint"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/core/reconcile/watch"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/state"
)

// worker keeps one stack what it should be.
type worker struct {
	loop  *Loop
	name  string
	log   *slog.Logger
	queue *queue
	board *board
	stop  func()

	mu      sync.Mutex
	wanted  Stack          // as its source has it now
	changed chan struct{}  // has a value after wanted has changed
	jobs    map[string]job // of orders, by token

	waits *waits

	reads  atomic.Pointer[[]hint.Named] // which repositories the instances read; nil before the first look
	using  sync.RWMutex                 // held for writing while shared is set or closed
	shared *session.Session             // for others than the worker; nil while the stack is not open

	// What follows belongs to the goroutine that runs the worker.
	hard    context.Context
	open    *opened
	number  uint64 // of the last pass
	memory  memory
	reopen  backoff.Table        // tries to open the stack
	due     map[string]time.Time // by address: when what waits is looked at again
	failing hcl.Diagnostics      // what the last plan could not plan, to be told
	told    string               // the failure that notifications were told last
}

// opened is a stack whose files were read, with its lease.
type opened struct {
	stack    Stack
	session  *session.Session
	lease    state.Lease
	warm     *engine.Warm
	snapshot *state.Snapshot
	fresh    bool      // the warm engine does not know the snapshot yet
	next     time.Time // when the timer looks at what nobody watches
	whole    time.Time // when the timer looks at everything
	watcher  *watch.Watcher
	watches  bool // the watcher knows what there is
}

func newWorker(l *Loop, s Stack) *worker {
	w := &worker{
		loop: l, name: s.Name, log: l.options.Log.With("stack", s.Name), queue: newQueue(), wanted: s, changed: make(chan struct{}, 1), waits: newWaits(),
		memory: newMemory(l.options.RetryMin, l.options.RetryMax), reopen: backoff.Table{Min: l.options.RetryMin, Max: l.options.RetryMax}, due: map[string]time.Time{},
	}
	w.board = &board{
		changed:   func() { l.feed.publish(Event{Stack: s.Name, Status: true}) },
		about:     status.Stack{Name: s.Name, Source: s.Dir, Phase: status.Opening, Suspension: s.Decisions.Suspended, Interval: w.interval()},
		instances: map[string]*status.Instance{}, running: map[string]*status.Running{},
	}
	return w
}

// setStack tells the worker what its stack is now.
func (w *worker) setStack(s Stack) {
	w.mu.Lock()
	w.wanted = s
	w.mu.Unlock()
	w.signal()
}

// signal says that the stack may be another one now.
func (w *worker) signal() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *worker) stack() Stack {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wanted
}

func (w *worker) interval() time.Duration {
	if s := w.stack(); s.Interval > 0 {
		return s.Interval
	}
	return w.loop.options.Interval
}

func newOrder(verb, address, who string) status.Order {
	return status.Order{Token: uuid.NewString(), Verb: verb, Who: who, Address: address, At: time.Now().UTC(), State: status.OrderQueued}
}

// order queues an order of a person.
func (w *worker) order(verb, address, who string) (status.Order, error) {
	o := newOrder(verb, address, who)
	t := Trigger{Kind: Person, Reason: verb + " by " + who, Token: o.Token}
	if address != "" {
		if _, err := addr.Parse(address); err != nil {
			return o, err
		}
		t.Addresses = []string{address}
	}
	w.board.addOrder(o)
	w.queue.add(t)
	return o, nil
}

// run opens the stack, waits for its lease, and works, until the context ends.
func (w *worker) run(ctx, hard context.Context) {
	w.hard = hard
	defer w.board.set(func(s *status.Stack) { s.Phase, s.Ready, s.Lease = status.Stopped, false, nil })
	var next *session.Session // opened already
	var as Stack
	for ctx.Err() == nil {
		if next == nil {
			as = w.stack()
			var err error
			if next, err = w.openSession(ctx, as); err != nil {
				w.broken(ctx, err)
				continue
			}
		}
		lease, err := w.lock(ctx, next, as)
		if lease == nil {
			next.Close()
			next = nil
			if err != nil {
				w.broken(ctx, err)
			}
			continue
		}
		w.open = &opened{stack: as, session: next, lease: lease, warm: engine.NewWarm(next.Engine, engine.Options{}), watcher: w.newWatcher(next), next: time.Now().Add(w.interval())}
		w.share(w.open.session)
		next, as = w.work(ctx)
		w.close()
	}
	if next != nil {
		next.Close()
	}
}

// close gives the stack up.
func (w *worker) close() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.hard), 10*time.Second)
	defer cancel()
	if err := w.open.lease.Release(ctx); err != nil {
		w.log.Warn("the lock on the state could not be released and will expire by itself", "error", err.Error())
	}
	w.share(nil)
	w.open.watcher.Close()
	w.open.session.Close()
	w.open = nil
	w.board.stopped()
}

// share lets others use the session. It waits for those who use the one before.
func (w *worker) share(s *session.Session) {
	w.using.Lock()
	defer w.using.Unlock()
	w.shared = s
}

// openSession reads the stack's files and checks them.
func (w *worker) openSession(ctx context.Context, s Stack) (*session.Session, error) {
	opened, err := w.loop.options.Process.Open(ctx, &session.Options{
		Dir: s.Dir, Vars: s.Vars, VarFiles: s.VarFiles, Guard: true, Parallel: w.loop.options.Parallel, Emit: w.emit, Host: w.loop.host,
	})
	if err != nil {
		return nil, err
	}
	if diags := opened.Engine.Check(ctx); diags.HasErrors() {
		opened.Close()
		return nil, &session.Problem{Stack: opened.Stack, Diags: diags}
	}
	return opened, nil
}

// emit gives an event of the engine to the board and to all who listen.
func (w *worker) emit(e event.Event) {
	if e.Time.IsZero() {
		e.Time = time.Now().UTC()
	}
	w.board.onEvent(e)
	w.waits.onEvent(e)
	w.loop.feed.publish(Event{Stack: w.name, Event: e})
	switch e.Type {
	case event.OperationDone:
		w.log.Info("applied", "address", e.Address, "action", e.Action, "elapsed_ms", e.ElapsedMS)
	case event.OperationCancelled:
		w.log.Info("cancelled", "address", e.Address, "action", e.Action)
	case event.OperationFailed:
		w.log.Error("failed", "address", e.Address, "action", e.Action, "error", e.Message)
	}
}

// broken says that the stack cannot be opened, and waits until its files change or it is time to try again.
func (w *worker) broken(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	text := oneLine(err)
	entry := w.reopen.Fail("", text, text, time.Now())
	if entry.Failures == 1 {
		w.log.Error("the stack cannot be opened", "error", text)
	}
	w.board.set(func(s *status.Stack) { s.Phase, s.Ready, s.Error, s.Message = status.Broken, false, text, text })
	wait := time.NewTimer(time.Until(entry.Next))
	defer wait.Stop()
	select {
	case <-ctx.Done():
	case <-w.changed:
	case <-wait.C:
	}
}

// lockEvery is how often a lease that another process holds is asked for.
const lockEvery = time.Second

// lock waits for the lease on the stack's state. It returns no lease when the context has ended or the stack is another one now.
func (w *worker) lock(ctx context.Context, s *session.Session, as Stack) (state.Lease, error) {
	told := ""
	for {
		lease, err := s.Store.Lock(ctx, state.Holder{Who: w.loop.options.Who, PID: os.Getpid(), What: "davit serve"})
		if err == nil {
			w.board.set(func(s *status.Stack) {
				s.Lease = &status.Lease{Who: w.loop.options.Who, PID: os.Getpid(), What: "davit serve", Since: time.Now().UTC(), Own: true}
			})
			return lease, nil
		}
		var locked *state.LockedError
		switch {
		case errors.As(err, &locked):
			h := locked.Holder
			if h.ID != told {
				told = h.ID
				w.log.Info("another process holds the lock on the state: waiting for it", "who", h.Who, "what", h.What, "pid", h.PID)
			}
			w.board.set(func(s *status.Stack) {
				s.Phase, s.Ready, s.Message = status.Queued, false, locked.Error()
				s.Lease = &status.Lease{Who: h.Who, PID: h.PID, What: h.What, Since: h.Since, Expires: h.Expires}
			})
		case errors.Is(err, state.ErrBusy):
		default:
			return nil, err
		}
		wait := time.NewTimer(lockEvery)
		select {
		case <-ctx.Done():
		case <-wait.C:
			continue
		case <-w.changed:
			if w.stack().Version == as.Version {
				wait.Stop()
				continue
			}
		}
		wait.Stop()
		return nil, nil
	}
}

// work reacts on triggers until the context ends, the lease is lost, or the stack's files are others: these are opened then, and returned.
func (w *worker) work(ctx context.Context) (next *session.Session, as Stack) {
	o := w.open
	w.reopen.Clear("")
	w.log.Info("the stack is open", "revision", o.session.Stack.Digest)
	w.board.set(func(s *status.Stack) {
		s.Revision, s.Loaded, s.FilesError, s.Error, s.Message = o.session.Stack.Digest, time.Now().UTC(), "", "", ""
	})
	w.loop.options.Stacks.Include(o.stack.Name, moduleDirs(o.session.Stack))
	w.queue.add(Trigger{Kind: Start})
	for {
		wake := time.NewTimer(time.Until(w.wakeAt()))
		select {
		case <-ctx.Done():
			wake.Stop()
			return nil, as
		case <-o.lease.Lost():
			wake.Stop()
			w.log.Warn("the lock on the state was lost: another process may have taken over")
			return nil, as
		case <-w.changed:
			if next, as = w.reload(ctx); next != nil {
				wake.Stop()
				return next, as
			}
		case <-wake.C:
			w.ring(time.Now())
		case <-o.watcher.Ready():
			w.takeNotices()
		case <-w.queue.ready:
			b := w.queue.take()
			if b.count == 0 {
				break
			}
			w.takeDecisions()
			if again := w.pass(ctx, b); again {
				wake.Stop()
				return nil, as
			}
		}
		wake.Stop()
	}
}

// wakeAt returns when something is due by time.
func (w *worker) wakeAt() time.Time {
	next := w.open.next
	for _, at := range w.due {
		if at.Before(next) {
			next = at
		}
	}
	return next
}

// ring queues what is due.
func (w *worker) ring(now time.Time) {
	o := w.open
	if !now.Before(o.next) {
		o.next = now.Add(jitter(w.interval()))
		if t, any := w.timerTrigger(now); any {
			w.queue.add(t)
		}
	}
	var due []string
	for address, at := range w.due {
		if now.Before(at) {
			continue
		}
		delete(w.due, address)
		if address == wholeStack {
			w.queue.add(Trigger{Kind: Retry})
			continue
		}
		due = append(due, address)
	}
	if len(due) > 0 {
		w.queue.add(Trigger{Kind: Retry, Addresses: due})
	}
}

// reload takes what the stack is now. If its files are others they are opened and returned; those that have a mistake are told, and the ones
// that run go on.
func (w *worker) reload(ctx context.Context) (*session.Session, Stack) {
	o, now := w.open, w.stack()
	if before := o.stack.Decisions; (now.Decisions.Suspended == nil) != (before.Suspended == nil) || len(now.Decisions.Rejections) != len(before.Rejections) {
		w.queue.add(Trigger{Kind: Retry, Reason: "a person has decided", Addresses: w.board.waiting()})
	}
	version := o.stack.Version
	o.stack.Decisions, o.stack.Interval = now.Decisions, now.Interval
	w.board.set(func(s *status.Stack) { s.Suspension, s.Interval = now.Decisions.Suspended, w.interval() })
	if now.Version == version && now.Dir == o.stack.Dir {
		return nil, now
	}
	next, err := w.openSession(ctx, now)
	if err != nil {
		o.stack.Version = now.Version // tried
		text := oneLine(err)
		w.log.Error("the stack's new files have an error: the last good ones go on", "error", text)
		w.board.set(func(s *status.Stack) { s.FilesError = text })
		return nil, now
	}
	if next.Stack.Digest == o.session.Stack.Digest && sameVariables(next, o.session) {
		next.Close()
		o.stack.Version = now.Version
		w.board.set(func(s *status.Stack) { s.FilesError = "" })
		return nil, now
	}
	w.log.Info("the stack's files have changed", "revision", next.Stack.Digest)
	w.queue.add(Trigger{Kind: Files})
	return next, now
}

// takeDecisions takes what persons have decided since the last pass.
func (w *worker) takeDecisions() { w.open.stack.Decisions = w.stack().Decisions }

// moduleDirs returns the folders of the modules that a stack calls, sorted.
func moduleDirs(s *config.Stack) []string {
	dirs := map[string]bool{}
	var visit func(m *config.Module)
	visit = func(m *config.Module) {
		for _, call := range m.Calls {
			if call.Module != nil && !dirs[call.Module.Dir] {
				dirs[call.Module.Dir] = true
				visit(call.Module)
			}
		}
	}
	visit(s.Module)
	return slices.Sorted(maps.Keys(dirs))
}

func sameVariables(a, b *session.Session) bool {
	if len(a.Engine.Variables) != len(b.Engine.Variables) {
		return false
	}
	for name, v := range a.Engine.Variables {
		other, ok := b.Engine.Variables[name]
		if !ok || !other.RawEquals(v) {
			return false
		}
	}
	return true
}
