package record

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// ActionDeleteOld is the action of an operation that deletes what an instance was before it was made anew. It is begun with the
// record of the new one, and has the old record in Planned: so that nothing is forgotten in between.
const ActionDeleteOld = "delete_old"

// ActionDeleteNew is the same of what was begun in the place of an instance that stays as it was.
const ActionDeleteNew = "delete_new"

// DeletesOther tells whether an operation deletes something else than what its address stands for.
func DeletesOther(op *state.Operation) bool {
	return op.Action == ActionDeleteOld || op.Action == ActionDeleteNew
}

// MakesFirst tells whether an operation makes the new one of an instance whose old one is there still. It has the old record in
// Planned, and the record in state is the old one's until it ends.
func MakesFirst(op *state.Operation) bool {
	return plan.Action(op.Action) == plan.Replace && len(op.Planned) > 0
}

// MakingFirst is the operation that was cut off while it made the new one of an instance, nil if there is none.
func MakingFirst(s *state.Snapshot, address string) *state.Operation {
	for _, op := range s.Operations {
		if op.Address == address && MakesFirst(&op) {
			return &op
		}
	}
	return nil
}

// Leftovers returns what replacements that were cut off have left to be deleted: the old ones of those whose new ones are there, and the new
// ones of those that do not go on.
func Leftovers(s *state.Snapshot, o *input.Options, partial bool, changes []plan.Change) []plan.Leftover {
	if o.PlanMode() == plan.ModeRefresh || len(s.Operations) == 0 {
		return nil
	}
	about := map[string]*plan.Change{}
	for i := range changes {
		about[changes[i].Address] = &changes[i]
	}
	var list []plan.Leftover
	for _, id := range slices.Sorted(maps.Keys(s.Operations)) {
		op := s.Operations[id]
		c := about[op.Address]
		switch {
		case c == nil && partial, o.Rollback != nil && o.Rollback.Address != op.Address:
		case DeletesOther(&op):
			list = append(list, plan.Leftover{Address: op.Address, Operation: id, New: op.Action == ActionDeleteNew, DependsOn: plannedNeeds(&op)})
		case MakesFirst(&op) && c != nil && !c.TwoSteps && c.Action != plan.Forget:
			list = append(list, plan.Leftover{Address: op.Address, Operation: id, New: true, DependsOn: op.DependsOn})
		}
	}
	return list
}

// plannedNeeds returns what the record that an operation deletes depends on.
func plannedNeeds(op *state.Operation) []string {
	var rec state.Record
	if err := json.Unmarshal(op.Planned, &rec); err != nil {
		return nil // the deletion says so
	}
	return rec.DependsOn
}
