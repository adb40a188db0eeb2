package reconcile

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/status"
)

// apply carries a plan out. Triggers that come meanwhile are planned at once: if they ask for something that the plan does not, the waits for
// health are cancelled, so that the new plan does not stand behind a rollout that is stuck.
func (w *worker) apply(ctx context.Context, p *plan.Plan, b *batch, done *status.Pass) (*event.Result, error) {
	o := w.open
	w.board.set(func(s *status.Stack) { s.Phase = status.Applying })
	begun := time.Now()
	handle := &engine.Handle{}
	var result *event.Result
	var diags hcl.Diagnostics
	over := make(chan struct{})
	go func() {
		defer close(over)
		result, diags = o.session.Engine.Apply(w.hard, p, engine.ApplyOptions{
			Store: o.session.Store, Lease: o.lease, Stop: ctx, Handle: handle, Who: w.loop.options.Who + " (" + strings.Join(b.triggers, ", ") + ")",
			Quiet: w.isRetry(p),
		})
	}()
	w.accompany(ctx, p, handle, over)
	o.snapshot = nil
	done.ApplyMS, done.Digest = time.Since(begun).Milliseconds(), p.Digest
	w.board.stopped()
	w.waits.reset()
	if result == nil {
		return nil, &planError{diags}
	}
	done.Done, done.Failed, done.NotStarted, done.Cancelled = len(result.Done), len(result.Failed), len(result.NotStarted), len(result.Cancelled)
	w.outcome(p, b, result, done)
	if len(result.Done)+len(result.Cancelled) > 0 && ctx.Err() == nil {
		w.queue.add(Trigger{Kind: Applied, Addresses: append(outcomes(result.Done), outcomes(result.Cancelled)...)})
	}
	return result, nil
}

// isRetry tells whether all that a plan does has failed before in just this way: notifications were told of it then.
func (w *worker) isRetry(p *plan.Plan) bool {
	n := 0
	for i := range p.Changes {
		c := &p.Changes[i]
		if !c.Works() {
			continue
		}
		n++
		if e := w.memory.failures.Get(c.Address); e == nil || e.Digest != digestOf(c) {
			return false
		}
	}
	return n > 0
}

// accompany waits until an apply is over, and deals with what happens meanwhile.
func (w *worker) accompany(ctx context.Context, p *plan.Plan, handle *engine.Handle, over <-chan struct{}) {
	var kept batch // triggers that came
	var files bool // the stack is another one now
	superseded := false
	defer func() {
		w.queue.putBack(kept)
		if files {
			w.signal()
		}
	}()
	supersede := func(asks bool) {
		if superseded = superseded || asks; superseded {
			handle.Stop() // what was not started is planned again
			w.supersede(handle)
		}
	}
	var grace <-chan time.Time
	stopping := ctx.Done()
	for {
		wake := time.NewTimer(time.Until(w.wakeAt()))
		select {
		case <-over:
			wake.Stop()
			return
		case <-stopping:
			stopping = nil
			timer := time.NewTimer(w.loop.options.Grace)
			defer timer.Stop()
			grace = timer.C
		case <-grace:
			for _, r := range handle.Running() {
				w.log.Warn("an operation is cancelled because the process ends: the next one finds out what became of it", "address", r.Address)
				handle.Supersede(r.Address)
			}
		case <-wake.C:
			w.ring(time.Now())
		case <-w.open.watcher.Ready():
			w.takeNotices()
		case <-w.changed:
			files = true
			supersede(!superseded && ctx.Err() == nil && len(w.waits.list()) > 0 && w.filesAskForMore(ctx, p))
		case <-w.queue.ready:
			b := w.queue.take()
			kept.merge(&b)
			supersede(!superseded && ctx.Err() == nil && len(w.waits.list()) > 0 && w.asksForMore(ctx, p, &kept))
		case <-w.waits.changed:
			supersede(!superseded && ctx.Err() == nil && (kept.count > 0 && w.asksForMore(ctx, p, &kept) || files && w.filesAskForMore(ctx, p)))
		}
		wake.Stop()
	}
}

// supersede cancels the operations that only wait for health.
func (w *worker) supersede(handle *engine.Handle) {
	for _, address := range w.waits.list() {
		if handle.Supersede(address) {
			w.log.Info("the wait for health was cancelled by a newer change", "address", address)
		}
	}
}

// asksForMore plans what triggers name, against the state from before the apply, and tells whether that plan does something that the running one
// does not.
func (w *worker) asksForMore(ctx context.Context, running *plan.Plan, b *batch) bool {
	now, _, _ := w.open.warm.Plan(ctx, engine.Changed{All: b.all, Instances: b.instances()})
	return doesMore(running, now)
}

// filesAskForMore tells whether the stack's files are others now, and their plan does something that the running one does not.
func (w *worker) filesAskForMore(ctx context.Context, running *plan.Plan) bool {
	o, as := w.open, w.stack()
	if as.Version == o.stack.Version && as.Dir == o.stack.Dir {
		return false
	}
	next, err := w.openSession(ctx, as)
	if err != nil {
		return false // the worker says so when the apply is over
	}
	defer next.Close()
	now, _ := next.Engine.Plan(ctx, o.snapshot, engine.Options{})
	return doesMore(running, now)
}

// doesMore tells whether a plan does something that the running one does not.
func doesMore(running, now *plan.Plan) bool {
	if now == nil {
		return false
	}
	before := map[string]*plan.Change{}
	for i := range running.Changes {
		before[running.Changes[i].Address] = &running.Changes[i]
	}
	for i := range running.Waiting {
		before[running.Waiting[i].Change.Address] = &running.Waiting[i].Change
	}
	for i := range now.Changes {
		if c := &now.Changes[i]; c.Works() && moreThan(before[c.Address], c) {
			return true
		}
	}
	return false
}

// moreThan tells whether a change does something that an earlier one does not. While the earlier one is carried out, the later one has less
// and less of it.
func moreThan(before, now *plan.Change) bool {
	if before == nil || !before.Works() {
		return true
	}
	if now.Action != before.Action && (now.Action == plan.Delete || now.Action == plan.Replace || now.Action == plan.Build) {
		return true
	}
	type piece struct{ item, action, path, after, prefix string }
	has := map[piece]bool{}
	pieces := func(c *plan.Change, visit func(piece) bool) bool {
		for _, i := range c.Items {
			if i.Action == plan.None {
				continue
			}
			action := "make"
			if i.Action == plan.Delete {
				action = "delete"
			}
			if visit(piece{item: i.Key, action: action}) {
				return true
			}
			for _, f := range i.Fields {
				if visit(piece{i.Key, "", f.Path, string(f.After), f.Prefix}) {
					return true
				}
			}
		}
		for _, f := range c.Changed() {
			if visit(piece{"", "", f.Path, string(f.After), f.Prefix}) {
				return true
			}
		}
		return false
	}
	pieces(before, func(p piece) bool { has[p] = true; return false })
	return pieces(now, func(p piece) bool { return !has[p] })
}

// waits are the operations that only wait for health. They may be used concurrently.
type waits struct {
	mu      sync.Mutex
	running map[string]bool // by address
	changed chan struct{}   // has a value after one has begun to wait
}

func newWaits() *waits { return &waits{running: map[string]bool{}, changed: make(chan struct{}, 1)} }

func (w *waits) onEvent(e event.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case e.Type == event.Progress && e.Message == event.WaitingForHealth:
		w.running[e.Address] = true
		select {
		case w.changed <- struct{}{}:
		default:
		}
	case e.Type == event.OperationDone || e.Type == event.OperationFailed:
		delete(w.running, e.Address)
	}
}

func (w *waits) list() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]string, 0, len(w.running))
	for address := range w.running {
		list = append(list, address)
	}
	return list
}

func (w *waits) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.running)
}

func outcomes(list []event.Outcome) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].Address
	}
	return out
}
