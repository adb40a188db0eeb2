package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// planRefresh compares the world with what was last applied, whatever the block says now: what a plugin would
// change then is what somebody else has changed, or what an operation that was cut off has not done.
func (r *Planner) planRefresh(ctx context.Context, in *Finding) hcl.Diagnostics {
	prior, rec, err := r.prior(in)
	if err != nil {
		return hcl.Diagnostics{r.svc.failure(in.instance, "refreshing", err)}
	}
	if rec == nil {
		in.seen = in.node.typ.See(in.config, in.node.typ.UnknownOutputs())
		return nil // nothing was applied that could have drifted
	}
	if in.config, err = r.asApplied(in, rec); err != nil {
		return hcl.Diagnostics{r.svc.failure(in.instance, "refreshing", err)}
	}
	res, outputs, diags := r.svc.plan(ctx, in.instance, &pluginv1.PlanRequest{Prior: prior}, in.config)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.svc.failure(in.instance, "refreshing", err))
	}
	switch {
	case c.Action == plan.None:
		c.AsIs = true
	case rec.Status == state.StatusPartial:
		c.Action, c.Reasons = plan.None, append([]string{notEnded}, c.Reasons...)
	case c.Action == plan.Create || c.Action == plan.Build:
		c.Action, c.Reasons = plan.Forget, []string{"it is not there any more"}
	default:
		c.Action = plan.None
	}
	if !c.AsIs { // the plugin has told what it would make, not what it has seen
		if outputs, err = types.RecordedOutputs(rec, in.node.typ); err != nil {
			return append(diags, r.svc.failure(in.instance, "refreshing", err))
		}
	}
	c.Items = drifted(c.Items)
	r.compare(c, in, nil)
	c.Before = types.PlanValue(rec.Outputs)
	if c.After, err = plan.NewValue(outputs); err != nil {
		return append(diags, r.svc.failure(in.instance, "refreshing", err))
	}
	return append(diags, r.planned(in, c, outputs)...)
}

// asApplied are the arguments that an instance was applied with last, or that an operation that did not end was to give it.
// What is sensitive is not in state and is taken from the block as it is now.
func (r *Planner) asApplied(in *Finding, rec *state.Record) (cty.Value, error) {
	applied := rec.Config
	for _, op := range r.records.Snapshot().Operations {
		if op.Address == rec.Address && len(op.Config) > 0 && !makesFirst(&op) {
			applied = op.Config
		}
	}
	before, err := types.Decode(applied)
	if err != nil || before == cty.NilVal {
		return in.config, err
	}
	return overlay(in.config, types.Fit(before, in.node.typ.ConfigType)), nil
}

// refreshed brings the record of an instance up to date that its plugin has found as it was to be applied. Of one that
// differs nothing is known but that, so nothing is written: an operation that did not end stays open, for the next apply.
func (a *applying) refreshed(in *Finding, c *plan.Change, outputs cty.Value) error {
	rec, ok := a.records.Record(c.Address)
	if !ok || !c.AsIs || !outputs.IsWhollyKnown() || makingFirst(a.records.Snapshot(), c.Address) != nil {
		return nil
	}
	var err error
	if in.config, err = a.planner.asApplied(in, rec); err != nil {
		return err
	}
	if rec.Status == state.StatusPartial {
		return a.whole(in, c, outputs)
	}
	if a.cut.of(c.Address) != nil {
		return nil // it was to be deleted, and it is not known whether that goes on
	}
	now := *rec
	if now.Outputs, err = json.Marshal(c.After); err != nil || bytes.Equal(types.CompactJSON(now.Outputs), types.CompactJSON(rec.Outputs)) {
		return errors.Join(err, a.keep(in, c, rec))
	}
	now.Fingerprints = a.input.Fingerprints.Arguments(in.config)
	return a.commit(state.Batch{Put: []state.Record{now}})
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
