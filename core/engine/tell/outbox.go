package tell

import (
	"context"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/service"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Failure tells notifications that planning failed, under the lease of the run that planned. What it returns are warnings.
func Failure(ctx context.Context, in *input.Input, f *world.Forms, svc *service.Services, snapshot *state.Snapshot, lease state.Lease, who string, why hcl.Diagnostics) hcl.Diagnostics {
	if !notifies(in.Stack, snapshot) {
		return nil
	}
	return newTelling(in, f, svc, snapshot, state.Group(lease), who, ctx.Done()).failure(ctx, why)
}

// NewOutbox returns what tells notifications of one apply. Evaluations of their arguments end soon after stop does.
//
// A quiet one tells only that an apply has ended well: it tries again what has failed and was told.
func NewOutbox(in *input.Input, f *world.Forms, svc *service.Services, p *plan.Plan, who string, quiet bool, stop context.Context) *Outbox {
	return &Outbox{input: in, forms: f, svc: svc, plan: p, who: who, quiet: quiet, stop: stop.Done()}
}

// Outbox tells notifications of one apply. It implements the outbox of carry.
type Outbox struct {
	input *input.Input
	forms *world.Forms
	svc   *service.Services
	who   string
	plan  *plan.Plan
	quiet bool
	stop  <-chan struct{}

	snapshot *state.Snapshot
	lease    state.Lease
	before   *telling // nil: nobody wants to be told anything
}

// Begin tells what is going to be done.
func (o *Outbox) Begin(ctx context.Context, lease state.Lease, snapshot *state.Snapshot) {
	o.lease, o.snapshot = lease, snapshot
	if !notifies(o.input.Stack, snapshot) {
		return
	}
	o.before = newTelling(o.input, o.forms, o.svc, o.snapshot, o.lease, o.who, o.stop)
	o.before.plan = o.plan
	if e := o.before.planned(); e != nil && !o.quiet {
		o.before.tell(ctx, e)
	}
}

// End tells what was done, and waits until it is told. It also tells what earlier runs could not tell.
func (o *Outbox) End(ctx context.Context, tree *world.Tree, result *event.Result, failed bool) hcl.Diagnostics {
	if o.before == nil {
		return nil
	}
	t := &telling{input: o.input, tree: tree, svc: o.svc, snapshot: o.snapshot, lease: o.lease, who: o.who, plan: o.plan}
	if e := t.ended(result, failed); e != nil && (!o.quiet || e.GetName() == kinds.EventApplied) {
		t.tell(ctx, e)
	}
	t.again(ctx)
	o.before.going.Wait()
	t.going.Wait()
	return append(o.before.diags, t.diags...)
}
