// Package event has the events of a run as data: the engine emits them, views print them.
package event

import "time"

// Format is the version of the events' JSON form. It grows when a field is removed or changes its meaning.
const Format = 1

// Type is the kind of an event.
type Type string

// The types of events.
const (
	Version            Type = "version"             // the first one: Davit and Format
	Plan               Type = "plan"                // the plan is made, or was read: Changes and Digest
	Observed           Type = "observed"            // a source, image or policy was observed
	Planned            Type = "planned"             // a change was planned
	PlanFailed         Type = "plan_failed"         // an instance cannot be planned; the others are
	OperationStart     Type = "operation_start"     // a change begins; its intent is in state
	Log                Type = "log"                 // a line of output: Stream names its source
	Progress           Type = "progress"            // Done of Total
	Item               Type = "item"                // a nested object: Item and Status
	Heartbeat          Type = "heartbeat"           // still running, nothing else to say
	OperationDone      Type = "operation_done"      // its result is in state
	OperationFailed    Type = "operation_failed"    // its partial result is in state
	OperationSkipped   Type = "operation_skipped"   // not started: a dependency failed, or the run was stopped
	OperationCancelled Type = "operation_cancelled" // a newer change takes its place; it stays open in state, and counts neither as done nor as failed
	Diagnostics        Type = "diagnostic"          // an error or a warning
	Summary            Type = "summary"             // the end of an apply; only diagnostics follow
)

// WaitingForHealth is the message of the progress of an operation that has done its work and only waits for health: it may be cancelled.
const WaitingForHealth = "waiting for health"

// Event is one thing that happened. Only the fields of its type are set.
type Event struct {
	Time       time.Time      `json:"time"`
	Type       Type           `json:"type"`
	Address    string         `json:"address,omitempty"`
	Action     string         `json:"action,omitempty"`    // of a plan.Change
	Operation  string         `json:"operation,omitempty"` // id
	Stream     string         `json:"stream,omitempty"`    // "linux/arm64 3/5", "Deployment/web"
	Message    string         `json:"message,omitempty"`
	Done       int64          `json:"done,omitempty"`
	Total      int64          `json:"total,omitempty"` // 0: not known
	Item       string         `json:"item,omitempty"`  // key
	Status     string         `json:"status,omitempty"`
	ElapsedMS  int64          `json:"elapsed_ms,omitempty"`
	Davit      string         `json:"davit,omitempty"`          // version
	Format     int            `json:"format_version,omitempty"` // of the events
	Changes    map[string]int `json:"changes,omitempty"`        // action -> instances
	Digest     string         `json:"digest,omitempty"`         // of the plan
	Diagnostic *Diagnostic    `json:"diagnostic,omitempty"`
	Result     *Result        `json:"result,omitempty"`
	Run        string         `json:"run,omitempty"` // id of the plan or apply that it happened in
}

// Diagnostic is an error or a warning.
type Diagnostic struct {
	Severity string `json:"severity"` // "error", "warning"
	Summary  string `json:"summary"`
	Detail   string `json:"detail,omitempty"`
	Address  string `json:"address,omitempty"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Hint     string `json:"hint,omitempty"`
	Code     string `json:"code,omitempty"`
}

// Result is the result of an apply: its changes, in the order in which they ended.
type Result struct {
	Done       []Outcome `json:"done"`
	Failed     []Outcome `json:"failed"`
	NotStarted []Outcome `json:"not_started"`
	Cancelled  []Outcome `json:"cancelled,omitempty"` // waits for health that a newer change ended: neither done nor failed
	Unchanged  []Outcome `json:"unchanged,omitempty"` // planned changes that turned out to be none
	Waiting    []Outcome `json:"waiting,omitempty"`   // left out of the plan, because they wait at a gate
}

// Outcome is the result of one change.
type Outcome struct {
	Address   string `json:"address"`
	Action    string `json:"action"`
	Error     string `json:"error,omitempty"`  // of a failed one; one line
	Hint      string `json:"hint,omitempty"`   // of a failed one: what to do
	Reason    string `json:"reason,omitempty"` // why it was not started
	ElapsedMS int64  `json:"elapsed_ms,omitempty"`
}

// Sink receives events. It may be called concurrently.
type Sink func(Event)
