package reconcile

import (
	"context"
	"time"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/status"
)

// Stack is one stack of a loop.
type Stack struct {
	Name string // unique in the process, and part of URLs
	Dir  string // of its files, absolute
	// Version changes whenever the files may have changed. The worker reads them again then.
	Version        string
	Interval       time.Duration // 0: the loop's
	Vars, VarFiles []string
	Decisions      Decisions
}

// Decisions are what persons have decided about a stack. They hold when the process begins again.
type Decisions struct {
	Suspended  *status.Suspension `json:"suspended,omitempty"` // nil: it is not
	Approvals  []plan.Approval    `json:"approvals,omitempty"`
	Rejections []plan.Approval    `json:"rejections,omitempty"` // of changes that must not go
}

// Stacks is where the stacks of a loop come from: folders, or objects of a cluster. Its methods may be called concurrently.
type Stacks interface {
	// List returns the stacks as they are now.
	List(ctx context.Context) ([]Stack, error)
	// Changed returns a channel that has a value whenever List may return something else.
	Changed() <-chan struct{}
	// Decide changes the decisions about a stack, and keeps them before it returns. Concurrent calls come one after the other.
	Decide(ctx context.Context, name string, change func(*Decisions)) error
	// Include says in which further folders the stack has files: those of modules. Version changes with them as well.
	Include(name string, dirs []string)
}
