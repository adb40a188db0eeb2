package engine

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// planRefresh compares the world with what was last applied, whatever the block says now: what a plugin would
// change then is what somebody else has changed.
func (r *run) planRefresh(ctx context.Context, in *instance) hcl.Diagnostics {
	prior, rec, err := r.prior(in)
	if err != nil {
		return hcl.Diagnostics{r.failure(in, "refreshing", err)}
	}
	if rec == nil {
		in.seen = in.node.typ.see(in.config, in.node.typ.unknownOutputs())
		return nil // nothing was applied that could have drifted
	}
	before, err := storedValue(rec.Config)
	if err != nil {
		return hcl.Diagnostics{r.failure(in, "refreshing", err)}
	}
	if before != cty.NilVal {
		in.config = overlay(in.config, fit(before, in.node.typ.configType))
	}
	res, outputs, diags := r.call(ctx, in, &pluginv1.PlanRequest{Prior: prior}, in.config)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.failure(in, "refreshing", err))
	}
	switch c.Action {
	case plan.Create, plan.Build:
		c.Action, c.Reasons = plan.Forget, []string{"it is not there any more"}
	default:
		c.Action = plan.None
	}
	c.Items = drifted(c.Items)
	r.compare(c, in, nil)
	c.Before = recordedValue(rec.Outputs)
	if c.After, err = plan.NewValue(outputs); err != nil {
		return append(diags, r.failure(in, "refreshing", err))
	}
	return append(diags, r.planned(in, c, outputs)...)
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
