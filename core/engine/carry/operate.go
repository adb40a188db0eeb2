package carry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/claims"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/trigger"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// operation is what an instance is made or changed in. What is made anew is replaced, whatever its plugin is told to do.
func (a *applying) operation(c *plan.Change, in *look.Finding) (state.Operation, error) {
	config, err := types.Encode(in.Node.Type.PluginConfig(in.Config))
	op := state.Operation{
		ID: uuid.NewString(), Address: c.Address, Kind: c.Kind, Type: c.Type, Plugin: c.Plugin, Action: string(c.Action),
		Begun: time.Now().UTC(), PlanHash: a.plan.Digest, Config: config, Private: c.Private, DependsOn: a.tree.ManagedUpstream(in.Instance),
	}
	if c.TwoSteps {
		op.Action = string(plan.Replace)
	}
	if err != nil {
		return op, err
	}
	op.Triggers, err = a.triggers(in)
	return op, err
}

// triggers returns what a record keeps of replace_triggered_by: fingerprints of the values of now.
func (a *applying) triggers(in *look.Finding) (map[string]string, error) {
	now, diags := a.planner.Triggers(in)
	if diags.HasErrors() {
		return nil, diags
	}
	return trigger.Stored(now), nil
}

// operate runs one operation: intent, work, result. What is to follow is begun with the result.
func (a *applying) operate(ctx context.Context, c *plan.Change, in *look.Finding, next ...state.Operation) hcl.Diagnostics {
	t := in.Node.Type
	if plain, _ := in.Config.UnmarkDeep(); !t.PluginConfig(plain).IsWhollyKnown() {
		return hcl.Diagnostics{in.Errorf("it cannot be applied", "Some of its arguments are still unknown although all of its dependencies are applied.")}
	}
	prior, before, err := a.planner.Prior(in)
	if err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "applying", err)}
	}
	op, err := a.operation(c, in)
	if err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "applying", err)}
	}
	if len(next) > 0 {
		op.Planned = next[0].Planned // the old one, which is there still
	}
	a.cut.TakeUp(&op)
	req := &pluginv1.ApplyRequest{
		Operation: op.ID, Address: op.Address, Kind: op.Kind, Type: op.Type, Action: types.ProtoAction(c.Action),
		Prior: prior, PlannedPrivate: c.Private, Transferred: claims.Given(a.plan, c.Address),
	}
	if req.Checkpoint, err = savedBefore(&op, t); err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "applying", err)}
	}
	req.SensitivePaths = secret.Paths(t.PluginConfig(in.Config))
	plain, _ := in.Config.UnmarkDeep()
	if req.Config, err = eval.EncodeValue(t.PluginConfig(plain)); err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "applying", err)}
	}
	if planned, err := t.StoredOutputs.Cty(c.After); err == nil {
		if req.Planned, err = eval.EncodeValue(types.Fit(planned, t.OutputType)); err != nil {
			return hcl.Diagnostics{a.svc.Failure(in.Instance, "applying", err)}
		}
	}
	res, diags := a.runOperation(ctx, in, &op, req, a.holdFirst(c)...)
	rec := state.Record{
		Address: op.Address, Kind: op.Kind, Type: op.Type, Plugin: op.Plugin, Status: state.StatusOK, Config: op.Config,
		DependsOn: op.DependsOn, Updated: time.Now().UTC(), Claims: c.Claims, Triggers: op.Triggers, Operation: op.ID,
	}
	if diags.HasErrors() {
		if before != nil { // what it owned before may be there still
			rec.Claims = slices.Compact(slices.Sorted(slices.Values(slices.Concat(before.Claims, c.Claims))))
		}
		return append(diags, a.endFailed(in, &op, rec, res)...)
	}
	outputs, err := a.svc.DecodeOutputs(t, res.GetOutputs())
	if err == nil && !outputs.IsWhollyKnown() {
		err = fmt.Errorf("plugin %q answered with outputs that are still unknown after apply: this is a defect in the plugin", t.Plugin)
	}
	if err != nil {
		return append(diags, append(hcl.Diagnostics{a.svc.Failure(in.Instance, "applying", err)}, a.endFailed(in, &op, rec, res)...)...)
	}
	in.Seen = t.See(in.Config, outputs)
	made, err := t.StoredOutputs.Value(outputs)
	if err == nil {
		rec.Outputs, err = json.Marshal(made)
	}
	if err != nil {
		return append(diags, a.svc.Failure(in.Instance, "applying", err))
	}
	rec.Private = res.GetPrivate()
	rec.Fingerprints, rec.OutputFingerprints = a.input.Fingerprints.Arguments(in.Config), a.input.Fingerprints.Outputs(outputs)
	rec.Hold = a.hold(c)
	rev := a.newRevision(c, in, &rec, op.ID)
	rev.Action = op.Action
	batch := state.Batch{Put: append([]state.Record{rec}, a.observed(in)...), End: []string{op.ID}, Begin: next, History: []state.Revision{rev}}
	if err := a.commit(batch); err != nil {
		return append(diags, a.svc.Failure(in.Instance, "writing its result to state", err))
	}
	a.records.Put(&rec)
	if d := record.Departs(t, c.After, made); d != "" { // what exists is in state all the same: the next plan is made from it
		return append(diags, in.Errorf("the result differs from the plan", "%s", d))
	}
	return append(diags, a.planner.Postconditions(in, "after it")...)
}

// commit writes to state even when the run is being stopped: what has happened must be kept.
func (a *applying) commit(b state.Batch) error {
	a.cut.End(&b)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := a.lease.Commit(ctx, b)
	if err != nil {
		a.halt() // what cannot be written down is not begun
	}
	return err
}

// runOperation commits the intent, with records that are to be there before the work begins, and runs the operation in the plugin.
func (a *applying) runOperation(ctx context.Context, in *look.Finding, op *state.Operation, req *pluginv1.ApplyRequest, first ...state.Record) (*pluginv1.ApplyResult, hcl.Diagnostics) {
	client, err := a.svc.Plugins.Client(ctx, op.Plugin)
	if err != nil {
		return nil, hcl.Diagnostics{a.svc.Failure(in.Instance, op.Action, err)}
	}
	if a.soft.Err() != nil {
		return nil, hcl.Diagnostics{notStarted(in)}
	}
	if err := a.commit(state.Batch{Put: first, Begin: []state.Operation{*op}}); err != nil {
		return nil, hcl.Diagnostics{a.svc.Failure(in.Instance, "writing its intent to state", err)}
	}
	// Only the work itself is bounded: what is about to begin and what has ended share their writes to state.
	select {
	case a.work <- struct{}{}:
		defer func() { <-a.work }()
	case <-a.soft.Done():
		if a.cut.WasTakenUp(op.ID) {
			return nil, hcl.Diagnostics{notStarted(in)} // what the earlier try did is still not known
		}
		if err := a.commit(state.Batch{End: []string{op.ID}}); err != nil {
			return nil, hcl.Diagnostics{a.svc.Failure(in.Instance, "writing to the state that it was not started", err)}
		}
		return nil, hcl.Diagnostics{notStarted(in)}
	}
	if until := a.lease.Until(); !until.IsZero() {
		if !time.Now().Before(until) { // this process was suspended: the operation may be another run's by now
			a.halt()
			return nil, hcl.Diagnostics{notStarted(in)}
		}
		req.BeginBeforeUnixMs = until.UnixMilli()
	}
	a.svc.Emit(event.Event{Type: event.OperationStart, Address: op.Address, Action: op.Action, Operation: op.ID})
	defer a.svc.Beats.Start(event.Event{Address: op.Address, Action: op.Action, Operation: op.ID}, nil)()
	ctx, end := a.opts.Handle.begin(ctx, op)
	defer end()
	res, err := client.Apply(ctx, req, func(m *pluginv1.ApplyResponse) error { return a.onMessage(in, op, m) })
	switch cause := context.Cause(ctx); {
	case err == nil:
	case errors.Is(cause, errSuperseded):
		return nil, hcl.Diagnostics{superseded(in)}
	case errors.Is(cause, errCancelled):
		err = errCancelled
	}
	if err != nil {
		return nil, hcl.Diagnostics{a.svc.Failure(in.Instance, op.Action, err)}
	}
	return res, a.svc.Diagnostics(in.Instance, res.GetDiagnostics())
}

// codeSuperseded marks an operation that was cancelled because another apply takes its place.
const codeSuperseded = "superseded"

func superseded(in *look.Finding) *hcl.Diagnostic {
	d := diag.Plain(in.Addr.String()+": cancelled", errSuperseded.Error())
	d.Extra = diag.Info{Address: in.Addr.String(), Code: codeSuperseded}
	return d
}

// codeNotStarted marks an operation that was ready when the run was stopped.
const codeNotStarted = "not_started"

func notStarted(in *look.Finding) *hcl.Diagnostic {
	d := diag.Plain(in.Addr.String()+": not started", "The run was stopped.")
	d.Extra = diag.Info{Address: in.Addr.String(), Code: codeNotStarted}
	return d
}
