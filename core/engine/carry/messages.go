package carry

import (
	"encoding/json"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// onMessage deals with what a plugin tells while it works.
func (a *applying) onMessage(in *look.Finding, op *state.Operation, m *pluginv1.ApplyResponse) error {
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
		op.Checkpoint = record.CheckpointOf(outputs, b.Checkpoint.GetPrivate())
		return a.commit(state.Batch{Begin: []state.Operation{*op}})
	default:
		return nil
	}
	a.svc.Emit(ev)
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
func (a *applying) partOutputs(in *look.Finding, v *pluginv1.Value) (json.RawMessage, error) {
	if v == nil {
		return nil, nil
	}
	outputs, err := a.svc.DecodeOutputs(in.Node.Type, v)
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
func (a *applying) endFailed(in *look.Finding, op *state.Operation, rec state.Record, res *pluginv1.ApplyResult) hcl.Diagnostics {
	if res == nil {
		// The plugin died or the run was cut off: what it did is not known. The operation stays open, with what it has
		// saved, and the next run looks.
		return nil
	}
	part := op.Checkpoint
	if res.GetOutputs() != nil {
		if outputs, err := a.partOutputs(in, res.GetOutputs()); err == nil {
			part = record.CheckpointOf(outputs, res.GetPrivate())
		}
	}
	b := state.Batch{End: []string{op.ID}}
	switch {
	case part != nil && record.MakesFirst(op): // the record is the old one's
		going := *op
		going.Checkpoint = part
		b = state.Batch{Begin: []state.Operation{going}}
	case part != nil:
		rec.Status, rec.Outputs, rec.Private = state.StatusPartial, part.Outputs, part.Private
		b.Put = []state.Record{rec}
	}
	if err := a.commit(b); err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "writing its result to state", err)}
	}
	return nil
}
