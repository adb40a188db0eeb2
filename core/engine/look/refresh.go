package look

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// planRefresh compares the world with what was last applied, whatever the block says now: what a plugin would
// change then is what somebody else has changed, or what an operation that was cut off has not done.
func (r *Planner) planRefresh(ctx context.Context, in *Finding) hcl.Diagnostics {
	prior, rec, err := r.Prior(in)
	if err != nil {
		return hcl.Diagnostics{r.Services.Failure(in.Instance, "refreshing", err)}
	}
	if rec == nil {
		in.Seen = in.Node.Type.See(in.Config, in.Node.Type.UnknownOutputs())
		return nil // nothing was applied that could have drifted
	}
	if in.Config, err = r.AsApplied(in, rec); err != nil {
		return hcl.Diagnostics{r.Services.Failure(in.Instance, "refreshing", err)}
	}
	res, outputs, diags := r.Services.Plan(ctx, in.Instance, &pluginv1.PlanRequest{Prior: prior}, in.Config)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.Services.Failure(in.Instance, "refreshing", err))
	}
	switch {
	case c.Action == plan.None:
		c.AsIs = true
	case rec.Status == state.StatusPartial:
		c.Action, c.Reasons = plan.None, append([]string{NotEnded}, c.Reasons...)
	case c.Action == plan.Create || c.Action == plan.Build:
		c.Action, c.Reasons = plan.Forget, []string{"it no longer exists"}
	default:
		c.Action = plan.None
	}
	if !c.AsIs { // the plugin has told what it would make, not what it has seen
		if outputs, err = types.RecordedOutputs(rec, in.Node.Type); err != nil {
			return append(diags, r.Services.Failure(in.Instance, "refreshing", err))
		}
	}
	c.Items = drifted(c.Items)
	r.compare(c, in, nil)
	c.Before = types.PlanValue(rec.Outputs)
	if c.After, err = plan.NewValue(outputs); err != nil {
		return append(diags, r.Services.Failure(in.Instance, "refreshing", err))
	}
	return append(diags, r.planned(in, c, outputs)...)
}

// AsApplied are the arguments that an instance was applied with last, or that an operation that did not end was to give it.
// What is sensitive is not in state and is taken from the block as it is now.
func (r *Planner) AsApplied(in *Finding, rec *state.Record) (cty.Value, error) {
	applied := rec.Config
	for _, op := range r.Records.Snapshot().Operations {
		if op.Address == rec.Address && len(op.Config) > 0 && !record.MakesFirst(&op) {
			applied = op.Config
		}
	}
	before, err := types.Decode(applied)
	if err != nil || before == cty.NilVal {
		return in.Config, err
	}
	return record.WithArguments(in.Config, types.Fit(before, in.Node.Type.ConfigType)), nil
}

// drifted are the items that differ from what was applied.
func drifted(items []plan.Item) []plan.Item {
	out := items[:0:0]
	for _, i := range items {
		if i.Action != plan.None {
			out = append(out, i)
		}
	}
	return out
}
