package record

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// CheckpointOf is a checkpoint in the form of state.
func CheckpointOf(outputs json.RawMessage, private []byte) *state.Checkpoint {
	return &state.Checkpoint{Outputs: outputs, Private: private}
}

// Unfinished are the operations that earlier runs were cut off in.
type Unfinished struct {
	mu    sync.Mutex
	list  []state.Operation
	again map[string]bool // ids of those that were taken up
}

// NewUnfinished returns the operations of a state that did not end, without notifications and leftovers.
func NewUnfinished(s *state.Snapshot) *Unfinished {
	u := &Unfinished{again: map[string]bool{}}
	for _, id := range slices.Sorted(maps.Keys(s.Operations)) {
		if op := s.Operations[id]; op.Kind != config.Notification && !DeletesOther(&op) {
			u.list = append(u.list, op)
		}
	}
	return u
}

// Find returns one that was at work on an instance, nil if there is none.
func (u *Unfinished) Find(address string) *state.Operation {
	u.mu.Lock()
	defer u.mu.Unlock()
	if i := slices.IndexFunc(u.list, func(op state.Operation) bool { return op.Address == address }); i >= 0 {
		op := u.list[i]
		return &op
	}
	return nil
}

// Add adds an operation that is begun already, so that what is done is another try of it.
func (u *Unfinished) Add(op state.Operation) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.list = append(u.list, op)
}

// TakeUp makes an operation another try of one that was cut off, if that was to do the same: with its id, so that a plugin
// can recognise what it has done, or hand it to a service that does nothing twice; and with what it had saved.
func (u *Unfinished) TakeUp(op *state.Operation) {
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

// WasTakenUp tells whether an operation is another try.
func (u *Unfinished) WasTakenUp(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.again[id]
}

// End adds to a commit the end of those that it makes an end to: the instance has a new record, or none any more, or
// something else is begun with it.
func (u *Unfinished) End(b *state.Batch) {
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
		about[op.Address] = about[op.Address] || !DeletesOther(&op)
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

// Rest are the ids of those that nothing was said about.
func (u *Unfinished) Rest() (ids []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, op := range u.list {
		ids = append(ids, op.ID)
	}
	return ids
}
