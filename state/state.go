// Package state is davit's memory between runs: one record for each
// instance, the open operations, outputs, history, and a lease that lets one
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

// Store contains the state of one stack. All methods may be called concurrently, also by
// several processes. They return the context's error soon after it has ended.
type Store interface {
	// Lock takes the lease. If another process holds it, Lock returns a *LockedError at
	// once; to wait, call it again. The lease of a dead process expires.
	Lock(ctx context.Context, who Holder) (Lease, error)
	// Load reads everything, with or without the lease. A store that was never written
	// to is an empty Snapshot with serial 0 and no lineage. The snapshot is of one serial, and
	// belongs to the caller.
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
	// Commit applies the batch atomically; it is durable on return. It writes nothing and returns
	// ErrLeaseLost if another process has taken the lease, or the error of Batch.Check if the batch
	// is invalid. After another error the batch may have been written, as a whole: a disk or a network
	// can fail after the write. Concurrent calls are normal.
	Commit(ctx context.Context, b Batch) (serial uint64, err error)
	// Replace replaces the whole state, lineage and serial included, or changes nothing. It returns ErrLeaseLost
	// as Commit does, and the error of Archive.Check if the archive is invalid. It keeps the newest
	// KeepRevisions revisions of each address, with their numbers, in any order.
	Replace(ctx context.Context, a *Archive) error
	// Lost is closed when the lease is lost: at the latest at its expiry, or when a commit
	// or a renewal finds that another process has it.
	Lost() <-chan struct{}
	// Until returns the time of expiry by the wall clock, unless the lease is renewed; zero: it does not expire. In a process that
	// was suspended, this time may pass before Lost is closed. Operations must begin before it.
	Until() time.Time
	// Release ends this lease only. It may be called more than once; later commits return ErrLeaseLost.
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

// Record is the state of one instance. It never contains a secret.
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
	// OutputFingerprints are keyed hashes of the sensitive outputs, by attribute path.
	OutputFingerprints map[string]string `json:"output_fingerprints,omitempty"`
	DependsOn          []string          `json:"depends_on,omitempty"` // addresses; deletion goes the other way
	// Claims are the opaque keys of the real objects that the instance owns.
	Claims []string `json:"claims,omitempty"`
	// Triggers are fingerprints of the values of replace_triggered_by at the last creation or update of the instance, by expression.
	Triggers map[string]string `json:"triggers,omitempty"`
	// Operation is the ID of the last operation on the instance. It is empty if the instance was adopted without a change.
	Operation string    `json:"operation,omitempty"`
	Hold      *Hold     `json:"hold,omitempty"` // it is kept at an earlier revision
	Updated   time.Time `json:"updated"`
}

// Hold keeps an instance at an earlier revision until it is released.
type Hold struct {
	Revision uint64    `json:"revision"`
	Who      string    `json:"who"`
	Since    time.Time `json:"since"`
	Reason   string    `json:"reason,omitempty"`
}

// Revision is one applied state of an instance, with its reasons, author and inputs.
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
	// Approval is the approval of the change at the stack's gates; nil if none was needed. Overrides are the gates that a person has set
	// aside for it.
	Approval  *Approval  `json:"approval,omitempty"`
	Overrides []Override `json:"overrides,omitempty"`
}

// Approval is the approval of a change by a person.
type Approval struct {
	Who    string    `json:"who"`
	When   time.Time `json:"when"`
	Where  string    `json:"where,omitempty"`
	Digest string    `json:"change_digest"`
}

// Override is a gate that a person has set aside.
type Override struct {
	Gate  string    `json:"gate"`
	Who   string    `json:"who"`
	When  time.Time `json:"when"`
	Where string    `json:"where,omitempty"`
}

// KeepRevisions is the number of revisions of an instance that a store keeps.
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
	// Triggers are the Triggers of the record at the end of the operation.
	Triggers map[string]string `json:"triggers,omitempty"`
}

// Checkpoint is the result so far of an operation.
type Checkpoint struct {
	Outputs json.RawMessage `json:"outputs,omitempty"`
	Private []byte          `json:"private,omitempty"`
}

// Holder describes the holder of a lease, for a process that waits.
type Holder struct {
	ID      string    `json:"id"`  // of the lease
	Who     string    `json:"who"` // user@host
	PID     int       `json:"pid"`
	What    string    `json:"what"` // "davit apply"
	Since   time.Time `json:"since"`
	Expires time.Time `json:"expires"`
}

// LockedError names the holder of the lease.
type LockedError struct{ Holder Holder }

func (e *LockedError) Error() string {
	return fmt.Sprintf("the state is locked by %s (%s, process %d) since %s; the lock is %s",
		e.Holder.Who, e.Holder.What, e.Holder.PID, e.Holder.Since.Format(time.RFC3339), e.Holder.ID)
}

// FormatError reports a state that a newer davit has written.
type FormatError struct {
	Where     string
	Got, Know int
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%s has format %d, but this davit knows formats up to %d only: use a newer davit", e.Where, e.Got, e.Know)
}

// ErrBusy is wrapped by errors of a store whose state another process is using: the call may be repeated.
var ErrBusy = errors.New("another process is using the state")

// ErrLeaseLost is returned by Commit when the lease has been taken by another process or has expired.
var ErrLeaseLost = errors.New("the lease on the state was lost: another process may have taken over; nothing was written")
