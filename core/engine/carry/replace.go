package carry

import (
	"context"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// deleteFirst deletes an instance that is made anew afterwards. ready says that its new arguments can be evaluated by now: then the
// operation that makes it is begun with the end of the deletion, so that a run that is cut off in between is gone on with as a
// replacement, which has one place in the history. Otherwise the deletion has a place of its own.
func (a *applying) deleteFirst(ctx context.Context, c *plan.Change, ready bool) hcl.Diagnostics {
	old, recorded := a.records.Record(c.Address)
	if !recorded {
		return nil
	}
	if !ready {
		diags := a.delete(ctx, c)
		if !diags.HasErrors() {
			a.records.Remove(c.Address)
		}
		return diags
	}
	at, err := addr.Parse(c.Address)
	if err != nil {
		return nil // the plan was read with it
	}
	in := a.planner.Finding(at)
	diags := a.expand(in)
	if !diags.HasErrors() {
		diags = append(diags, a.asReviewed(ctx, c, in)...)
	}
	if !diags.HasErrors() {
		diags = append(diags, a.planner.Configure(ctx, in)...)
	}
	if diags.HasErrors() {
		return diags
	}
	if !deep.Known(deep.Unmarked(in.Config)) {
		return append(diags, a.deleteFirst(ctx, c, false)...)
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
	a.replaced.Store(c.Address, &replaced{old: old, next: &next})
	return diags
}

// replaced is what is known of a replacement between its two steps.
type replaced struct {
	old  *state.Record
	next *state.Operation // that makes the new one; nil when the new one comes first
	// later deletes the old one of a replacement that made the new one first.
	later *state.Operation
}

// remake makes an instance anew: before the old one is deleted, or after that.
func (a *applying) remake(ctx context.Context, c *plan.Change, in *look.Finding) hcl.Diagnostics {
	diags := a.planner.Configure(ctx, in)
	if diags.HasErrors() {
		return diags
	}
	if old, recorded := a.records.Record(c.Address); recorded && c.CreateFirst {
		return append(diags, a.makeFirst(ctx, c, in, old)...)
	}
	if diags = append(diags, a.makeAnew(ctx, c, in)...); !diags.HasErrors() {
		return diags
	}
	if r := a.takeReplaced(c.Address); r != nil && r.next != nil { // deleted, and not made: the history says so
		rev := a.newRevision(c, in, r.old, r.next.ID)
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
		return append(diags, in.Errorf("it still exists", "It was deleted to be replaced, but its plugin still finds it. Run davit apply again."))
	}
	return append(diags, a.operate(ctx, anew(in, c), in)...)
}

// anew is the change that makes an instance anew, as it was planned just now, with what the replacement says of it.
func anew(in *look.Finding, replacement *plan.Change) *plan.Change {
	in.Change.Reasons, in.Change.Causes, in.Change.Hold, in.Change.TwoSteps = replacement.Reasons, replacement.Causes, replacement.Hold, true
	return in.Change
}

// takeReplaced returns what was kept of a replacement, once; nil if there is nothing.
func (a *applying) takeReplaced(address string) *replaced {
	v, there := a.replaced.LoadAndDelete(address)
	if !there {
		return nil
	}
	return v.(*replaced)
}

// waitsToBeDeleted tells whether the new one of a replacement is made and the old one is still there.
func (a *applying) waitsToBeDeleted(address string) bool {
	v, there := a.replaced.Load(address)
	return there && v.(*replaced).later != nil
}

// deleteReplaced deletes what an instance was before its replacement: the new one is there, and everything that depends on it uses that.
func (a *applying) deleteReplaced(ctx context.Context, c *plan.Change) hcl.Diagnostics {
	r := a.takeReplaced(c.Address)
	if r == nil || r.later == nil {
		return nil // the new one turned out not to be needed
	}
	at, err := addr.Parse(c.Address)
	if err != nil {
		return nil // the plan was read with it
	}
	return a.deleteOld(ctx, r.later, a.planner.Finding(at), r.old)
}
