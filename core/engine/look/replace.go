package look

import (
	"bytes"
	"context"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// replaced tells whether an instance is made anew because the person or the configuration says so, and notes it in the change.
func (r *Planner) replaced(ctx context.Context, in *Finding, rec *state.Record, reviewed, c *plan.Change) bool {
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
	why := ""
	if input.Matches(r.Options.Replace, in.Addr) {
		why = "it was requested by -replace"
	} else if r.goesOn(in, rec) {
		why = NotEnded
	} else if c.Action != plan.Create { // what is gone is made anew anyway
		why = r.triggered(in)
	}
	if why == "" {
		return false
	}
	c.Action, c.TwoSteps = plan.Replace, true
	c.Reasons = append([]string{why}, c.Reasons...)
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

// triggered says which change of something else makes an instance anew, or nothing.
func (r *Planner) triggered(in *Finding) string {
	for _, x := range in.Node.Block.Lifecycle.ReplaceTriggeredBy {
		for _, ref := range eval.References(x) {
			needs, _ := in.Node.Scope.Needs([]eval.Ref{ref})
			list, _ := r.Tree.Dependencies(in.Node, needs, in.Each)
			for _, a := range list {
				if up := r.Finding(a); up != nil && r.differs(up, ref) {
					return "replace_triggered_by: " + a.String() + " changes"
				}
			}
		}
	}
	return ""
}

// differs tells whether what a reference names of an instance is not what state has.
func (r *Planner) differs(up *Finding, ref eval.Ref) bool {
	if ref.Node.Kind == "" || len(ref.Rest) == 0 {
		if up.Change != nil {
			return up.Change.Action != plan.None
		}
		return up.Observation != nil && (up.Observation.Before == nil || !sameValue(up.Observation.Before, &up.Observation.Outputs))
	}
	rec, ok := r.Records.Snapshot().Records[up.Addr.String()]
	if !ok {
		return true
	}
	outputs, err1 := types.Decode(rec.Outputs)
	config, err2 := types.Decode(rec.Config)
	if err1 != nil || err2 != nil || outputs == cty.NilVal {
		return true
	}
	was, d1 := ref.Rest.TraverseRel(up.Node.Type.Object(up.Addr.String(), up.Node.Type.See(config, outputs)))
	now, d2 := ref.Rest.TraverseRel(up.Value())
	if d1.HasErrors() || d2.HasErrors() {
		return true
	}
	now, _ = now.UnmarkDeep()
	return !now.IsWhollyKnown() || !now.RawEquals(was)
}

func sameValue(a, b *plan.Value) bool {
	return bytes.Equal(a.Value, b.Value) && slices.Equal(a.Unknown, b.Unknown)
}
