// Package status is what a loop says of its stacks, as data: the API serves it and the command prints it. Nothing here decides.
package status

import (
	"slices"
	"time"

	"github.com/davit-sh/davit/core/plan"
)

// Phase is what a stack is doing.
type Phase string

// The phases of a stack.
const (
	Opening   Phase = "opening"   // its files are read, its plugins start
	Queued    Phase = "standby"   // another process holds the lock on its state
	Planning  Phase = "planning"  // the world is looked at
	Applying  Phase = "applying"  // a plan is carried out
	Idle      Phase = "idle"      // it waits for a trigger
	Broken    Phase = "broken"    // its files have an error and no earlier version runs
	Suspended Phase = "suspended" // it acts on orders of persons only
	Stopped   Phase = "stopped"   // the process ends
)

// Stack is what is known of one stack.
type Stack struct {
	Name     string    `json:"name"`
	Source   string    `json:"source"` // where its files are: a folder
	Phase    Phase     `json:"phase"`
	Ready    bool      `json:"ready"`             // the last reconcile left nothing to do and nothing failed
	Message  string    `json:"message,omitempty"` // why it is not ready, in one line
	Revision string    `json:"revision"`          // digest of the files that run
	Loaded   time.Time `json:"loaded,omitzero"`   // when these files were read
	// FilesError says what is wrong with newer files, which do not run. The last good ones do.
	FilesError string        `json:"files_error,omitempty"`
	Interval   time.Duration `json:"interval_ns"`
	Suspension *Suspension   `json:"suspended,omitempty"`
	Lease      *Lease        `json:"lease,omitempty"`
	Serial     uint64        `json:"state_serial"`
	Lineage    string        `json:"state_lineage,omitempty"`
	Last       *Pass         `json:"last,omitempty"`  // the last reconcile that ended
	Passes     uint64        `json:"reconciles"`      // since this process began
	Next       time.Time     `json:"next,omitzero"`   // when the timer looks at everything again
	Error      string        `json:"error,omitempty"` // of the stack as a whole: state, plugins, planning
	Counts     Counts        `json:"counts"`
	Orders     []Order       `json:"orders,omitempty"` // of persons, newest first
	Instances  []Instance    `json:"instances,omitempty"`
}

// Counts sum the instances of a stack up.
type Counts struct {
	Instances int `json:"instances"`
	Changing  int `json:"changing"`
	Waiting   int `json:"waiting"` // for a gate or a person
	Failed    int `json:"failed"`
	Drifted   int `json:"drifted"` // differ from their configuration, and are only reported or no longer mended
	Unhealthy int `json:"unhealthy"`
}

// Suspension says who has suspended a stack.
type Suspension struct {
	Who string    `json:"who"`
	At  time.Time `json:"at"`
}

// Lease says who holds the lock on a stack's state.
type Lease struct {
	Who     string    `json:"who"`
	PID     int       `json:"pid,omitempty"`
	What    string    `json:"what"`
	Since   time.Time `json:"since,omitzero"`
	Expires time.Time `json:"expires,omitzero"`
	Own     bool      `json:"own"` // this process holds it
}

// Pass is one reconcile: a plan and, if there was anything to do, an apply.
type Pass struct {
	Number     uint64    `json:"number"`
	Begun      time.Time `json:"begun"`
	PlanMS     int64     `json:"plan_ms"`
	ApplyMS    int64     `json:"apply_ms,omitempty"`
	Triggers   []string  `json:"triggers"` // "timer", "watch: source.git.repo"
	Dirty      int       `json:"dirty"`    // instances that the triggers named; -1: all
	Looked     int       `json:"looked"`   // instances that were observed or planned again
	Instances  int       `json:"instances"`
	Changes    int       `json:"changes"` // that the plan had
	Held       int       `json:"held"`    // changes that were left out: gates, back-off, drift that is only reported
	Done       int       `json:"done"`
	Failed     int       `json:"failed"`
	NotStarted int       `json:"not_started"`
	Cancelled  int       `json:"cancelled,omitempty"` // waits for health that a newer change ended
	Digest     string    `json:"digest,omitempty"`    // of the plan that was applied
	Error      string    `json:"error,omitempty"`
}

// The states of an order.
const (
	OrderQueued  = "queued"
	OrderRunning = "running"
	OrderDone    = "done"
	OrderFailed  = "failed"
)

// Order is what a person has asked for. Its token lets the caller wait for exactly this order.
type Order struct {
	Token   string    `json:"token"`
	Verb    string    `json:"verb"` // "sync"
	Who     string    `json:"who"`
	Address string    `json:"address,omitempty"`
	At      time.Time `json:"at"`
	State   string    `json:"state"`
	Ended   time.Time `json:"ended,omitzero"`
	Message string    `json:"message,omitempty"`
	Pass    uint64    `json:"reconcile,omitempty"` // number of the reconcile that did it
}

// Over tells whether the order has ended.
func (o *Order) Over() bool { return o.State == OrderDone || o.State == OrderFailed }

// The states of an instance.
const (
	OK       = "ok"
	Changing = "changing" // an operation runs
	Planned  = "planned"  // a change is planned and was not carried out yet
	Waiting  = "waiting"  // a change waits for a gate
	Failed   = "failed"   // it could not be planned or applied; Backoff says when it is tried again
	Drifted  = "drifted"  // it differs from its configuration, and this is only reported
	Stalled  = "stalled"  // somebody else keeps undoing what is applied: it is not mended any more
	Blocked  = "blocked"  // it depends on an instance that failed or waits
)

// Instance is what is known of one instance.
type Instance struct {
	Address     string    `json:"address"`
	Kind        string    `json:"kind"`
	Type        string    `json:"type"`
	State       string    `json:"state"`
	Message     string    `json:"message,omitempty"`
	Revision    string    `json:"revision,omitempty"` // sources and applications
	Health      string    `json:"health,omitempty"`   // applications
	HealthSince time.Time `json:"health_since,omitzero"`
	Looked      time.Time `json:"looked,omitzero"`  // when it was observed or planned last
	Change      *Change   `json:"change,omitempty"` // the last change that was applied in this process
	Tags        *int      `json:"tags,omitempty"`   // images: how many the last scan has found
	Chosen      string    `json:"chosen,omitempty"` // policies: the reference
	Reason      string    `json:"reason,omitempty"` // policies: why it was chosen
	Digest      string    `json:"digest,omitempty"` // builds: of the image
	Wait        *Wait     `json:"waits,omitempty"`
	Backoff     *Backoff  `json:"backoff,omitempty"`
	Running     *Running  `json:"running,omitempty"`
}

// Change is a change that was applied.
type Change struct {
	At       time.Time `json:"at"`
	Action   string    `json:"action"`
	Causes   []string  `json:"causes,omitempty"`
	Reasons  []string  `json:"reasons,omitempty"`
	Triggers []string  `json:"triggers,omitempty"`
	Pass     uint64    `json:"reconcile"`
	Error    string    `json:"error,omitempty"` // why it failed
}

// Wait is a change that waits.
type Wait struct {
	Digest string      `json:"change_digest"` // of exactly this change: an approval is bound to it
	Since  time.Time   `json:"since"`
	For    []plan.Wait `json:"for"`
	Action string      `json:"action"`
	Causes []string    `json:"causes,omitempty"`
	// Images are those that change, as "1.0.2 -> 1.0.3".
	Images  []string `json:"images,omitempty"`
	Reasons []string `json:"reasons,omitempty"`
	// Partly says that the rest of the change was applied, and only its images wait.
	Partly bool `json:"partly,omitempty"`
}

// NeedsPerson tells whether an approval would let the change go, or is needed besides other things.
func (w *Wait) NeedsPerson() bool {
	return slices.ContainsFunc(w.For, func(x plan.Wait) bool { return x.What == plan.WaitApproval || x.What == plan.WaitDeletions })
}

// Backoff says when something that failed is tried again.
type Backoff struct {
	Failures int       `json:"failures"`
	Digest   string    `json:"digest"` // of the change that failed
	Next     time.Time `json:"next"`
	Error    string    `json:"error,omitempty"`
}

// Running is an operation that a plugin works on.
type Running struct {
	Action    string    `json:"action"`
	Operation string    `json:"operation"`
	Since     time.Time `json:"since"`
	Message   string    `json:"message,omitempty"` // the last line of progress
}
