package reconcile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/internal/text"
)

// pass deals with triggers: it plans, applies what may go, and notes what came of it. It returns true, and has done nothing, if the stack is to
// be opened again.
func (w *worker) pass(ctx context.Context, b batch) (reopen bool) {
	o := w.open
	if o.session.PluginEnded() { // the host does not start it again
		w.queue.putBack(b)
		return true
	}
	w.number++
	done := &status.Pass{Number: w.number, Begun: time.Now().UTC(), Triggers: b.triggers, Dirty: b.dirty()}
	w.board.setOrders(b.tokens, func(s *status.Order) { s.State = status.OrderRunning })
	w.runJobs(ctx, &b)
	select {
	case w.loop.passes <- struct{}{}:
	case <-ctx.Done():
		w.queue.putBack(b)
		return false
	}
	release := sync.OnceFunc(func() { <-w.loop.passes })
	defer release()
	w.board.set(func(s *status.Stack) { s.Phase = status.Planning })
	if b.all {
		o.next = time.Now().Add(jitter(w.interval()))
	}
	found, err := w.plan(ctx, &b, done)
	release() // an apply may wait for long, and holds no other stack up
	if err != nil && ctx.Err() != nil {
		w.queue.putBack(b)
		return false
	}
	done.PlanMS = time.Since(done.Begun).Milliseconds()
	var result *event.Result
	if err == nil {
		w.note(found, done)
		w.watchAgain(ctx, &b, done)
		if w.hasWork(found.Plan) {
			result, err = w.apply(ctx, found.Plan, &b, done)
		}
	}
	w.conclude(&b, done, result, err)
	w.loop.metrics.pass(w.open.stack.Name, done)
	return false
}

// planned is a plan without what has to wait.
type planned struct {
	*engine.Gated
	all bool // it is about the whole stack
}

// plan plans what the triggers name, and leaves out what has to wait.
func (w *worker) plan(ctx context.Context, b *batch, done *status.Pass) (*planned, error) {
	o := w.open
	if o.snapshot == nil {
		snapshot, err := o.session.Store.Load(ctx)
		if err != nil {
			return nil, fmt.Errorf("the state cannot be read: %w", err)
		}
		o.snapshot, o.fresh = snapshot, true
	}
	h := &holder{memory: &w.memory, batch: b, decisions: o.stack.Decisions, reports: w.reports, now: time.Now()}
	request := gate.Request{Approvals: o.stack.Decisions.Approvals, Now: h.now, Facts: w.facts(), Hold: h.hold}
	if skipped := w.memory.skipped(b, h.now); len(skipped) > 0 {
		found, _ := o.session.Engine.PlanGated(ctx, o.snapshot, engine.Options{Excludes: skipped}, request)
		if found != nil && ctx.Err() == nil {
			done.Looked, done.Instances = found.Looked, found.Looked
			return &planned{Gated: found}, nil
		}
	}
	changed := engine.Changed{All: b.all, Instances: b.instances()}
	if o.fresh {
		changed.Snapshot = o.snapshot
	}
	found, diags := o.warm.PlanGated(ctx, changed, request)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	o.fresh = found == nil // what it has not taken is given again
	if found == nil {
		return nil, &planError{diags}
	}
	if len(found.Plan.Failed) > 0 {
		w.failing = diags
	}
	done.Looked, done.Instances = found.Looked, len(found.Plan.Changes)+len(found.Plan.Observations)
	w.forgetApprovals(ctx, found.Void)
	return &planned{Gated: found, all: true}, nil
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

func countChanges(p *plan.Plan) int {
	n := len(p.Leftovers) + len(p.Waiting)
	for i := range p.Changes {
		if p.Changes[i].Works() {
			n++
		}
	}
	return n
}

// hasWork tells whether an apply of a plan does or writes anything.
func (w *worker) hasWork(p *plan.Plan) bool {
	return !p.Empty() || p.RecordsChanged() || len(w.open.snapshot.Operations) > 0
}

// conclude tells the board how the pass ended, and ends the orders that it was made for.
func (w *worker) conclude(b *batch, done *status.Pass, result *event.Result, err error) {
	message := ""
	if err != nil {
		done.Error = oneLine(err)
		message = done.Error
		e := w.memory.failures.Fail(wholeStack, done.Error, done.Error, time.Now())
		if e.Failures == 1 {
			w.log.Error("reconciling failed", "error", done.Error, "reconcile", done.Number)
		}
		w.due = map[string]time.Time{wholeStack: e.Next}
		w.failing, _ = asPlanError(err)
	} else {
		w.memory.failures.Clear(wholeStack)
	}
	w.tellFailure()
	w.board.set(func(s *status.Stack) {
		s.Phase, s.Error, s.Last, s.Passes, s.Next = status.Idle, done.Error, done, done.Number, w.open.next
		if w.open.stack.Decisions.Suspended != nil {
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

func asPlanError(err error) (hcl.Diagnostics, bool) {
	if e, ok := err.(*planError); ok { //nolint:errorlint // it is never wrapped
		return e.diags, true
	}
	return nil, false
}

// tellFailure tells notifications that planning failed, once for each failure.
func (w *worker) tellFailure() {
	why := w.failing
	w.failing = nil
	if len(why) == 0 {
		if len(w.memory.unplanned) == 0 {
			w.told = ""
		}
		return
	}
	said := (&planError{why}).Error()
	if w.told == said || w.open.snapshot == nil {
		return
	}
	w.told = said
	for _, d := range w.open.session.Engine.TellFailure(w.hard, w.open.snapshot, w.open.lease, w.loop.options.Who, why) {
		w.log.Warn("nobody was notified", "error", text.OneLine(d.Summary+": "+d.Detail))
	}
	w.open.snapshot = nil // the outbox has written to it
}

// jitter returns a duration that is up to a tenth shorter.
func jitter(d time.Duration) time.Duration {
	return d - time.Duration(rand.Int64N(int64(d)/10+1)) //nolint:gosec // not a secret
}
