package record

import (
	"sync"

	"github.com/davit-sh/davit/state"
)

// Records are the records of a state as a run sees them.
type Records interface {
	// Snapshot returns the state that the run was started with.
	Snapshot() *state.Snapshot
	// Record returns the record of an instance as it is now, false if there is none.
	Record(address string) (*state.Record, bool)
}

// Loaded are the records of a snapshot, as they are.
type Loaded struct{ state *state.Snapshot }

// NewLoaded returns the records of a snapshot, which may be nil.
func NewLoaded(s *state.Snapshot) Loaded {
	if s == nil {
		s = &state.Snapshot{}
	}
	return Loaded{s}
}

// Snapshot implements Records.
func (l Loaded) Snapshot() *state.Snapshot { return l.state }

// Record implements Records.
func (l Loaded) Record(address string) (*state.Record, bool) {
	rec, ok := l.state.Records[address]
	return &rec, ok
}

// Overlay are the records of a snapshot with those on top that an apply has written. It may be used concurrently.
type Overlay struct {
	Loaded
	written sync.Map // address -> *state.Record; nil when it was removed
}

// NewOverlay returns the records of a snapshot, of which nothing is covered yet.
func NewOverlay(s *state.Snapshot) *Overlay { return &Overlay{Loaded: NewLoaded(s)} }

// Record implements Records.
func (o *Overlay) Record(address string) (*state.Record, bool) {
	if v, ok := o.written.Load(address); ok {
		rec, _ := v.(*state.Record)
		return rec, rec != nil
	}
	return o.Loaded.Record(address)
}

// Put covers the record of an instance with a newer one.
func (o *Overlay) Put(rec *state.Record) { o.written.Store(rec.Address, rec) }

// Remove hides the record of an instance.
func (o *Overlay) Remove(address string) { o.written.Store(address, (*state.Record)(nil)) }

// Uncover shows the record of the snapshot again.
func (o *Overlay) Uncover(address string) { o.written.Delete(address) }
