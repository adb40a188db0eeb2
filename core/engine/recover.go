package engine

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// recovered is a snapshot in which operations that were cut off count as what is known of
// them: the result so far becomes a partial record. Plugins find the rest by looking, since
// the identities of what they make are deterministic.
func recovered(s *state.Snapshot) *state.Snapshot {
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
	out.Operations = queued(s)
	return &out
}

// recovery is the commit that settles the operations that were cut off.
func recovery(s *state.Snapshot) state.Batch {
	var b state.Batch
	for _, id := range slices.Sorted(maps.Keys(s.Operations)) {
		op := s.Operations[id]
		if op.Kind == config.Notification {
			continue // it is told again
		}
		b.End = append(b.End, id)
		if plan.Action(op.Action) == plan.Delete {
			continue // its record is still there, and deleting again is harmless
		}
		rec, exists := s.Records[op.Address]
		if !exists {
			rec = state.Record{Address: op.Address, Kind: op.Kind, Type: op.Type, Plugin: op.Plugin, DependsOn: op.DependsOn, Updated: op.Begun}
			rec.Config = op.Config
		}
		if op.Checkpoint != nil {
			rec.Config, rec.Outputs, rec.Private = op.Config, op.Checkpoint.Outputs, op.Checkpoint.Private
		}
		rec.Status = state.StatusPartial
		b.Put = append(b.Put, rec)
	}
	return b
}

// queued are the notifications that were not told yet.
func queued(s *state.Snapshot) map[string]state.Operation {
	out := map[string]state.Operation{}
	for id, op := range s.Operations {
		if op.Kind == config.Notification {
			out[id] = op
		}
	}
	return out
}

// settle commits the recovery and the moves of the plan, so that the apply begins with no open operation.
func settle(ctx context.Context, lease state.Lease, s *state.Snapshot, moves []plan.Move) (*state.Snapshot, error) {
	if b := recovery(s); !b.Empty() {
		if _, err := lease.Commit(ctx, b); err != nil {
			return nil, err
		}
		s = recovered(s)
	}
	if b := moveBatch(s, moves); !b.Empty() {
		if _, err := lease.Commit(ctx, b); err != nil {
			return nil, err
		}
		now := map[string]string{}
		for _, m := range moves {
			now[m.From] = m.To
		}
		s = moved(s, now)
	}
	return s, nil
}

// checkpointOf is a checkpoint in the form of state.
func checkpointOf(outputs json.RawMessage, private []byte) *state.Checkpoint {
	return &state.Checkpoint{Outputs: outputs, Private: private}
}
