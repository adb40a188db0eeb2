package carry

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/order"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// hadLeftover tells whether a new one, begun in the place of an instance, is deleted before the instance is worked on. Both may have one
// name, so the instance is planned again then.
func (a *applying) hadLeftover(address string) bool {
	return slices.ContainsFunc(a.plan.Leftovers, func(l plan.Leftover) bool { return l.New && l.Address == address })
}

// survives plans an instance again whose old one was just deleted. The block may have gone back to what the old one was: then the
// deletion has taken what the instance is now.
func (a *applying) survives(ctx context.Context, address string) hcl.Diagnostics {
	at, err := addr.Parse(address)
	if err != nil {
		return nil // the deletion has said so
	}
	in, made := a.planner.Finding(at), a.tasks[order.MakeID(address)]
	if in == nil || made == nil || made.change == nil || a.planner.LeftAlone(in) {
		return nil
	}
	// The instance's own task may be at work: a copy is planned.
	own := *in.Instance
	again := &look.Finding{Instance: &own, Change: made.change}
	diags := a.expand(again)
	if !diags.HasErrors() {
		diags = append(diags, a.planner.One(ctx, again, nil)...)
	}
	if diags.HasErrors() || again.Change.Action == plan.None {
		return diags
	}
	action := again.Change.Action
	return append(diags, in.Errorf("the plan is stale", "The old one that an interrupted replacement had left is what %s is to be now, and it was deleted: it would now be %s. Run davit apply again.", address, record.Past(action)))
}

// deleteLeftover deletes what an interrupted replacement has left, and keeps account of that.
func (a *applying) deleteLeftover(ctx context.Context, l *plan.Leftover) graph.Outcome {
	op, open := a.records.Snapshot().Operations[l.Operation]
	if !open {
		return graph.Done
	}
	out := event.Outcome{Address: l.Address, Action: record.ActionDeleteOld}
	if l.New {
		out.Action = record.ActionDeleteNew
	}
	started := time.Now()
	diags := a.deleteOther(ctx, &op)
	if !diags.HasErrors() && !l.New {
		diags = append(diags, a.survives(ctx, l.Address)...)
	}
	out.ElapsedMS = time.Since(started).Milliseconds()
	id := order.DeleteID(l.Address) + " " + l.Operation
	if isNotStarted(diags) {
		out.Reason = a.noteUndone(id, skipped, nil)
		a.end(&a.result.NotStarted, event.OperationSkipped, out)
		return graph.Failed
	}
	a.found.Report(diags...)
	if diags.HasErrors() {
		first := firstError(diags)
		out.Error, out.Hint = first.Summary, diag.InfoOf(first).Hint
		a.noteUndone(id, failed, nil)
		a.end(&a.result.Failed, event.OperationFailed, out)
		return graph.Failed
	}
	a.end(&a.result.Done, event.OperationDone, out)
	return graph.Done
}

// deleteOther deletes the old one, or the new one that was being made.
func (a *applying) deleteOther(ctx context.Context, op *state.Operation) hcl.Diagnostics {
	at, err := addr.Parse(op.Address)
	in := &look.Finding{Instance: &world.Instance{Addr: at}}
	if err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "deleting the leftover of its replacement", err)}
	}
	if diags := a.planner.NodeOfRecord(in); diags.HasErrors() {
		return diags
	}
	if record.MakesFirst(op) {
		return a.deleteNew(ctx, op, in)
	}
	var old state.Record
	if err := json.Unmarshal(op.Planned, &old); err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "deleting the old one", err)}
	}
	return a.deleteOld(ctx, op, in, &old)
}

// deleteNew deletes what an operation that was cut off had begun to make in the place of the old one, which stays.
func (a *applying) deleteNew(ctx context.Context, op *state.Operation, in *look.Finding) hcl.Diagnostics {
	rec := state.Record{
		Address: op.Address, Kind: op.Kind, Type: op.Type, Plugin: op.Plugin, Status: state.StatusPartial, Config: op.Config,
		DependsOn: op.DependsOn, Updated: op.Begun,
	}
	if op.Checkpoint != nil {
		rec.Outputs, rec.Private = op.Checkpoint.Outputs, op.Checkpoint.Private
	}
	later := state.Operation{
		ID: uuid.NewString(), Address: op.Address, Kind: op.Kind, Type: op.Type, Plugin: op.Plugin, Action: record.ActionDeleteNew,
		Begun: time.Now().UTC(), PlanHash: a.plan.Digest,
	}
	var err error
	if later.Planned, err = json.Marshal(rec); err == nil {
		err = a.commit(state.Batch{End: []string{op.ID}, Begin: []state.Operation{later}})
	}
	if err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "deleting the unfinished new one", err)}
	}
	return a.deleteOld(ctx, &later, in, &rec)
}

// resumes tells whether a replacement goes on with the new one that an earlier run had begun to make. One that was to be another is
// deleted.
func (a *applying) resumes(ctx context.Context, in *look.Finding) (bool, hcl.Diagnostics) {
	op := a.cut.Find(in.Addr.String())
	if op == nil || !record.MakesFirst(op) {
		return false, nil
	}
	now, err := types.Encode(in.Node.Type.PluginConfig(in.Config))
	if err != nil {
		return false, hcl.Diagnostics{a.svc.Failure(in.Instance, "replacing", err)}
	}
	if bytes.Equal(types.CompactJSON(now), types.CompactJSON(op.Config)) {
		return true, nil
	}
	return false, a.deleteNew(ctx, op, in)
}

// makeFirst makes the new one of an instance. The old one is deleted by a step of its own: the operation for that is begun with the
// result, so that it is not forgotten.
func (a *applying) makeFirst(ctx context.Context, c *plan.Change, in *look.Finding, old *state.Record) hcl.Diagnostics {
	resumes, diags := a.resumes(ctx, in)
	if diags.HasErrors() {
		return diags
	}
	a.records.Remove(c.Address)
	if more := a.planner.One(ctx, in, nil); more.HasErrors() {
		a.records.Uncover(c.Address)
		return append(diags, more...)
	}
	if !resumes && in.Change.Action != plan.Create {
		a.records.Uncover(c.Address)
		return append(diags, in.Errorf("the plan is stale", "The plan creates it before the old one is deleted, and by now both cannot exist at once. Plan again."))
	}
	later, err := a.oldOne(c, old)
	if err != nil {
		return append(diags, a.svc.Failure(in.Instance, "replacing", err))
	}
	if next := anew(in, c); next.AsIs { // the earlier try has made it
		diags = append(diags, a.adopt(next, in, later)...)
	} else {
		diags = append(diags, a.operate(ctx, next, in, later)...)
	}
	if !diags.HasErrors() {
		a.replaced.Store(c.Address, &replaced{old: old, later: &later})
	}
	return diags
}
