// Package state keeps what davit knows of the world between runs: one record per
// instance, the operations that have begun and not ended, and a lease that lets one
// process write at a time.
//
// Backends live in folders of their own and pass the conformance suite in statetest.
package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Format is the version of the stored form that this davit writes. Older ones are
// upgraded, newer ones are refused with a *FormatError.
//
// Format 2 has checksums that cover the place of an item as well as its content.
const Format = 2

// Store is where one stack's state is. All methods may be called concurrently, by
// several processes as well. They return the context's error soon after it has ended.
type Store interface {
	// Lock takes the lease. If another process holds it, Lock returns a *LockedError at
	// once; who wants to wait calls again. The lease of a dead process expires by itself.
	Lock(ctx context.Context, who Holder) (Lease, error)
	// Load reads everything, with or without the lease. A store that was never written
	// to is an empty Snapshot with serial 0 and no lineage. What is returned is the state at one
	// serial, whatever is written meanwhile, and belongs to the caller.
	Load(ctx context.Context) (*Snapshot, error)
	// Archive reads everything with its history, all at the same serial. Revisions that are damaged
	// are named in Damaged, which Load does not do: it does not read them.
	Archive(ctx context.Context) (*Archive, error)
	// History returns the applied revisions of an instance, newest first; with an empty address those of
	// all instances, by address (in the order of its bytes) and then newest first. Deleted instances keep
	// theirs. A damaged revision is left out.
	History(ctx context.Context, address string) ([]Revision, error)
	// Unlock ends the lease with this id whoever holds it ("force-unlock").
	Unlock(ctx context.Context, id string) error
	Close() error
}

// Lease is the right to write. It beats by itself until it is released or lost.
type Lease interface {
	// Commit applies the batch atomically; it is durable on return. It fails with
	// ErrLeaseLost when another process has taken the lease in the meantime, and then
	// nothing is written, and with the error of Batch.Check before anything is written. After
	// another error the batch may have been written all the same, as a whole: a disk or a network can
	// fail after it has done its work. Concurrent calls are normal.
	Commit(ctx context.Context, b Batch) (serial uint64, err error)
	// Replace writes a whole state over what is there: either all of it is written, lineage and
	// serial included, or nothing. It fails with ErrLeaseLost as Commit does, and with the error of
	// Archive.Check before anything is written. Of the history it keeps the newest KeepRevisions of
	// each address, with their numbers, in whatever order they come.
	Replace(ctx context.Context, a *Archive) error
	// Lost is closed when the lease is lost: at the latest when it would have expired, or when a commit
	// or a beat finds that another process has it.
	Lost() <-chan struct{}
	// Until is when the lease expires by the wall clock, unless it is renewed before. Zero is never. A process that was
	// suspended may find that this is over before Lost tells it: work on the world is begun only before.
	Until() time.Time
	// Release gives the lease up, and nobody else's. It is safe to call more than once, and commits
	// that come later fail with ErrLeaseLost.
	Release(ctx context.Context) error
}

// Snapshot is the whole state at one serial.
type Snapshot struct {
	Format     int                        `json:"format"`
	Lineage    string                     `json:"lineage,omitempty"`    // made at the first commit; tells one stack's state from another's
	Serial     uint64                     `json:"serial"`               // grows by one with each commit
	Records    map[string]Record          `json:"records"`              // by address
	Operations map[string]Operation       `json:"operations,omitempty"` // by id; begun and not ended
	Outputs    map[string]json.RawMessage `json:"outputs,omitempty"`    // the stack's outputs; sensitive ones are absent
	Damaged    []string                   `json:"damaged,omitempty"`    // what cannot be read: addresses of records, "operation ID", "output NAME", "revision N of ADDRESS", or "table NAME" from which something is missing
}

// Record is what state keeps of one instance. It never holds a secret.
type Record struct {
	Address string `json:"address"`
	Kind    string `json:"kind"`
	Type    string `json:"type"`
	Plugin  string `json:"plugin"` // which plugin made it: "git"
	// Status is "ok", or "partial" after an operation that failed in the middle.
	Status string `json:"status"`
	// Config and Outputs are cty values as JSON of their type and value ({"type":...,"value":...}); sensitive attributes are null.
	Config  json.RawMessage `json:"config,omitempty"`
	Outputs json.RawMessage `json:"outputs,omitempty"`
	Private []byte          `json:"private,omitempty"` // the plugin's own
	// Fingerprints are keyed hashes of the sensitive attributes, by attribute path.
	Fingerprints map[string]string `json:"fingerprints,omitempty"`
	// OutputFingerprints are the same of the sensitive outputs.
	OutputFingerprints map[string]string `json:"output_fingerprints,omitempty"`
	DependsOn          []string          `json:"depends_on,omitempty"` // addresses; deletion goes the other way
	// Claims are the opaque keys of the things in the world that the instance owns.
	Claims []string `json:"claims,omitempty"`
	// Triggers are fingerprints of the values that replace_triggered_by had when the instance was made or changed last, by expression.
	Triggers map[string]string `json:"triggers,omitempty"`
	// Operation is the id of the operation that made the instance what it is. It is empty when the instance was adopted as it was.
	Operation string    `json:"operation,omitempty"`
	Hold      *Hold     `json:"hold,omitempty"` // it is kept at an earlier revision
	Updated   time.Time `json:"updated"`
}

// Hold says that an instance is kept at an earlier revision until it is released.
type Hold struct {
	Revision uint64    `json:"revision"`
	Who      string    `json:"who"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason,omitempty"`
}

// Revision is one applied state of an instance: what was applied, why, by whom, and made of what.
type Revision struct {
	Number    uint64    `json:"number"` // 1, 2, ... for each address; the store counts
	Operation string    `json:"operation"`
	Action    string    `json:"action"`
	Plan      string    `json:"plan,omitempty"` // digest
	Who       string    `json:"who"`
	At        time.Time `json:"at"`
	Reasons   []string  `json:"reasons,omitempty"`
	Causes    []string  `json:"causes,omitempty"` // why, for machines: the words of a plan
	Record    Record    `json:"record"`           // as it was written; of a deletion: as it was before
	// From are the addresses that the instance refers to directly, observed ones as well.
	From []string `json:"from,omitempty"`
	// Items are the nested changes, Arguments the changed arguments where there are no items, and Inputs the observations that the
	// instance was made from, in the form of a plan's items, fields and observations.
	Items     json.RawMessage `json:"items,omitempty"`
	Arguments json.RawMessage `json:"arguments,omitempty"`
	Inputs    json.RawMessage `json:"inputs,omitempty"`
	// Approval says who has let the change pass the gates of the stack; nil: nobody had to. Overrides are the gates that a person has set
	// aside for it.
	Approval  *Approval  `json:"approval,omitempty"`
	Overrides []Override `json:"overrides,omitempty"`
}

// Approval says that a person has let a change go.
type Approval struct {
	Who    string    `json:"who"`
	When   time.Time `json:"when"`
	Where  string    `json:"where,omitempty"`
	Digest string    `json:"change_digest"`
}

// Override says that a person has set a gate aside.
type Override struct {
	Gate  string    `json:"gate"`
	Who   string    `json:"who"`
	When  time.Time `json:"when"`
	Where string    `json:"where,omitempty"`
}

// KeepRevisions is how many revisions of an instance a store keeps.
const KeepRevisions = 20

// The values of Record.Status.
const (
	StatusOK      = "ok"
	StatusPartial = "partial"
)

// Operation is a started piece of apply work. It is committed before the work starts.
type Operation struct {
	ID       string    `json:"id"`
	Address  string    `json:"address"`
	Kind     string    `json:"kind"`
	Type     string    `json:"type"`
	Plugin   string    `json:"plugin"`
	Action   string    `json:"action"`
	Begun    time.Time `json:"begun"`
	PlanHash string    `json:"plan_hash,omitempty"` // digest of the plan that it belongs to
	// Config is the wholly known configuration, in the form of Record.Config.
	Config     json.RawMessage `json:"config,omitempty"`
	Planned    json.RawMessage `json:"planned,omitempty"`
	Private    []byte          `json:"private,omitempty"`    // of the plan
	Checkpoint *Checkpoint     `json:"checkpoint,omitempty"` // the result so far
	DependsOn  []string        `json:"depends_on,omitempty"`
	// Triggers are those of the record that the operation is to end with.
	Triggers map[string]string `json:"triggers,omitempty"`
}

// Checkpoint is the result so far of an operation.
type Checkpoint struct {
	Outputs json.RawMessage `json:"outputs,omitempty"`
	Private []byte          `json:"private,omitempty"`
}

// Holder is who holds a lease, for the one who waits.
type Holder struct {
	ID      string    `json:"id"`  // of the lease
	Who     string    `json:"who"` // user@host
	PID     int       `json:"pid"`
	What    string    `json:"what"` // "davit apply"
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
}

// LockedError says who has the lease.
type LockedError struct{ Holder Holder }

func (e *LockedError) Error() string {
	return fmt.Sprintf("the state is locked by %s (%s, process %d) since %s; the lock is %s",
		e.Holder.Who, e.Holder.What, e.Holder.PID, e.Holder.Since.Format(time.RFC3339), e.Holder.ID)
}

// FormatError says that the state was written by a newer davit.
type FormatError struct {
	Where     string
	Got, Know int
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s has format %d, but this davit knows formats up to %d only: use a newer davit", e.Where, e.Got, e.Know)
}

// ErrBusy is in the errors of a store whose state another process keeps busy: it may be asked again.
var ErrBusy = errors.New("another process is using the state")

// ErrLeaseLost is returned by Commit when the lease has been taken by another process or has expired.
var ErrLeaseLost = errors.New("the lease on the state was lost: another process may have taken over; nothing was written")
