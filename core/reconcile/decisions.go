package reconcile

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/status"
)

// ConflictError says that an order does not fit what is there.
type ConflictError struct{ What string }

func (e *ConflictError) Error() string { return e.What }

// Verdict is what a person decides about a change that waits.
type Verdict struct {
	Address string
	Digest  string // "": the change that waits now
	Who     string
	Where   string // "davit approve", the address of a caller
}

// Approve lets a change that waits for a person go. The approval is for exactly the change with this digest.
func (l *Loop) Approve(ctx context.Context, stack string, v Verdict) (status.Order, error) {
	w, err := l.worker(stack)
	if err != nil {
		return status.Order{}, err
	}
	wait, err := w.board.waitingChange(v)
	if err != nil {
		return status.Order{}, err
	}
	if !wait.NeedsPerson() {
		return status.Order{}, &ConflictError{fmt.Sprintf("the change of %s waits for no approval: %s", v.Address, waitText(wait.For))}
	}
	a := plan.Approval{Address: v.Address, Digest: wait.Digest, Who: v.Who, Where: v.Where, When: time.Now().UTC()}
	err = l.options.Stacks.Decide(ctx, stack, func(d *Decisions) {
		d.Rejections = withoutAddress(d.Rejections, v.Address)
		d.Approvals = append(withoutAddress(d.Approvals, v.Address), a)
	})
	if err != nil {
		return status.Order{}, err
	}
	w.log.Info("a change was approved", "address", v.Address, "digest", wait.Digest, "who", v.Who, "where", v.Where)
	return w.decided(ctx, "approve", v)
}

// Reject keeps a change that waits from going, until it is another one or somebody approves it.
func (l *Loop) Reject(ctx context.Context, stack string, v Verdict) (status.Order, error) {
	w, err := l.worker(stack)
	if err != nil {
		return status.Order{}, err
	}
	wait, err := w.board.waitingChange(v)
	if err != nil {
		return status.Order{}, err
	}
	r := plan.Approval{Address: v.Address, Digest: wait.Digest, Who: v.Who, Where: v.Where, When: time.Now().UTC()}
	err = l.options.Stacks.Decide(ctx, stack, func(d *Decisions) {
		d.Approvals = withoutAddress(d.Approvals, v.Address)
		d.Rejections = append(withoutAddress(d.Rejections, v.Address), r)
	})
	if err != nil {
		return status.Order{}, err
	}
	w.log.Info("a change was rejected", "address", v.Address, "digest", wait.Digest, "who", v.Who, "where", v.Where)
	return w.decided(ctx, "reject", v)
}

// decided queues a look at an instance about which a person has decided, and returns the order that says when it has ended.
func (w *worker) decided(ctx context.Context, verb string, v Verdict) (status.Order, error) {
	list, err := w.loop.options.Stacks.List(ctx)
	if err != nil {
		return status.Order{}, err
	}
	for _, s := range list { // so that the next pass has it
		if s.Name == w.name {
			w.setStack(s)
		}
	}
	o := newOrder(verb, v.Address, v.Who)
	w.board.addOrder(o)
	w.queue.add(Trigger{Kind: Decision, Reason: verb + " by " + v.Who, Addresses: []string{v.Address}, Token: o.Token})
	return o, nil
}

func withoutAddress(list []plan.Approval, address string) []plan.Approval {
	return slices.DeleteFunc(slices.Clone(list), func(a plan.Approval) bool { return a.Address == address })
}

// waitingChange returns the change of an instance that waits, if it is the one that a person means.
func (b *board) waitingChange(v Verdict) (*status.Wait, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	in := b.instances[v.Address]
	switch {
	case in == nil:
		return nil, &NotFoundError{"there is no instance " + v.Address}
	case in.Wait == nil:
		return nil, &ConflictError{"nothing of " + v.Address + " waits"}
	case v.Digest != "" && v.Digest != in.Wait.Digest:
		return nil, &ConflictError{fmt.Sprintf("the change of %s is another one now: its digest is %s. Look at it with davit status before you decide", v.Address, in.Wait.Digest)}
	}
	own := *in.Wait
	return &own, nil
}

// waiting returns the instances with a change that waits.
func (b *board) waiting() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []string
	for address, in := range b.instances {
		if in.Wait != nil {
			list = append(list, address)
		}
	}
	return list
}

// forgetApprovals forgets approvals of changes that are other ones now.
func (w *worker) forgetApprovals(ctx context.Context, void []plan.Approval) {
	if len(void) == 0 {
		return
	}
	w.decide(ctx, func(d *Decisions) {
		d.Approvals = slices.DeleteFunc(d.Approvals, func(a plan.Approval) bool { return slices.Contains(void, a) })
	})
}

// forgetApplied forgets what was decided about changes that are done.
func (w *worker) forgetApplied(r *event.Result) {
	done := map[string]bool{}
	for _, o := range r.Done {
		done[o.Address] = true
	}
	isDone := func(a plan.Approval) bool { return done[a.Address] }
	d := w.open.stack.Decisions
	if !slices.ContainsFunc(d.Approvals, isDone) && !slices.ContainsFunc(d.Rejections, isDone) {
		return
	}
	w.decide(w.hard, func(d *Decisions) {
		d.Approvals, d.Rejections = slices.DeleteFunc(d.Approvals, isDone), slices.DeleteFunc(d.Rejections, isDone)
	})
}

func (w *worker) decide(ctx context.Context, change func(*Decisions)) {
	if err := w.loop.options.Stacks.Decide(ctx, w.name, change); err != nil {
		w.log.Error("a decision cannot be kept", "error", err.Error())
	}
}
