package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/types"
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
		if op.Kind == config.Notification || deletesOther(&op) {
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
		if exists && makesFirst(&op) {
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
			rec.Config = op.Config
		}
		if saved != nil {
			rec.Config, rec.Outputs, rec.Private = op.Config, saved.Outputs, saved.Private
		}
		rec.Status = state.StatusPartial
		b.Put = append(b.Put, rec)
	}
	return b
}

// beingDeleted tells whether a deletion of an instance was cut off: nobody knows whether it is there.
func beingDeleted(s *state.Snapshot, address string) bool {
	for _, op := range s.Operations {
		if op.Address == address && plan.Action(op.Action) == plan.Delete {
			return true
		}
	}
	return false
}

// unrecoverable refuses to plan an instance that an operation was cut off on, if its type says that it cannot look for the result: a
// person has to. Deleting again is harmless.
func (r *Planner) unrecoverable(in *Finding) hcl.Diagnostics {
	if !in.node.typ.CannotRecover || r.opts.mode() != plan.ModeApply || matches(r.opts.Replace, in.addr) {
		return nil
	}
	address := in.addr.String()
	for _, op := range r.records.Snapshot().Operations {
		if op.Address != address || plan.Action(op.Action) == plan.Delete || deletesOther(&op) {
			continue
		}
		d := in.errorf("nobody knows what became of an operation", "An earlier run was to %s it and was cut off (operation %s, begun at %s), and %s %q cannot look for the result.",
			op.Action, op.ID, op.Begun.Format(time.RFC3339), op.Kind, op.Type)
		d.Extra = diag.Info{Address: address, Code: "operation.unknown", Hint: fmt.Sprintf(
			"Look for yourself. Then davit apply -replace='%s' deletes what is there and makes it anew, or davit state rm '%s' forgets it, so that the next apply makes it, or takes it over with an import block. "+
				"-exclude='%s' does the rest meanwhile.", address, address, address)}
		return hcl.Diagnostics{d}
	}
	return nil
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

// Recover commits what is known of the operations that were cut off: their records are partial from now on, and the
// operations stay open until it is known what became of them. It returns the state as it is then.
func Recover(ctx context.Context, lease state.Lease, s *state.Snapshot) (*state.Snapshot, error) {
	if b := recovery(s); !b.Empty() {
		if _, err := lease.Commit(ctx, b); err != nil {
			return nil, err
		}
	}
	return recovered(s), nil
}

// settle commits the recovery and the moves of the plan.
func settle(ctx context.Context, lease state.Lease, s *state.Snapshot, moves []plan.Move) (*state.Snapshot, error) {
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

// whileHeld is a context that ends, as the soft one does then, when the lease is lost: somebody else may be about to do
// the same work.
func (a *applying) whileHeld(ctx context.Context) (work context.Context, stop func()) {
	work, cancelWork := context.WithCancel(ctx)
	soft, cancelSoft := context.WithCancel(a.soft)
	a.soft, a.halt = soft, cancelSoft
	over, watching := make(chan struct{}), sync.WaitGroup{}
	watching.Go(func() {
		select {
		case <-over:
		case <-a.lease.Lost():
			cancelSoft()
			cancelWork()
			a.found.report(diag.Plain("The lock on the state was lost",
				"Somebody ended it with davit force-unlock, or this process was suspended, or could not reach the state, for so long that it expired. "+
					"This process has stopped; another one may have taken over. "+
					"What it was working on is found again by the next run: run davit plan to see where things are."))
		}
	})
	return work, func() {
		close(over)
		watching.Wait()
		cancelSoft()
		cancelWork()
	}
}

// checkpointOf is a checkpoint in the form of state.
func checkpointOf(outputs json.RawMessage, private []byte) *state.Checkpoint {
	return &state.Checkpoint{Outputs: outputs, Private: private}
}

// unfinished are the operations that earlier runs were cut off in.
type unfinished struct {
	mu    sync.Mutex
	list  []state.Operation
	again map[string]bool // ids of those that were taken up
}

func unfinishedOf(s *state.Snapshot) *unfinished {
	u := &unfinished{again: map[string]bool{}}
	for _, id := range slices.Sorted(maps.Keys(s.Operations)) {
		if op := s.Operations[id]; op.Kind != config.Notification && !deletesOther(&op) {
			u.list = append(u.list, op)
		}
	}
	return u
}

// of returns one that was at work on an instance, nil if there is none.
func (u *unfinished) of(address string) *state.Operation {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i := slices.IndexFunc(u.list, func(op state.Operation) bool { return op.Address == address }); i >= 0 {
		op := u.list[i]
		return &op
	}
	return nil
}

// add adds an operation that is begun already, so that what is done is another try of it.
func (u *unfinished) add(op state.Operation) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, op)
}

// takeUp makes an operation another try of one that was cut off, if that was to do the same: with its id, so that a plugin
// can recognise what it has done, or hand it to a service that does nothing twice; and with what it had saved.
func (u *unfinished) takeUp(op *state.Operation) {
	u.mu.Lock()
	defer u.mu.Unlock()
	deletes := func(op *state.Operation) bool { return plan.Action(op.Action) == plan.Delete }
	for i := range u.list {
		old := &u.list[i]
		if old.Address == op.Address && deletes(old) == deletes(op) && bytes.Equal(types.CompactJSON(old.Config), types.CompactJSON(op.Config)) {
			op.ID, op.Begun, op.Checkpoint = old.ID, old.Begun, old.Checkpoint
			u.again[op.ID] = true
			return
		}
	}
}

// wasTakenUp tells whether an operation is another try.
func (u *unfinished) wasTakenUp(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.again[id]
}

// end adds to a commit the end of those that it makes an end to: the instance has a new record, or none any more, or
// something else is begun with it.
func (u *unfinished) end(b *state.Batch) {
	about := map[string]bool{}
	for _, rec := range b.Put {
		about[rec.Address] = true
	}
	for _, address := range b.Delete {
		about[address] = true
	}
	again := map[string]bool{}
	for _, op := range b.Begin {
		again[op.ID] = true
		about[op.Address] = about[op.Address] || !deletesOther(&op)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = slices.DeleteFunc(u.list, func(op state.Operation) bool {
		ends := about[op.Address] || slices.Contains(b.End, op.ID)
		if ends && !again[op.ID] && !slices.Contains(b.End, op.ID) {
			b.End = append(b.End, op.ID)
		}
		return ends
	})
}

// rest are the ids of those that nothing was said about.
func (u *unfinished) rest() (ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, op := range u.list {
		ids = append(ids, op.ID)
	}
	return ids
}
