package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/state"
)

// job is what an order does before the pass that it is for. It belongs to the goroutine of the worker.
type job func(ctx context.Context) error

// Rollback orders that an instance returns to an earlier revision (0: the one before the newest), and is held there until Release. The order
// counts as the approval of this change; windows and other gates hold.
func (l *Loop) Rollback(stack, address string, revision uint64, reason string, by Verdict) (status.Order, error) {
	w, err := l.worker(stack)
	if err != nil {
		return status.Order{}, err
	}
	return w.orderJob("rollback", address, by.Who, func(ctx context.Context) error { return w.rollback(ctx, address, revision, reason, by) })
}

// Release orders that an instance is no longer held at the revision of a rollback.
func (l *Loop) Release(stack, address, who string) (status.Order, error) {
	w, err := l.worker(stack)
	if err != nil {
		return status.Order{}, err
	}
	return w.orderJob("release", address, who, func(ctx context.Context) error { return w.release(ctx, address) })
}

// orderJob queues an order with a job.
func (w *worker) orderJob(verb, address, who string, do job) (status.Order, error) {
	if _, err := addr.Parse(address); err != nil {
		return status.Order{}, err
	}
	o := newOrder(verb, address, who)
	w.mu.Lock()
	if w.jobs == nil {
		w.jobs = map[string]job{}
	}
	w.jobs[o.Token] = do
	w.mu.Unlock()
	w.board.addOrder(o)
	w.queue.add(Trigger{Kind: Person, Reason: verb + " by " + who, Addresses: []string{address}, Token: o.Token})
	return o, nil
}

// runJobs does the jobs of the orders of a batch. Those that fail end here; the pass ends the others.
func (w *worker) runJobs(ctx context.Context, b *batch) {
	var going []string
	for _, token := range b.tokens {
		w.mu.Lock()
		do := w.jobs[token]
		delete(w.jobs, token)
		w.mu.Unlock()
		if do != nil {
			if err := do(ctx); err != nil {
				w.log.Error("an order failed", "token", token, "error", oneLine(err))
				w.board.endOrders([]string{token}, w.number, true, oneLine(err))
				continue
			}
		}
		going = append(going, token)
	}
	b.tokens = going
}

// rollback plans and applies one instance as it was at an earlier revision.
func (w *worker) rollback(ctx context.Context, address string, revision uint64, reason string, by Verdict) error {
	o := w.open
	place, err := addr.ParsePlace(address)
	if err != nil {
		return err
	}
	number, err := o.session.EarlierRevision(ctx, address, revision)
	if err != nil {
		return err
	}
	snapshot, err := o.session.Store.Load(ctx)
	if err != nil {
		return err
	}
	opts := engine.Options{Targets: []addr.Place{place}, Rollback: &engine.Rollback{Address: address, Revision: number, Who: by.Who, Reason: reason}}
	request := gate.Request{Now: time.Now()}
	found, diags := o.session.Engine.PlanGated(ctx, snapshot, opts, request)
	if found != nil && len(found.Plan.Waiting) > 0 {
		for i := range found.Plan.Waiting {
			x := &found.Plan.Waiting[i]
			request.Approvals = append(request.Approvals, plan.Approval{Address: x.Change.Address, Digest: x.Digest, Who: by.Who, Where: by.Where, When: time.Now().UTC()})
		}
		found, diags = o.session.Engine.PlanGated(ctx, snapshot, opts, request)
	}
	switch {
	case found == nil || diags.HasErrors():
		return &planError{diags}
	case len(found.Plan.Waiting) > 0:
		return fmt.Errorf("the rollback of %s cannot go now: %s", address, waitText(found.Plan.Waiting[0].For))
	}
	w.board.set(func(s *status.Stack) { s.Phase = status.Applying })
	result, diags := o.session.Engine.Apply(w.hard, found.Plan, engine.ApplyOptions{Store: o.session.Store, Lease: o.lease, Stop: ctx, Who: by.Who})
	o.snapshot = nil
	w.board.stopped()
	if diags.HasErrors() {
		return &planError{diags}
	}
	if result == nil || len(result.NotStarted) > 0 {
		return errors.New("the rollback was stopped before it was done")
	}
	return nil
}

// release ends the hold of an instance in state. The pass that follows updates it to its block.
func (w *worker) release(ctx context.Context, address string) error {
	o := w.open
	snapshot, err := o.session.Store.Load(ctx)
	if err != nil {
		return err
	}
	rec, recorded := snapshot.Records[address]
	if !recorded {
		return fmt.Errorf("the state has no record of %s", address)
	}
	if rec.Hold == nil {
		return fmt.Errorf("%s is not held", address)
	}
	rec.Hold = nil
	o.snapshot = nil
	_, err = o.lease.Commit(ctx, state.Batch{Put: []state.Record{rec}})
	return err
}
