package look

import (
	"bytes"
	"context"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/trigger"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Configure evaluates an instance's arguments: its block's, or those of the revision that it is held at.
func (r *Planner) Configure(ctx context.Context, in *Finding) hcl.Diagnostics {
	config, diags := r.Services.Decode(in.Instance)
	if diags.HasErrors() {
		return diags
	}
	in.Config = config
	rec, recorded := r.Records.Snapshot().Records[in.Addr.String()]
	held := uint64(0)
	if in.Change != nil && in.Change.Hold != nil {
		held = in.Change.Hold.Revision // at apply: as it was reviewed
	} else if b := r.Options.Rollback; b != nil && b.Address == in.Addr.String() {
		held = b.Revision
	} else if recorded && rec.Hold != nil {
		held = rec.Hold.Revision
	}
	if held > 0 {
		return append(diags, r.configureHeld(ctx, in, held)...)
	}
	if recorded {
		diags = append(diags, r.ignoreChanges(in, &rec)...)
	}
	return diags
}

// keptArguments returns the names of the arguments that stay as they were applied last: those that the plan says, or, while a plan is
// made, those that lead to an image if the images of the instance are to be kept.
func (r *Planner) keptArguments(in *Finding) []string {
	if in.Change != nil {
		return in.Change.Kept // at apply: as it was planned
	}
	if !r.Options.KeepImages[in.Addr.String()] {
		return nil
	}
	return in.Node.ArgumentsFrom(kinds.Policy, kinds.Image, kinds.Build)
}

// ignoreChanges gives arguments whose changes are ignored the value that was applied last.
func (r *Planner) ignoreChanges(in *Finding, rec *state.Record) hcl.Diagnostics {
	l := in.Node.Block.Lifecycle
	in.kept = r.keptArguments(in)
	for _, name := range in.kept {
		l.Ignore = append(slices.Clip(l.Ignore), hcl.Traversal{hcl.TraverseAttr{Name: name}})
	}
	if !l.IgnoreAll && len(l.Ignore) == 0 {
		return nil
	}
	before, err := types.Decode(rec.Config)
	if err != nil || before == cty.NilVal {
		return nil
	}
	before = types.Fit(before, in.Node.Type.ConfigType)
	in.ignored = record.IgnoredSecrets(in.Config, rec, l)
	if l.IgnoreAll {
		in.Config = record.WithArguments(in.Config, before)
		return nil
	}
	attrs := in.Config.AsValueMap()
	for _, t := range l.Ignore {
		first, ok := t[0].(hcl.TraverseAttr)
		if !ok || !before.Type().HasAttribute(first.Name) {
			continue
		}
		old := before.GetAttr(first.Name)
		v, err := record.WithOld(attrs[first.Name], old, t[1:])
		if err != nil {
			return hcl.Diagnostics{diag.Errorf(t.SourceRange(), "ignore_changes cannot be followed", "%s: %s", in.Addr, err)}
		}
		attrs[first.Name] = v
	}
	in.Config = cty.ObjectVal(attrs)
	return nil
}

// asRecorded plans an instance without its plugin, if it is what state says: for -refresh=false.
func (r *Planner) asRecorded(in *Finding, trig trigger.Fired) bool {
	rec, ok := r.Records.Snapshot().Records[in.Addr.String()]
	if !ok || rec.Status != state.StatusOK || record.BeingDeleted(r.Records.Snapshot(), rec.Address) || len(rec.Outputs) == 0 || r.Options.Rollback != nil || input.Matches(r.Options.Replace, in.Addr) {
		return false
	}
	config, err := types.Encode(in.Node.Type.PluginConfig(in.Config))
	if err != nil || !bytes.Equal(types.CompactJSON(config), types.CompactJSON(rec.Config)) || len(r.Input.Fingerprints.Changed(in.Config, in.ignored, &rec)) > 0 {
		return false
	}
	v := types.PlanValue(rec.Outputs)
	if v == nil || len(v.Sensitive) > 0 {
		return false // its plugin is asked for what state does not hold
	}
	outputs, err := v.Cty()
	if err != nil {
		return false
	}
	outputs = types.Fit(outputs, in.Node.Type.OutputType)
	c := &plan.Change{Address: in.Addr.String(), Kind: in.Addr.Kind, Type: in.Addr.Type, Plugin: in.Node.Type.Plugin, Action: plan.None, DependsOn: world.Addresses(in.Deps), Claims: rec.Claims}
	if c.After, err = plan.NewValue(outputs); err != nil {
		return false
	}
	r.compare(c, in, &rec)
	c.Record = r.recordOnly(in, c, &rec, trig, nil, nil)
	r.planned(in, c, outputs)
	return true
}

// Arguments returns the arguments of an instance that are not what was applied last, and all that are set for one that is new. They are
// compared with the state that the plan is made against, whatever this run has written since.
func (r *Planner) Arguments(in *Finding, address string) []plan.Field {
	var before *state.Record
	if rec, ok := r.Records.Snapshot().Records[address]; ok {
		before = &rec
	}
	return record.ChangedArguments(in.Node.Type, before, in.Config, r.Input.Fingerprints.Arguments(in.Config), in.ignored)
}
