package look

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// configureHeld gives an instance the arguments that it had at an earlier revision. What is sensitive is not in
// state and is taken from the block as it is now.
func (r *Planner) configureHeld(ctx context.Context, in *Finding, number uint64) hcl.Diagnostics {
	rev, err := r.Input.Revision(ctx, in.Addr.String(), number)
	if err != nil {
		return hcl.Diagnostics{r.Services.Failure(in.Instance, "returning to revision "+fmt.Sprint(number), err)}
	}
	before, err := types.Decode(rev.Record.Config)
	if err != nil || before == cty.NilVal {
		return hcl.Diagnostics{in.Errorf("the revision cannot be read", "Revision %d has no arguments: %v", number, err)}
	}
	config := record.WithArguments(in.Config, types.Fit(before, in.Node.Type.ConfigType))
	var inputs []plan.Observation
	if len(rev.Inputs) > 0 {
		if err := json.Unmarshal(rev.Inputs, &inputs); err != nil {
			return hcl.Diagnostics{r.Services.Failure(in.Instance, "reading revision "+fmt.Sprint(number), err)}
		}
	}
	var diags hcl.Diagnostics
	for i := range inputs {
		if inputs[i].Kind != kinds.Source {
			continue
		}
		var more hcl.Diagnostics
		config, more = r.sourceOf(ctx, in, config, &inputs[i])
		diags = append(diags, more...)
	}
	in.Config = config
	return diags
}

// LeftAlone tells whether a rollback is about something else than an instance: then it is what state has of it.
func (r *Planner) LeftAlone(in *Finding) bool {
	return r.Options.Rollback != nil && r.Options.Rollback.Address != in.Addr.String()
}

// AsInState gives an instance the outputs that state has, without a look at the world. Sensitive ones are not in state: for
// those the plugin is asked, as long as it would change nothing.
func (r *Planner) AsInState(ctx context.Context, in *Finding) hcl.Diagnostics {
	t := in.Node.Type
	if kinds.IsManaged(in.Addr.Kind) && len(t.Sensitive) > 0 {
		if diags := r.One(ctx, in, nil); diags.HasErrors() || in.Change.Action == plan.None {
			return diags
		}
	}
	rec, _ := r.Records.Record(in.Addr.String())
	return r.asRecord(in, rec)
}

// asRecord gives an instance the outputs of a record; nil: none of them is known.
func (r *Planner) asRecord(in *Finding, rec *state.Record) hcl.Diagnostics {
	t := in.Node.Type
	config, diags := r.Services.Decode(in.Instance)
	if diags.HasErrors() {
		return diags
	}
	outputs := t.UnknownOutputs()
	if rec != nil && rec.Address != "" {
		var err error
		if outputs, err = types.RecordedOutputs(rec, t); err != nil {
			return append(diags, r.Services.Failure(in.Instance, "reading its record", err))
		}
	}
	outputs = types.HideSensitive(outputs, t)
	in.Config, in.Seen = config, t.See(config, outputs)
	after, err := plan.NewValue(outputs)
	if err != nil {
		return append(diags, r.Services.Failure(in.Instance, "reading its record", err))
	}
	if kinds.IsManaged(in.Addr.Kind) {
		in.Change = &plan.Change{Address: in.Addr.String(), Kind: t.Kind, Type: t.Name, Plugin: t.Plugin, Action: plan.None, After: after, DependsOn: world.Addresses(in.Deps), Claims: r.Records.Snapshot().Records[in.Addr.String()].Claims}
	} else {
		in.Observation = &plan.Observation{Address: in.Addr.String(), Kind: t.Kind, Type: t.Name, Plugin: t.Plugin, Outputs: *after, Before: after, DependsOn: world.Addresses(in.Deps)}
	}
	return diags
}

// notAlone says that an instance cannot be brought back by itself; nil if it can.
func (r *Planner) notAlone(in *Finding) *hcl.Diagnostic {
	if r.Options.Rollback == nil || r.LeftAlone(in) {
		return nil
	}
	if plain, _ := in.Config.UnmarkDeep(); plain.IsWhollyKnown() {
		return nil
	}
	return in.Errorf("it cannot be rolled back alone", "It needs outputs of %s that are not in the state. Run davit apply first.", strings.Join(r.waitsFor(in), ", "))
}

// sourceOf has the files of an earlier revision of a source there again, and puts them where the arguments name that source.
func (r *Planner) sourceOf(ctx context.Context, in *Finding, config cty.Value, o *plan.Observation) (cty.Value, hcl.Diagnostics) {
	a, err := addr.Parse(o.Address)
	if err != nil || !record.Mentions(config, o.Address) {
		return config, nil
	}
	source := r.Finding(a)
	if source == nil || source.Config == cty.NilVal {
		return config, nil // its block is gone: the plugin says if it needs the files
	}
	seen, ok := types.Whole(&o.Outputs, source.Node.Type)
	if !ok {
		return config, nil
	}
	req := &pluginv1.PlanRequest{}
	if req.Pinned, err = eval.EncodeValue(seen); err != nil {
		return config, hcl.Diagnostics{r.Services.Failure(in.Instance, "finding its source", err)}
	}
	_, outputs, diags := r.Services.Plan(ctx, source.Instance, req, source.Node.Type.PluginConfig(source.Config))
	if diags.HasErrors() {
		return config, diags
	}
	value := source.Node.Type.Object(source.Addr.String(), source.Node.Type.See(source.Config, outputs))
	out, err := cty.Transform(config, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if !v.IsMarked() && record.IsBlock(v, o.Address) {
			return types.Fit(value, v.Type()), nil
		}
		return v, nil
	})
	if err != nil {
		return config, append(diags, r.Services.Failure(in.Instance, "finding its source", err))
	}
	return out, diags
}
