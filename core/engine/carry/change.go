package carry

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// unchanged gives an instance that needs nothing done its value.
func (a *applying) unchanged(in *look.Finding, c *plan.Change) hcl.Diagnostics {
	diags := a.planner.Configure(context.Background(), in)
	if !diags.HasErrors() {
		diags = append(diags, a.planner.Preconditions(in, "before it is applied")...)
	}
	if diags.HasErrors() {
		return diags
	}
	outputs, err := in.Node.Type.StoredOutputs.Cty(c.After)
	if err != nil {
		return append(diags, a.svc.Failure(in.Instance, "reading the plan", err))
	}
	if in.Seen == nil { // else it was planned again: the plan does not hold what is sensitive
		in.Seen = in.Node.Type.See(in.Config, types.Fit(outputs, in.Node.Type.OutputType))
	}
	write := a.whole
	if a.plan.Mode == plan.ModeRefresh {
		write = a.refreshed
	}
	if err := write(in, c, outputs); err != nil {
		return append(diags, a.svc.Failure(in.Instance, "writing its record to state", err))
	}
	return append(diags, a.planner.Postconditions(in, "after it")...)
}

// whole writes the record of an instance that an earlier operation left unfinished, and that turned out to be as it should.
func (a *applying) whole(in *look.Finding, c *plan.Change, outputs cty.Value) error {
	rec, ok := a.records.Record(in.Addr.String())
	if ok && rec.Status == state.StatusOK {
		return a.keep(in, c, rec)
	}
	if !ok || !outputs.IsWhollyKnown() {
		return nil
	}
	config, err1 := types.Encode(in.Node.Type.PluginConfig(in.Config))
	out, err2 := json.Marshal(c.After)
	triggers, err3 := a.triggers(in)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	now := *rec
	now.Status, now.Config, now.Outputs, now.Fingerprints = state.StatusOK, config, out, a.input.Fingerprints.Arguments(in.Config)
	now.OutputFingerprints = nil // of outputs that the plan does not hold
	now.DependsOn, now.Updated, now.Claims = a.tree.ManagedUpstream(in.Instance), time.Now().UTC(), c.Claims
	now.Triggers = triggers
	if c.Holds() {
		now.Hold = a.hold(c)
	}
	did := *c
	did.Action, did.Reasons, did.Causes = plan.Adopt, []string{look.NotEnded + ", and it matches its configuration"}, []plan.Cause{plan.CauseRetry}
	id := "adopt"
	if op := a.cut.Find(c.Address); op != nil {
		id, did.Action = op.ID, plan.Action(op.Action)
	}
	return a.commit(state.Batch{Put: append([]state.Record{now}, a.observed(in)...), History: []state.Revision{a.newRevision(&did, in, &now, id)}})
}

// carryOut does what a change says. It returns what was done in the end: what was unknown may turn out to change nothing.
func (a *applying) carryOut(ctx context.Context, c *plan.Change, in *look.Finding) (plan.Action, hcl.Diagnostics) {
	switch {
	case c.Action == plan.Forget:
		return c.Action, a.forget(c)
	case in == nil:
		return c.Action, a.delete(ctx, c)
	}
	diags := a.asReviewed(ctx, c, in)
	switch {
	case diags.HasErrors():
		return c.Action, diags
	case c.TwoSteps:
		return c.Action, append(diags, a.remake(ctx, c, in)...)
	}
	if c.Import != "" {
		diags = a.takeOver(ctx, c, in)
		if diags.HasErrors() || c.Action == plan.Adopt && len(in.Node.Type.Sensitive) == 0 {
			return c.Action, diags // else it is planned again: its record does not hold what is sensitive
		}
	}
	final := c
	lacks := len(a.without.builds(c.Address)) > 0
	unsaid := !c.After.IsKnown() || len(c.After.Sensitive) > 0 // what others see of it is not all in the plan
	if a.opts.Reviewed || c.Deferred || unsaid || a.hadLeftover(c.Address) || len(c.WaitsFor) > 0 || c.Import != "" || lacks {
		diags = append(diags, a.planner.One(ctx, in, c)...)
		if diags.HasErrors() {
			return c.Action, diags
		}
		final = in.Change
		if err := record.Consistent(c, final, lacks); err != nil {
			return c.Action, append(diags, a.svc.Failure(in.Instance, "planning again at apply", err))
		}
		if final.Hold = c.Hold; !c.Deferred {
			final.Reasons, final.Causes = c.Reasons, c.Causes
		}
	} else {
		diags = append(diags, a.planner.Configure(ctx, in)...)
		if !diags.HasErrors() {
			diags = append(diags, a.planner.Preconditions(in, "before it is applied")...)
		}
		if diags.HasErrors() {
			return c.Action, diags
		}
	}
	switch {
	case final.Action == plan.None && c.Import != "":
		return c.Action, append(diags, a.unchanged(in, final)...) // it was taken over
	case final.Action == plan.None && final.Holds():
		return plan.Keep, append(diags, a.unchanged(in, final)...)
	case final.Action == plan.None:
		return plan.None, append(diags, a.unchanged(in, final)...)
	case final.AsIs:
		return final.Action, append(diags, a.adopt(final, in)...)
	}
	return final.Action, append(diags, a.operate(ctx, final, in)...)
}

// forget removes a record and leaves what it stands for alone.
func (a *applying) forget(c *plan.Change) hcl.Diagnostics {
	if err := a.commit(state.Batch{Delete: []string{c.Address}}); err != nil {
		return hcl.Diagnostics{diag.Plain(c.Address+": writing to state failed", err.Error())}
	}
	return nil
}

// takeOver writes the record of an existing object.
func (a *applying) takeOver(ctx context.Context, c *plan.Change, in *look.Finding) hcl.Diagnostics {
	if diags := a.planner.Configure(ctx, in); diags.HasErrors() {
		return diags
	}
	rec, diags := a.planner.Imported(ctx, in, c.Import)
	if diags.HasErrors() {
		return diags
	}
	rec.Updated = time.Now().UTC()
	rec.Fingerprints = a.input.Fingerprints.Arguments(in.Config)
	var err error
	if rec.Triggers, err = a.triggers(in); err != nil {
		return append(diags, a.svc.Failure(in.Instance, "importing", err))
	}
	rev := a.newRevision(c, in, rec, "import")
	if err := a.commit(state.Batch{Put: append([]state.Record{*rec}, a.observed(in)...), History: []state.Revision{rev}}); err != nil {
		return append(diags, a.svc.Failure(in.Instance, "writing its record to state", err))
	}
	a.records.Put(rec)
	outputs, err := types.Decode(rec.Outputs)
	if err != nil {
		return append(diags, a.svc.Failure(in.Instance, "importing", err))
	}
	in.Seen = in.Node.Type.See(in.Config, types.Fit(outputs, in.Node.Type.OutputType))
	return diags
}

// adopt writes the record of what is there as it should be. What is to follow is begun with it.
func (a *applying) adopt(c *plan.Change, in *look.Finding, next ...state.Operation) hcl.Diagnostics {
	t := in.Node.Type
	config, err1 := types.Encode(t.PluginConfig(in.Config))
	after, err2 := t.StoredOutputs.Cty(c.After)
	triggers, err3 := a.triggers(in)
	if err := errors.Join(err1, err2, err3); err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "adopting it", err)}
	}
	outputs := types.Fit(after, t.OutputType)
	written, err := types.Encode(outputs)
	if err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "adopting it", err)}
	}
	rec := &state.Record{
		Address: c.Address, Kind: c.Kind, Type: c.Type, Plugin: c.Plugin, Status: state.StatusOK, Config: config, Outputs: written,
		Private: c.Private, Fingerprints: a.input.Fingerprints.Arguments(in.Config), DependsOn: a.tree.ManagedUpstream(in.Instance), Updated: time.Now().UTC(), Hold: a.hold(c),
		Claims: c.Claims, Triggers: triggers,
	}
	rev := a.newRevision(c, in, rec, "adopt")
	if op := a.cut.Find(c.Address); op != nil {
		rev.Operation, rev.Action = op.ID, op.Action
		rev.Record.Operation, rec.Operation = op.ID, op.ID
	}
	if err := a.commit(state.Batch{Put: append([]state.Record{*rec}, a.observed(in)...), Begin: next, History: []state.Revision{rev}}); err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "writing its record to state", err)}
	}
	a.records.Put(rec)
	if in.Seen == nil { // else it was planned again: the plan does not hold what is sensitive
		in.Seen = t.See(in.Config, outputs)
	}
	return nil
}
