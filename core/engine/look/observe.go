package look

import (
	"context"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Observe looks at a source or an image, or asks a policy. pinned is what the reviewed plan
// has seen, nil when the engine is free to look.
func (r *Planner) Observe(ctx context.Context, in *Finding, pinned *plan.Observation) hcl.Diagnostics {
	c, ok := contracts[in.Addr.Kind].(observed)
	if !ok {
		return hcl.Diagnostics{unknownKind(in)}
	}
	config, diags := r.Services.Decode(in.Instance)
	if diags.HasErrors() {
		in.misused = len(in.Deps) == 0 // nothing of the world is in its arguments
		return diags
	}
	in.Config = config
	diags = append(diags, r.Preconditions(in, "before it is observed")...)
	if diags.HasErrors() {
		return diags
	}
	o := &plan.Observation{Address: in.Addr.String(), Kind: in.Addr.Kind, Type: in.Addr.Type, Plugin: in.Node.Type.Plugin, DependsOn: world.Addresses(in.Deps)}
	in.Observation = o
	if rec, ok := r.Records.Snapshot().Records[o.Address]; ok {
		o.Before = types.PlanValue(rec.Outputs)
	}
	outputs := cty.NilVal
	if pinned == nil {
		outputs = r.delay(in)
	}
	if outputs == cty.NilVal {
		var more hcl.Diagnostics
		outputs, more = c.outputs(ctx, r, in, pinned)
		if diags = append(diags, more...); diags.HasErrors() {
			return diags
		}
	}
	switch {
	case pinned == nil || in.fellBack:
	case len(pinned.ReadAfter) > 0: // nothing was seen then
		o.Before = pinned.Before
	default: // what was reviewed tells what was news then
		o.Items, o.Reasons, o.Before = pinned.Items, pinned.Reasons, pinned.Before
	}
	in.Seen = in.Node.Type.See(config, outputs)
	diags = append(diags, r.Postconditions(in, "after it was observed")...)
	stored, err := plan.NewValue(outputs)
	if err != nil {
		return append(diags, r.Services.Failure(in.Instance, "observing", err))
	}
	o.Outputs = *stored
	r.Services.Emit(event.Event{Type: event.Observed, Address: o.Address, Message: strings.Join(o.Reasons, "; ")})
	return diags
}

// recalls tells whether what state has of an observed instance stands for a look at it: -refresh=false.
func (r *Planner) recalls(in *Finding) bool {
	_, ok := types.Whole(in.Observation.Before, in.Node.Type)
	return ok && r.Options.NoRefresh
}

// known tells whether the plugin can look: whether its configuration is known, but for the
// kind's own attributes.
func (in *Finding) known() bool { return in.Node.Type.PluginConfig(in.Config).IsWhollyKnown() }

// outputsIn are the outputs of a pinned observation; none if nothing is pinned.
func outputsIn(pinned *plan.Observation) *plan.Value {
	if pinned == nil {
		return nil
	}
	return &pinned.Outputs
}

// askPlugin calls the plugin of a source or an image and keeps what it tells besides the outputs.
func (r *Planner) askPlugin(ctx context.Context, in *Finding, req *pluginv1.PlanRequest) (cty.Value, hcl.Diagnostics) {
	prior, _, err := r.Prior(in)
	if err != nil {
		return cty.NilVal, hcl.Diagnostics{r.Services.Failure(in.Instance, "observing", err)}
	}
	req.Prior = prior
	res, outputs, diags := r.Services.Plan(ctx, in.Instance, req, in.Node.Type.PluginConfig(in.Config))
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	in.Observation.Reasons = r.Services.Secrets.MaskAll(res.GetReasons())
	if in.Observation.Items, err = r.Services.Secrets.Items(res.GetItems()); err != nil {
		return cty.NilVal, append(diags, r.Services.Failure(in.Instance, "observing", err))
	}
	return outputs, diags
}
