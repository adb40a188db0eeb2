package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// operation is what an instance is made or changed in. What is made anew is replaced, whatever its plugin is told to do.
func (a *applying) operation(c *plan.Change, in *Finding) (state.Operation, error) {
	config, err := types.Encode(in.node.typ.PluginConfig(in.config))
	op := state.Operation{
		ID: uuid.NewString(), Address: c.Address, Kind: c.Kind, Type: c.Type, Plugin: c.Plugin, Action: string(c.Action),
		Begun: time.Now().UTC(), PlanHash: a.plan.Digest, Config: config, Private: c.Private, DependsOn: a.tree.managedUpstream(in.instance),
	}
	if c.TwoSteps {
		op.Action = string(plan.Replace)
	}
	return op, err
}

// operate runs one operation: intent, work, result. What is to follow is begun with the result.
func (a *applying) operate(ctx context.Context, c *plan.Change, in *Finding, next ...state.Operation) hcl.Diagnostics {
	t := in.node.typ
	if plain, _ := in.config.UnmarkDeep(); !t.PluginConfig(plain).IsWhollyKnown() {
		return hcl.Diagnostics{in.errorf("it cannot be applied", "Some of its arguments are still unknown, though all that they depend on is done.")}
	}
	prior, _, err := a.planner.prior(in)
	if err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "applying", err)}
	}
	op, err := a.operation(c, in)
	if err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "applying", err)}
	}
	if len(next) > 0 {
		op.Planned = next[0].Planned // the old one, which is there still
	}
	a.cut.takeUp(&op)
	req := &pluginv1.ApplyRequest{
		Operation: op.ID, Address: op.Address, Kind: op.Kind, Type: op.Type, Action: types.ProtoAction(c.Action),
		Prior: prior, PlannedPrivate: c.Private,
	}
	if req.Checkpoint, err = savedBefore(&op, t); err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "applying", err)}
	}
	plain, _ := in.config.UnmarkDeep()
	if req.Config, err = eval.EncodeValue(t.PluginConfig(plain)); err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "applying", err)}
	}
	if planned, err := t.StoredOutputs.Cty(c.After); err == nil {
		if req.Planned, err = eval.EncodeValue(types.Fit(planned, t.OutputType)); err != nil {
			return hcl.Diagnostics{a.svc.failure(in.instance, "applying", err)}
		}
	}
	res, diags := a.call(ctx, in, &op, req, a.holdFirst(c)...)
	rec := state.Record{
		Address: op.Address, Kind: op.Kind, Type: op.Type, Plugin: op.Plugin, Status: state.StatusOK, Config: op.Config,
		DependsOn: op.DependsOn, Updated: time.Now().UTC(),
	}
	if diags.HasErrors() {
		return append(diags, a.endFailed(in, &op, rec, res)...)
	}
	outputs, err := a.svc.decodeOutputs(t, res.GetOutputs())
	if err == nil && !outputs.IsWhollyKnown() {
		err = fmt.Errorf("plugin %q answered with outputs that are still unknown after apply: this is a defect of the plugin", t.Plugin)
	}
	if err != nil {
		return append(diags, append(hcl.Diagnostics{a.svc.failure(in.instance, "applying", err)}, a.endFailed(in, &op, rec, res)...)...)
	}
	in.seen = t.See(in.config, outputs)
	made, err := t.StoredOutputs.Value(outputs)
	if err == nil {
		rec.Outputs, err = json.Marshal(made)
	}
	if err != nil {
		return append(diags, a.svc.failure(in.instance, "applying", err))
	}
	rec.Private = res.GetPrivate()
	rec.Fingerprints, rec.OutputFingerprints = a.input.Fingerprints.Arguments(in.config), a.input.Fingerprints.Outputs(outputs)
	rec.Hold = a.hold(c)
	rev := a.newRevision(c, in, &rec, op.ID)
	rev.Action = op.Action
	batch := state.Batch{Put: append([]state.Record{rec}, a.observed(in)...), End: []string{op.ID}, Begin: next, History: []state.Revision{rev}}
	if err := a.commit(batch); err != nil {
		return append(diags, a.svc.failure(in.instance, "writing its result to state", err))
	}
	if d := departs(t, c.After, made); d != "" { // what exists is in state all the same: the next plan is made from it
		return append(diags, in.errorf("it is not what was planned", "%s", d))
	}
	return append(diags, a.planner.postconditions(in, "after it")...)
}

// commit writes to state even when the run is being stopped: what has happened must be kept.
func (a *applying) commit(b state.Batch) error {
	a.cut.end(&b)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := a.lease.Commit(ctx, b)
	if err != nil {
		a.halt() // what cannot be written down is not begun
	}
	return err
}

// call commits the intent, with records that are to be there before the work begins, and runs the operation in the plugin.
func (a *applying) call(ctx context.Context, in *Finding, op *state.Operation, req *pluginv1.ApplyRequest, first ...state.Record) (*pluginv1.ApplyResult, hcl.Diagnostics) {
	client, err := a.svc.Plugins.Client(ctx, op.Plugin)
	if err != nil {
		return nil, hcl.Diagnostics{a.svc.failure(in.instance, op.Action, err)}
	}
	if a.soft.Err() != nil {
		return nil, hcl.Diagnostics{notStarted(in)}
	}
	if err := a.commit(state.Batch{Put: first, Begin: []state.Operation{*op}}); err != nil {
		return nil, hcl.Diagnostics{a.svc.failure(in.instance, "writing its intent to state", err)}
	}
	// Only the work itself is bounded: what is about to begin and what has ended share their writes to state.
	select {
	case a.work <- struct{}{}:
		defer func() { <-a.work }()
	case <-a.soft.Done():
		if a.cut.wasTakenUp(op.ID) {
			return nil, hcl.Diagnostics{notStarted(in)} // what the earlier try did is still not known
		}
		if err := a.commit(state.Batch{End: []string{op.ID}}); err != nil {
			return nil, hcl.Diagnostics{a.svc.failure(in.instance, "writing to state that it was not started", err)}
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
	a.svc.emit(event.Event{Type: event.OperationStart, Address: op.Address, Action: op.Action, Operation: op.ID})
	defer a.svc.beats.start(event.Event{Address: op.Address, Action: op.Action, Operation: op.ID}, nil)()
	res, err := client.Apply(ctx, req, func(m *pluginv1.ApplyResponse) error { return a.told(in, op, m) })
	if err != nil {
		return nil, hcl.Diagnostics{a.svc.failure(in.instance, op.Action, err)}
	}
	return res, a.svc.diagnostics(in.instance, res.GetDiagnostics())
}

// codeNotStarted marks an operation that was ready when the run was stopped.
const codeNotStarted = "not_started"

func notStarted(in *Finding) *hcl.Diagnostic {
	d := diag.Plain(in.addr.String()+": not started", "The run was stopped.")
	d.Extra = diag.Info{Address: in.addr.String(), Code: codeNotStarted}
	return d
}

// told deals with what a plugin tells while it works.
func (a *applying) told(in *Finding, op *state.Operation, m *pluginv1.ApplyResponse) error {
	ev := event.Event{Address: op.Address, Operation: op.ID}
	switch b := m.GetBody().(type) {
	case *pluginv1.ApplyResponse_Log:
		ev.Type, ev.Stream, ev.Message = event.Log, a.svc.Secrets.Mask(b.Log.GetStream()), a.svc.Secrets.Mask(b.Log.GetLine())
	case *pluginv1.ApplyResponse_Progress:
		ev.Type, ev.Message, ev.Done, ev.Total = event.Progress, a.svc.Secrets.Mask(b.Progress.GetMessage()), b.Progress.GetDone(), b.Progress.GetTotal()
	case *pluginv1.ApplyResponse_Item:
		ev.Type, ev.Item, ev.Status, ev.Message = event.Item, a.svc.Secrets.Mask(b.Item.GetKey()), a.svc.Secrets.Mask(b.Item.GetStatus()), a.svc.Secrets.Mask(b.Item.GetMessage())
	case *pluginv1.ApplyResponse_Checkpoint:
		outputs, err := a.partOutputs(in, b.Checkpoint.GetOutputs())
		if err != nil {
			return err
		}
		op.Checkpoint = checkpointOf(outputs, b.Checkpoint.GetPrivate())
		return a.commit(state.Batch{Begin: []state.Operation{*op}})
	default:
		return nil
	}
	a.svc.emit(ev)
	return nil
}

// savedBefore is what an earlier try of an operation had saved, nil if there is nothing.
func savedBefore(op *state.Operation, t *types.Type) (*pluginv1.Checkpoint, error) {
	if op.Checkpoint == nil {
		return nil, nil
	}
	c := &pluginv1.Checkpoint{Private: op.Checkpoint.Private}
	outputs, err := types.Decode(op.Checkpoint.Outputs)
	if err == nil && outputs != cty.NilVal {
		c.Outputs, err = eval.EncodeValue(types.Fit(outputs, t.OutputType))
	}
	return c, err
}

// partOutputs reads outputs of a result so far: what is not known yet becomes null.
func (a *applying) partOutputs(in *Finding, v *pluginv1.Value) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	outputs, err := a.svc.decodeOutputs(in.node.typ, v)
	if err != nil {
		return nil, err
	}
	known, err := cty.Transform(outputs, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if !v.IsKnown() {
			return cty.NullVal(v.Type()), nil
		}
		return v, nil
	})
	if err != nil {
		return nil, err
	}
	return types.Encode(known)
}

// endFailed keeps what exists of an operation that failed.
func (a *applying) endFailed(in *Finding, op *state.Operation, rec state.Record, res *pluginv1.ApplyResult) hcl.Diagnostics {
	if res == nil {
		// The plugin died or the run was cut off: what it did is not known. The operation stays open, with what it has
		// saved, and the next run looks.
		return nil
	}
	part := op.Checkpoint
	if res.GetOutputs() != nil {
		if outputs, err := a.partOutputs(in, res.GetOutputs()); err == nil {
			part = checkpointOf(outputs, res.GetPrivate())
		}
	}
	b := state.Batch{End: []string{op.ID}}
	switch {
	case part != nil && makesFirst(op): // the record is the old one's
		going := *op
		going.Checkpoint = part
		b = state.Batch{Begin: []state.Operation{going}}
	case part != nil:
		rec.Status, rec.Outputs, rec.Private = state.StatusPartial, part.Outputs, part.Private
		b.Put = []state.Record{rec}
	}
	if err := a.commit(b); err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "writing its result to state", err)}
	}
	return nil
}
