package reconcile

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/status"
)

// pass deals with triggers: it plans, applies what may go, and notes what came of it. It returns true if the stack is to be opened again.
func (w *worker) pass(ctx context.Context, b batch) (reopen bool) {
	select {
	case w.loop.passes <- struct{}{}:
		defer func() { <-w.loop.passes }()
	case <-ctx.Done():
		w.queue.putBack(b)
		return false
	}
	o := w.open
	if o.session.PluginEnded() { // the host does not start it again
		w.queue.putBack(b)
		return true
	}
	w.number++
	done := status.Pass{Number: w.number, Begun: time.Now().UTC(), Triggers: b.triggers, Dirty: b.dirty()}
	w.board.setOrders(b.tokens, func(s *status.Order) { s.State = status.OrderRunning })
	w.board.set(func(s *status.Stack) { s.Phase = status.Planning })
	if b.all {
		o.next = time.Now().Add(jitter(w.interval()))
	}
	p, err := w.plan(ctx, &b, &done)
	if err != nil && ctx.Err() != nil {
		w.queue.putBack(b)
		return false
	}
	done.PlanMS = time.Since(done.Begun).Milliseconds()
	var result *event.Result
	if err == nil {
		result, err = w.carryOut(ctx, p, &b, &done)
	}
	w.conclude(&b, &done, result, err)
	return false
}

// plan plans what the triggers name, and tells the board what was seen.
func (w *worker) plan(ctx context.Context, b *batch, done *status.Pass) (*plan.Plan, error) {
	o := w.open
	if o.snapshot == nil {
		snapshot, err := o.session.Store.Load(ctx)
		if err != nil {
			return nil, fmt.Errorf("the state cannot be read: %w", err)
		}
		o.snapshot, o.fresh = snapshot, true
	}
	changed := engine.Changed{All: b.all, Instances: b.instances()}
	if o.fresh {
		changed.Snapshot = o.snapshot
	}
	if skipped := w.skipped(b, time.Now()); len(skipped) > 0 {
		if made := w.without(ctx, skipped); made.plan != nil && ctx.Err() == nil {
			done.Looked = len(made.plan.Changes) + len(made.plan.Observations)
			done.Instances = done.Looked
			return made.plan, nil
		}
	}
	p, looked, diags := o.warm.Plan(ctx, changed)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	o.fresh = p == nil // what it has not taken is given again
	done.Looked = looked
	if p == nil {
		return nil, &planError{diags}
	}
	done.Instances = len(p.Changes) + len(p.Observations)
	return p, nil
}

// planError says that nothing could be planned.
type planError struct{ diags hcl.Diagnostics }

func (e *planError) Error() string {
	var list []string
	for _, d := range diag.Fold(e.diags) {
		if d.Severity == hcl.DiagError {
			list = append(list, strings.TrimSuffix(d.Summary+": "+d.Detail, ": "))
		}
	}
	return strings.Join(list, "; ")
}

// carryOut decides what may go and applies it.
func (w *worker) carryOut(ctx context.Context, p *plan.Plan, b *batch, done *status.Pass) (*event.Result, error) {
	held := w.decide(p, b, time.Now())
	done.Changes, done.Held = countChanges(p), len(held)
	w.held = held
	w.note(p, held, done)
	for attempt := 0; len(held) > 0 && works(p, held); attempt++ {
		if attempt == 3 {
			return nil, errors.New("the world changes faster than it can be planned")
		}
		// The rest goes by a plan that leaves out what may not.
		rest := w.without(ctx, held)
		if rest.plan == nil {
			return nil, &planError{rest.diags}
		}
		p = rest.plan
		found := w.decide(p, b, time.Now())
		if len(found) == 0 {
			break
		}
		maps.Copy(held, found)
	}
	if !w.hasWork(p, held) {
		return nil, nil
	}
	return w.apply(ctx, p, b, done)
}

// partial is a plan that leaves something out.
type partial struct {
	plan  *plan.Plan
	diags hcl.Diagnostics
}

// without plans everything but what is held, and what depends on it.
func (w *worker) without(ctx context.Context, held map[string]hold) partial {
	var opts engine.Options
	for address := range held {
		if place, err := addr.ParsePlace(address); err == nil {
			opts.Excludes = append(opts.Excludes, place)
		}
	}
	p, diags := w.open.session.Engine.Plan(ctx, w.open.snapshot, opts)
	return partial{p, diags}
}

// works tells whether a plan has work besides what is held.
func works(p *plan.Plan, held map[string]hold) bool {
	for i := range p.Changes {
		c := &p.Changes[i]
		if _, is := held[c.Address]; !is && (c.Works() || len(c.Record) > 0) {
			return true
		}
	}
	return len(p.Moves)+len(p.Leftovers) > 0
}

func countChanges(p *plan.Plan) int {
	n := len(p.Leftovers)
	for i := range p.Changes {
		if p.Changes[i].Works() {
			n++
		}
	}
	return n
}

// hasWork tells whether an apply of a plan does or writes anything. What is held is not in the plan if there is other work.
func (w *worker) hasWork(p *plan.Plan, held map[string]hold) bool {
	if len(held) > 0 {
		return works(p, held)
	}
	return !p.Empty() || p.RecordsChanged() || len(w.open.snapshot.Operations) > 0
}

// apply carries a plan out.
func (w *worker) apply(ctx context.Context, p *plan.Plan, b *batch, done *status.Pass) (*event.Result, error) {
	o := w.open
	w.board.set(func(s *status.Stack) { s.Phase = status.Applying })
	begun := time.Now()
	result, diags := o.session.Engine.Apply(w.hard, p, engine.ApplyOptions{
		Store: o.session.Store, Lease: o.lease, Stop: ctx, Who: w.loop.options.Who + " (" + strings.Join(b.triggers, ", ") + ")",
	})
	o.snapshot = nil
	done.ApplyMS, done.Digest = time.Since(begun).Milliseconds(), p.Digest
	w.board.stopped()
	if result == nil {
		return nil, &planError{diags}
	}
	done.Done, done.Failed, done.NotStarted = len(result.Done), len(result.Failed), len(result.NotStarted)
	w.outcome(p, b, result, done)
	if len(result.Done) > 0 && ctx.Err() == nil {
		w.queue.add(Trigger{Kind: Applied, Addresses: outcomes(result.Done)})
	}
	return result, nil
}

func outcomes(list []event.Outcome) []string {
	out := make([]string, len(list))
	for i := range list {
		out[i] = list[i].Address
	}
	return out
}

// conclude tells the board how the pass ended, and ends the orders that it was made for.
func (w *worker) conclude(b *batch, done *status.Pass, result *event.Result, err error) {
	message := ""
	now := time.Now()
	switch {
	case err != nil:
		done.Error = oneLine(err)
		message = done.Error
		e := w.failures.Fail(wholeStack, done.Error, done.Error, now)
		if e.Failures == 1 {
			w.log.Error("reconciling failed", "error", done.Error, "reconcile", done.Number)
		}
		w.held = map[string]hold{wholeStack: {kind: heldBackoff, until: e.Next}}
		w.tellFailure(err)
	default:
		w.failures.Clear(wholeStack)
		w.told = ""
	}
	w.board.set(func(s *status.Stack) {
		s.Phase, s.Error, s.Last, s.Passes, s.Next = status.Idle, done.Error, done, done.Number, w.open.next
		if w.open.stack.Suspended != nil {
			s.Phase = status.Suspended
		}
		if w.open.snapshot != nil {
			s.Serial, s.Lineage = w.open.snapshot.Serial, w.open.snapshot.Lineage
		}
		if err == nil {
			message = summary(w.board.instances)
		}
		s.Message, s.Ready = message, err == nil && message == "" && (result == nil || len(result.Failed)+len(result.NotStarted) == 0)
	})
	w.board.endOrders(b.tokens, done.Number, err != nil || done.Failed > 0, message)
	level := w.log.Debug
	if done.Changes > 0 || b.kinds[Person] {
		level = w.log.Info
	}
	level("reconciled", "reconcile", done.Number, "triggers", strings.Join(done.Triggers, ", "), "dirty", done.Dirty, "looked", done.Looked, "instances", done.Instances,
		"changes", done.Changes, "held", done.Held, "done", done.Done, "failed", done.Failed, "plan_ms", done.PlanMS, "apply_ms", done.ApplyMS)
}

// jitter returns a duration that is up to a tenth shorter.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/10+1)) //nolint:gosec // not a secret
}
