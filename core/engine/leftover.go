package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// actionDeleteOld is the action of an operation that deletes what an instance was before it was made anew. It is begun with the
// record of the new one, and has the old record in Planned: so that nothing is forgotten in between.
const actionDeleteOld = "delete_old"

// actionDeleteNew is the same of what was begun in the place of an instance that stays as it was.
const actionDeleteNew = "delete_new"

// deletesOther tells whether an operation deletes something else than what its address stands for.
func deletesOther(op *state.Operation) bool {
	return op.Action == actionDeleteOld || op.Action == actionDeleteNew
}

// makesFirst tells whether an operation makes the new one of an instance whose old one is there still. It has the old record in
// Planned, and the record in state is the old one's until it ends.
func makesFirst(op *state.Operation) bool {
	return plan.Action(op.Action) == plan.Replace && len(op.Planned) > 0
}

// makingFirst is the operation that was cut off while it made the new one of an instance, nil if there is none.
func makingFirst(s *state.Snapshot, address string) *state.Operation {
	for _, op := range s.Operations {
		if op.Address == address && makesFirst(&op) {
			return &op
		}
	}
	return nil
}

// goesOn tells whether a replacement that was cut off while it made the new one is still to be done: its block has not gone back to what
// the old one is.
func (r *Planner) goesOn(in *Finding, rec *state.Record) bool {
	op := makingFirst(r.records.Snapshot(), rec.Address)
	if op == nil {
		return false
	}
	now, err := types.Encode(in.node.typ.PluginConfig(in.config))
	return err != nil || bytes.Equal(types.CompactJSON(now), types.CompactJSON(op.Config)) || !bytes.Equal(types.CompactJSON(now), types.CompactJSON(rec.Config))
}

// leftovers are what replacements that were cut off have left to be deleted: the old ones of those whose new ones are there, and the new
// ones of those that do not go on.
func (r *Planner) leftovers(changes []plan.Change) []plan.Leftover {
	if r.opts.mode() == plan.ModeRefresh {
		return nil
	}
	about := map[string]*plan.Change{}
	for i := range changes {
		about[changes[i].Address] = &changes[i]
	}
	var list []plan.Leftover
	for _, id := range slices.Sorted(maps.Keys(r.records.Snapshot().Operations)) {
		op := r.records.Snapshot().Operations[id]
		c := about[op.Address]
		switch {
		case c == nil && r.partial(), r.opts.Rollback != nil && r.opts.Rollback.Address != op.Address:
		case deletesOther(&op):
			list = append(list, plan.Leftover{Address: op.Address, Operation: id, New: op.Action == actionDeleteNew})
		case makesFirst(&op) && c != nil && !c.TwoSteps && c.Action != plan.Forget:
			list = append(list, plan.Leftover{Address: op.Address, Operation: id, New: true})
		}
	}
	return list
}

// hadLeftover tells whether something is deleted that may be called as an instance is: what it was planned as is looked at again then.
func (a *applying) hadLeftover(address string) bool {
	return slices.ContainsFunc(a.plan.Leftovers, func(l plan.Leftover) bool { return l.Address == address })
}

// deleteLeftovers deletes what the plan has found left of replacements that were cut off.
func (a *applying) deleteLeftovers(ctx context.Context) {
	for _, l := range a.plan.Leftovers {
		op, open := a.records.Snapshot().Operations[l.Operation]
		if !open {
			continue
		}
		out := event.Outcome{Address: l.Address, Action: actionDeleteOld}
		if l.New {
			out.Action = actionDeleteNew
		}
		if a.soft.Err() != nil {
			out.Reason = "the run was stopped"
			a.end(&a.result.NotStarted, event.OperationSkipped, out)
			continue
		}
		started := time.Now()
		diags := a.deleteLeftover(ctx, &op)
		a.found.report(diags...)
		out.ElapsedMS = time.Since(started).Milliseconds()
		if diags.HasErrors() {
			first := firstError(diags)
			out.Error, out.Hint = first.Summary, diag.InfoOf(first).Hint
			a.end(&a.result.Failed, event.OperationFailed, out)
			continue
		}
		a.end(&a.result.Done, event.OperationDone, out)
	}
}

// deleteLeftover deletes the old one, or the new one that was being made.
func (a *applying) deleteLeftover(ctx context.Context, op *state.Operation) hcl.Diagnostics {
	at, err := addr.Parse(op.Address)
	in := &Finding{instance: &instance{addr: at}}
	if err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "deleting what is left of its replacement", err)}
	}
	if diags := a.planner.recorded(in); diags.HasErrors() {
		return diags
	}
	if makesFirst(op) {
		return a.deleteNew(ctx, op, in)
	}
	var old state.Record
	if err := json.Unmarshal(op.Planned, &old); err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "deleting what it was before", err)}
	}
	return a.deleteOld(ctx, op, in, &old)
}

// deleteNew deletes what an operation that was cut off had begun to make in the place of the old one, which stays.
func (a *applying) deleteNew(ctx context.Context, op *state.Operation, in *Finding) hcl.Diagnostics {
	rec := state.Record{
		Address: op.Address, Kind: op.Kind, Type: op.Type, Plugin: op.Plugin, Status: state.StatusPartial, Config: op.Config,
		DependsOn: op.DependsOn, Updated: op.Begun,
	}
	if op.Checkpoint != nil {
		rec.Outputs, rec.Private = op.Checkpoint.Outputs, op.Checkpoint.Private
	}
	later := state.Operation{
		ID: uuid.NewString(), Address: op.Address, Kind: op.Kind, Type: op.Type, Plugin: op.Plugin, Action: actionDeleteNew,
		Begun: time.Now().UTC(), PlanHash: a.plan.Digest,
	}
	var err error
	if later.Planned, err = json.Marshal(rec); err == nil {
		err = a.commit(state.Batch{End: []string{op.ID}, Begin: []state.Operation{later}})
	}
	if err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "deleting what was begun in its place", err)}
	}
	return a.deleteOld(ctx, &later, in, &rec)
}

// resumes tells whether a replacement goes on with the new one that an earlier run had begun to make. One that was to be another is
// deleted.
func (a *applying) resumes(ctx context.Context, in *Finding) (bool, hcl.Diagnostics) {
	op := a.cut.of(in.addr.String())
	if op == nil || !makesFirst(op) {
		return false, nil
	}
	now, err := types.Encode(in.node.typ.PluginConfig(in.config))
	if err != nil {
		return false, hcl.Diagnostics{a.svc.failure(in.instance, "replacing", err)}
	}
	if bytes.Equal(types.CompactJSON(now), types.CompactJSON(op.Config)) {
		return true, nil
	}
	return false, a.deleteNew(ctx, op, in)
}

// makeFirst makes the new one of an instance, and deletes the old one then. It does nothing and says so if both cannot be there at once:
// what it is called does not change.
func (a *applying) makeFirst(ctx context.Context, c *plan.Change, in *Finding, old *state.Record) (bool, hcl.Diagnostics) {
	resumes, diags := a.resumes(ctx, in)
	if diags.HasErrors() {
		return true, diags
	}
	a.records.remove(c.Address)
	more := a.planner.One(ctx, in, nil)
	if more.HasErrors() && resumes {
		return true, append(diags, more...)
	}
	if more.HasErrors() || !resumes && in.change.Action != plan.Create {
		a.records.uncover(c.Address)
		return false, diags
	}
	later, err := a.oldOne(c, old)
	if err != nil {
		return true, append(diags, a.svc.failure(in.instance, "replacing", err))
	}
	if next := anew(in, c); next.AsIs { // the earlier try has made it
		diags = append(diags, a.adopt(next, in, later)...)
	} else {
		diags = append(diags, a.operate(ctx, next, in, later)...)
	}
	if diags.HasErrors() {
		return true, diags
	}
	return true, append(diags, a.deleteOld(ctx, &later, in, old)...)
}
