package look

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Failure is an instance that cannot be planned, or a block or a module whose instances cannot be told.
type Failure struct {
	Place       addr.Place
	Address     string
	Diagnostics hcl.Diagnostics
}

// isolates tells whether an error of one instance leaves the others alone. A rollback and an import are about one instance only.
func (r *Planner) isolates(ctx context.Context) bool {
	return r.Options.PlanMode() == plan.ModeApply && r.Options.Rollback == nil && len(r.Options.Import) == 0 && ctx.Err() == nil
}

// fail keeps the errors of an instance that cannot be planned. Nothing of it is in the plan.
func (r *Planner) fail(in *Finding, diags hcl.Diagnostics) {
	in.Change, in.Observation, in.Seen, in.Checks = nil, nil, nil, nil
	r.failPlace(addr.Place{Instance: in.Addr}, in.Addr.String(), diags)
}

// keepsResult gives a build that is left out, or cannot be planned, what state has of it, so that those who need it can be planned. It
// returns false if there is no whole result.
func (r *Planner) keepsResult(ctx context.Context, in *Finding) bool {
	rec, recorded := r.Records.Record(in.Addr.String())
	if in.Addr.Kind != kinds.Build || !recorded || rec.Status == state.StatusPartial || len(in.Node.Type.Sensitive) > 0 || !r.isolates(ctx) {
		return false
	}
	diags := r.AsInState(ctx, in)
	if !diags.HasErrors() {
		diags = append(diags, r.Preconditions(in, "before it is planned")...)
	}
	in.Config, in.Checks = cty.NilVal, nil
	if diags.HasErrors() || !in.Change.After.IsKnown() {
		in.Change, in.Seen = nil, nil
		return false
	}
	return true
}

// FailExpansion keeps the errors of a block or a module whose instances cannot be told. It returns false if that is an error of the
// whole plan.
func (r *Planner) FailExpansion(ctx context.Context, place addr.Place, diags hcl.Diagnostics) bool {
	if !r.isolates(ctx) {
		return false
	}
	address := place.Node.String()
	if place.IsModule() {
		address = string(place.Module)
	}
	r.failPlace(place, address, diags)
	return true
}

func (r *Planner) failPlace(place addr.Place, address string, diags hcl.Diagnostics) {
	diags = r.Found.masked(diags)
	r.Found.mu.Lock()
	r.Found.failed = append(r.Found.failed, Failure{Place: place, Address: address, Diagnostics: diags})
	r.Found.mu.Unlock()
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			r.Services.Emit(event.Event{Type: event.PlanFailed, Address: address, Message: d.Summary})
			return
		}
	}
}
