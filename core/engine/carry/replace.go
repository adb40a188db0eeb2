package carry

import (
	"context"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// replace makes an instance anew in two operations, because the person or the configuration asked for it.
func (a *applying) replace(ctx context.Context, c *plan.Change, in *look.Finding) hcl.Diagnostics {
	diags := a.planner.Configure(ctx, in)
	if diags.HasErrors() {
		return diags
	}
	old, recorded := a.records.Record(c.Address)
	if recorded && c.CreateFirst {
		done, more := a.makeFirst(ctx, c, in, old)
		if diags = append(diags, more...); done || diags.HasErrors() {
			return diags
		}
	}
	if !recorded {
		return append(diags, a.makeAnew(ctx, c, in)...)
	}
	next, err := a.operation(c, in)
	if err != nil {
		return append(diags, a.svc.Failure(in.Instance, "replacing", err))
	}
	if diags = append(diags, a.delete(ctx, c, next)...); diags.HasErrors() {
		return diags
	}
	a.records.Remove(c.Address)
	a.cut.Add(next)
	if diags = append(diags, a.makeAnew(ctx, c, in)...); diags.HasErrors() {
		rev := a.newRevision(c, in, old, next.ID)
		rev.Action = string(plan.Delete)
		if err := a.commit(state.Batch{History: []state.Revision{rev}}); err != nil {
			diags = append(diags, a.svc.Failure(in.Instance, "writing its deletion to state", err))
		}
	}
	return diags
}

// makeAnew makes an instance whose old one is gone.
func (a *applying) makeAnew(ctx context.Context, c *plan.Change, in *look.Finding) hcl.Diagnostics {
	diags := a.planner.One(ctx, in, nil)
	if diags.HasErrors() {
		return diags
	}
	if in.Change.Action == plan.None || in.Change.AsIs {
		return append(diags, in.Errorf("it is still there", "It was deleted so as to be made anew, and its plugin says that there is nothing to do. Run davit apply again."))
	}
	return append(diags, a.operate(ctx, anew(in, c), in)...)
}

// anew is the change that makes an instance anew, as it was planned just now, with what the replacement says of it.
func anew(in *look.Finding, replacement *plan.Change) *plan.Change {
	in.Change.Reasons, in.Change.Hold, in.Change.TwoSteps = replacement.Reasons, replacement.Hold, true
	return in.Change
}
