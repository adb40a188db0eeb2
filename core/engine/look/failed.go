package look

import (
	"context"
	"slices"

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
	return r.Options.Rollback == nil && len(r.Options.Import) == 0 && ctx.Err() == nil
}

// Fail leaves an instance out of the plan with the errors that it cannot be planned for. It returns false if they are about the whole plan.
func (r *Planner) Fail(ctx context.Context, in *Finding, diags hcl.Diagnostics) bool {
	if !r.isolates(ctx) {
		return false
	}
	r.fail(in, diags)
	return true
}

// keepsRecord gives an instance that a refresh cannot look at the values that state has, so that its dependants are looked at. It returns
// false if there are none.
func (r *Planner) keepsRecord(in *Finding) bool {
	rec, recorded := r.Records.Record(in.Addr.String())
	if r.Options.PlanMode() != plan.ModeRefresh || !recorded {
		return false
	}
	diags := r.asRecord(in, rec)
	in.Change, in.Observation = nil, nil
	return !diags.HasErrors()
}

// fail keeps the errors of an instance that cannot be planned. Nothing of it is in the plan.
func (r *Planner) fail(in *Finding, diags hcl.Diagnostics) {
	in.Change, in.Observation, in.Seen, in.Checks = nil, nil, nil, nil
	r.failPlace(addr.Place{Instance: in.Addr}, in.Addr.String(), diags)
}

// keepsResult gives a build that is left out, or cannot be planned, what state has of it, so that those who need it can be planned. It
// returns false if there is no whole result.
func (r *Planner) keepsResult(ctx context.Context, in *Finding) bool {
	if in.Addr.Kind != kinds.Build || len(in.Node.Type.Sensitive) > 0 || r.Options.PlanMode() != plan.ModeApply || !r.isolates(ctx) {
		return false
	}
	rec := r.lastResult(ctx, in.Addr.String())
	if rec == nil {
		return false
	}
	diags := r.asRecord(in, rec)
	if !diags.HasErrors() {
		diags = append(diags, r.Preconditions(in, "before it is planned")...)
	}
	in.Config, in.Checks = cty.NilVal, nil
	if diags.HasErrors() || !in.Change.After.IsKnown() {
		in.Change, in.Seen = nil, nil
		return false
	}
	in.Change.LastResult = true
	in.Change.DependsOn = slices.DeleteFunc(in.Change.DependsOn, func(address string) bool { // what is not in the plan is not waited for
		at, err := addr.Parse(address)
		up := r.Finding(at)
		return err != nil || up == nil || up.Seen == nil
	})
	return true
}

// lastResult returns the record of the last whole result of an instance: what state has of it, or, when the last operation failed in the
// middle, its newest revision. It returns nil if there is none.
func (r *Planner) lastResult(ctx context.Context, address string) *state.Record {
	rec, recorded := r.Records.Record(address)
	if !recorded {
		return nil
	}
	if rec.Status != state.StatusPartial {
		return rec
	}
	if r.Input.History == nil {
		return nil
	}
	revisions, err := r.Input.History(ctx, address)
	if err != nil || len(revisions) == 0 || revisions[0].Action == string(plan.Delete) {
		return nil
	}
	return &revisions[0].Record
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
