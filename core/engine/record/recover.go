package record

import (
	"context"
	"maps"
	"slices"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Recovered is a snapshot in which operations that were cut off count as what is known of
// them: the result so far becomes a partial record. Plugins find the rest by looking, since
// the identities of what they make are deterministic.
func Recovered(s *state.Snapshot) *state.Snapshot {
	if s == nil {
		return &state.Snapshot{}
	}
	batch := recovery(s)
	if batch.Empty() {
		return s
	}
	out := *s
	out.Records = maps.Clone(s.Records)
	if out.Records == nil {
		out.Records = map[string]state.Record{}
	}
	for _, rec := range batch.Put {
		out.Records[rec.Address] = rec
	}
	return &out
}

// tableRecords is how state names the records among what is damaged, when some of them are missing.
const tableRecords = "table records"

// recovery is the commit that keeps what is known of the operations that were cut off. They stay open until it is known
// what became of them.
func recovery(s *state.Snapshot) state.Batch {
	var b state.Batch
	for _, id := range slices.Sorted(maps.Keys(s.Operations)) {
		op := s.Operations[id]
		if op.Kind == config.Notification || DeletesOther(&op) {
			continue // it is told again, or done on its own
		}
		if slices.Contains(s.Damaged, op.Address) {
			continue // there is a record, which is mended first
		}
		if plan.Action(op.Action) == plan.Delete {
			continue // its record is still there, and deleting again is harmless
		}
		rec, exists := s.Records[op.Address]
		saved := op.Checkpoint
		if exists && MakesFirst(&op) {
			saved = nil // of the new one: the record is the old one's
		}
		if exists && rec.Status == state.StatusPartial && saved == nil {
			continue // an earlier run has kept it
		}
		if !exists && slices.Contains(s.Damaged, tableRecords) {
			continue // its record may be what is missing
		}
		if !exists {
			rec = state.Record{Address: op.Address, Kind: op.Kind, Type: op.Type, Plugin: op.Plugin, DependsOn: op.DependsOn, Updated: op.Begun}
			rec.Config, rec.Triggers = op.Config, op.Triggers
		}
		if !exists || !MakesFirst(&op) {
			rec.Operation = op.ID
		}
		if saved != nil {
			rec.Config, rec.Outputs, rec.Private = op.Config, saved.Outputs, saved.Private
		}
		rec.Status = state.StatusPartial
		b.Put = append(b.Put, rec)
	}
	return b
}

// BeingDeleted tells whether a deletion of an instance was cut off: nobody knows whether it is there.
func BeingDeleted(s *state.Snapshot, address string) bool {
	for _, op := range s.Operations {
		if op.Address == address && plan.Action(op.Action) == plan.Delete {
			return true
		}
	}
	return false
}

// Queued are the notifications that were not told yet.
func Queued(s *state.Snapshot) map[string]state.Operation {
	out := map[string]state.Operation{}
	for id, op := range s.Operations {
		if op.Kind == config.Notification {
			out[id] = op
		}
	}
	return out
}

// Recover commits what is known of the operations that were cut off: their records are partial from now on, and the
// operations stay open until it is known what became of them. It returns the state as it is then.
func Recover(ctx context.Context, lease state.Lease, s *state.Snapshot) (*state.Snapshot, error) {
	if b := recovery(s); !b.Empty() {
		if _, err := lease.Commit(ctx, b); err != nil {
			return nil, err
		}
	}
	return Recovered(s), nil
}

// Settle commits the recovery and the moves of the plan.
func Settle(ctx context.Context, lease state.Lease, s *state.Snapshot, moves []plan.Move) (*state.Snapshot, error) {
	s, err := Recover(ctx, lease, s)
	if err != nil {
		return nil, err
	}
	b, s := state.Rename(s, stateMoves(moves))
	if !b.Empty() {
		if _, err := lease.Commit(ctx, b); err != nil {
			return nil, err
		}
	}
	return s, nil
}
