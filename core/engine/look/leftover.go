package look

import (
	"bytes"
	"maps"
	"slices"

	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// goesOn tells whether a replacement that was cut off while it made the new one is still to be done: its block has not gone back to what
// the old one is.
func (r *Planner) goesOn(in *Finding, rec *state.Record) bool {
	op := record.MakingFirst(r.Records.Snapshot(), rec.Address)
	if op == nil {
		return false
	}
	now, err := types.Encode(in.Node.Type.PluginConfig(in.Config))
	return err != nil || bytes.Equal(types.CompactJSON(now), types.CompactJSON(op.Config)) || !bytes.Equal(types.CompactJSON(now), types.CompactJSON(rec.Config))
}

// leftovers are what replacements that were cut off have left to be deleted: the old ones of those whose new ones are there, and the new
// ones of those that do not go on.
func (r *Planner) leftovers(changes []plan.Change) []plan.Leftover {
	if r.opts.PlanMode() == plan.ModeRefresh {
		return nil
	}
	about := map[string]*plan.Change{}
	for i := range changes {
		about[changes[i].Address] = &changes[i]
	}
	var list []plan.Leftover
	for _, id := range slices.Sorted(maps.Keys(r.Records.Snapshot().Operations)) {
		op := r.Records.Snapshot().Operations[id]
		c := about[op.Address]
		switch {
		case c == nil && r.partial(), r.opts.Rollback != nil && r.opts.Rollback.Address != op.Address:
		case record.DeletesOther(&op):
			list = append(list, plan.Leftover{Address: op.Address, Operation: id, New: op.Action == record.ActionDeleteNew})
		case record.MakesFirst(&op) && c != nil && !c.TwoSteps && c.Action != plan.Forget:
			list = append(list, plan.Leftover{Address: op.Address, Operation: id, New: true})
		}
	}
	return list
}
