package carry

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/claims"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// delete carries out a deletion, and removes the record. What is to follow is begun with its end, and has a place in the
// history of its own.
func (a *applying) delete(ctx context.Context, c *plan.Change, next ...state.Operation) hcl.Diagnostics {
	at, err := addr.Parse(c.Address)
	if err != nil {
		return hcl.Diagnostics{diag.Plain("The plan cannot be applied", err.Error())}
	}
	in := &look.Finding{Instance: &world.Instance{Addr: at}}
	if diags := a.planner.NodeOfRecord(in); diags.HasErrors() {
		return diags
	}
	rec, ok := a.records.Record(c.Address)
	if !ok {
		return nil
	}
	op := a.deletion(c)
	a.cut.TakeUp(op)
	res, diags := a.destroy(ctx, op, in, rec)
	if diags.HasErrors() {
		return append(diags, a.endFailed(in, op, *rec, res)...)
	}
	batch := state.Batch{Delete: []string{c.Address}, End: []string{op.ID}, Begin: next}
	if len(next) == 0 {
		batch.History = []state.Revision{a.newRevision(c, in, rec, op.ID)}
	}
	if err := a.commit(batch); err != nil {
		return append(diags, a.svc.Failure(in.Instance, "writing its deletion to state", err))
	}
	return diags
}

// oldOne is the operation that deletes what a record stands for, when the new one is there.
func (a *applying) oldOne(c *plan.Change, old *state.Record) (state.Operation, error) {
	op := *a.deletion(c)
	op.Action = record.ActionDeleteOld
	var err error
	op.Planned, err = json.Marshal(old)
	return op, err
}

// deleteOld deletes what an instance was before it was made anew; the record is the new one's by now.
func (a *applying) deleteOld(ctx context.Context, op *state.Operation, in *look.Finding, old *state.Record) hcl.Diagnostics {
	_, diags := a.destroy(ctx, op, in, old)
	if diags.HasErrors() {
		return diags // it stays open: the next apply tries again
	}
	if err := a.commit(state.Batch{End: []string{op.ID}}); err != nil {
		return append(diags, a.svc.Failure(in.Instance, "writing its deletion to state", err))
	}
	return diags
}

func (a *applying) deletion(c *plan.Change) *state.Operation {
	return &state.Operation{
		ID: uuid.NewString(), Address: c.Address, Kind: c.Kind, Type: c.Type, Plugin: c.Plugin, Action: string(plan.Delete),
		Begun: time.Now().UTC(), PlanHash: a.plan.Digest, Private: c.Private,
	}
}

// destroy runs the operation that deletes what a record stands for.
func (a *applying) destroy(ctx context.Context, op *state.Operation, in *look.Finding, rec *state.Record) (*pluginv1.ApplyResult, hcl.Diagnostics) {
	prior, err := types.Prior(rec, in.Node.Type)
	if err != nil {
		return &pluginv1.ApplyResult{}, hcl.Diagnostics{a.svc.Failure(in.Instance, "deleting", err)}
	}
	return a.runOperation(ctx, in, op, &pluginv1.ApplyRequest{
		Operation: op.ID, Address: op.Address, Kind: op.Kind, Type: op.Type, Action: pluginv1.Action_ACTION_DELETE,
		Prior: prior, PlannedPrivate: op.Private, Transferred: claims.Given(a.plan, op.Address),
	})
}
