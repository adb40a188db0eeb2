package look

import (
	"context"
	"slices"

	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// replaced tells whether an instance is made anew because the person or the configuration says so, and notes it in the change.
func (r *Planner) replaced(ctx context.Context, in *Finding, rec *state.Record, reviewed, c *plan.Change, fired []string) bool {
	if reviewed != nil {
		c.TwoSteps, c.CreateFirst, c.CreateFirstFor = reviewed.TwoSteps, reviewed.CreateFirst, reviewed.CreateFirstFor
		if c.TwoSteps {
			c.Action, c.Reasons = plan.Replace, reviewed.Reasons
		}
		return c.TwoSteps
	}
	if rec == nil || c.Action == plan.Replace {
		return false
	}
	var why []string
	if input.Matches(r.Options.Replace, in.Addr) {
		why = []string{"it was requested by -replace"}
	} else if r.goesOn(in, rec) {
		why = []string{NotEnded}
	} else if c.Action != plan.Create { // what is gone is made anew anyway
		why = fired
	}
	if len(why) == 0 {
		return false
	}
	c.Action, c.TwoSteps = plan.Replace, true
	c.Reasons = slices.Concat(why, c.Reasons)
	first, by := r.createsFirst(in)
	switch {
	case first && (r.goesOn(in, rec) || r.canCreateFirst(ctx, in)):
		c.CreateFirst, c.CreateFirstFor = true, by
	case first:
		c.Reasons = append(c.Reasons, "it is deleted first, although create_before_destroy is set: the old one and the new one cannot exist at once")
	}
	return true
}

// createsFirst tells whether the new one of an instance is to be made before the old one is deleted. A block that a
// create_before_destroy block depends on, directly or not, is replaced the same way; then by is the name of that block.
func (r *Planner) createsFirst(in *Finding) (first bool, by string) {
	if in.Node.Block.Lifecycle.CreateBeforeDestroy {
		return true, ""
	}
	r.inheritOnce.Do(func() { r.inherited = r.Forms.CreateBeforeDestroy(r.Input.Stack.Module) })
	by = r.inherited[world.BlockName(in.Addr)]
	return by != "", by
}

// canCreateFirst tells whether the new one of an instance can exist beside the old one: its plugin would create it if there were no
// record.
func (r *Planner) canCreateFirst(ctx context.Context, in *Finding) bool {
	res, _, diags := r.Services.Plan(ctx, in.Instance, &pluginv1.PlanRequest{}, in.Config)
	return !diags.HasErrors() && res.GetAction() == pluginv1.Action_ACTION_CREATE
}
