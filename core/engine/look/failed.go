package look

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/claims"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// failure is an instance that cannot be planned, or a block or a module whose instances cannot be told.
type failure struct {
	place   addr.Place
	address string
	diags   hcl.Diagnostics
}

// isolates tells whether an error of one instance leaves the others alone. A rollback and an import are about one instance only.
func (r *Planner) isolates(ctx context.Context) bool {
	return r.opts.PlanMode() == plan.ModeApply && r.opts.Rollback == nil && len(r.opts.Import) == 0 && ctx.Err() == nil
}

// fail keeps the errors of an instance that cannot be planned. Nothing of it is in the plan.
func (r *Planner) fail(in *Finding, diags hcl.Diagnostics) {
	in.Change, in.Observation, in.Seen, in.checks = nil, nil, nil, nil
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
	in.Config, in.checks = cty.NilVal, nil
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
	r.Found.failed = append(r.Found.failed, failure{place: place, address: address, diags: diags})
	r.Found.mu.Unlock()
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			r.svc.Emit(event.Event{Type: event.PlanFailed, Address: address, Message: d.Summary})
			return
		}
	}
}

// failures returns what cannot be planned, by address.
func (r *Planner) failures() []plan.Failure {
	blocked := r.blocked()
	list := make([]plan.Failure, 0, len(r.Found.failed))
	for _, f := range r.Found.failed {
		out := plan.Failure{Address: f.address, Diagnostics: []plan.Diagnostic{}}
		for _, d := range diag.Fold(f.diags) {
			if d.Severity != hcl.DiagError {
				continue
			}
			info, kept := diag.InfoOf(d), warning(d)
			kept.Hint, kept.Code = info.Hint, info.Code
			out.Diagnostics = append(out.Diagnostics, kept)
		}
		for _, b := range blocked {
			if b.needs(f.place) {
				out.Dependents = append(out.Dependents, b.address.String())
			}
		}
		list = append(list, out)
	}
	slices.SortFunc(list, func(a, b plan.Failure) int { return strings.Compare(a.Address, b.Address) })
	return list
}

// Failures returns the diagnostics of what cannot be planned, by address.
func (r *Planner) Failures() hcl.Diagnostics {
	sorted := slices.Clone(r.Found.failed)
	slices.SortStableFunc(sorted, func(a, b failure) int { return strings.Compare(a.address, b.address) })
	var diags hcl.Diagnostics
	for _, f := range sorted {
		diags = append(diags, f.diags...)
	}
	return diags
}

// blockedInstance is an instance that is left out because something that it may depend on cannot be planned.
type blockedInstance struct {
	address addr.Instance
	needed  map[string]bool // names of blocks
}

func (b *blockedInstance) needs(p addr.Place) bool {
	if p.IsModule() && p.Module.Contains(b.address.Module) || !p.IsModule() && p.AllKeys && p.Node == b.address.Node {
		return true
	}
	return mayBeAmong(b.needed, p, b.address)
}

// blocked returns the instances of the stack, and those of state that a block stands for, that the plan leaves out because of a failure.
func (r *Planner) blocked() []blockedInstance {
	if len(r.Found.failed) == 0 {
		return nil
	}
	failed := map[addr.Instance]bool{}
	for _, f := range r.Found.failed {
		if !f.place.IsModule() && !f.place.AllKeys {
			failed[f.place.Instance] = true
		}
	}
	needed := map[string]map[string]bool{}
	var list []blockedInstance
	add := func(i addr.Instance) {
		name := world.BlockName(i)
		if needed[name] == nil {
			needed[name] = r.mayNeed(i)
		}
		b := blockedInstance{address: i, needed: needed[name]}
		if slices.ContainsFunc(r.Found.failed, func(f failure) bool { return b.needs(f.place) }) {
			list = append(list, b)
		}
	}
	isOut := func(i addr.Instance) bool { return !failed[i] && r.opts.Wants(i) && !r.opts.LeavesOut(i) }
	r.InOrder(func(in *Finding) {
		if in.Change == nil && in.Observation == nil && isOut(in.Addr) {
			add(in.Addr)
		}
	})
	for _, address := range slices.Sorted(maps.Keys(r.Records.Snapshot().Records)) {
		i, err := addr.Parse(address)
		if err == nil && isOut(i) && r.Finding(i) == nil && r.Input.Declared(i.Node) != nil {
			add(i)
		}
	}
	return list
}

// dependenciesOfFailed returns what the records of the instances say that cannot be planned, or are left out for that reason.
func (r *Planner) dependenciesOfFailed() [][]string {
	var list [][]string
	add := func(i addr.Instance) { list = append(list, r.Records.Snapshot().Records[i.String()].DependsOn) }
	for _, f := range r.Found.failed {
		add(f.place.Instance)
	}
	for _, b := range r.blocked() {
		add(b.address)
	}
	return list
}

// unknownClaims returns the instances that were never applied and cannot be planned. What they would own is not known: deletions of
// their type are held back.
func (r *Planner) unknownClaims() []claims.Unknown {
	var list []claims.Unknown
	add := func(i addr.Instance, address string) {
		if _, recorded := r.Records.Record(i.String()); !recorded && kinds.IsManaged(i.Kind) {
			list = append(list, claims.Unknown{Address: address, Kind: i.Kind, Type: i.Type})
		}
	}
	for _, f := range r.Found.failed {
		if !f.place.IsModule() {
			add(f.place.Instance, f.address)
		}
	}
	for _, b := range r.blocked() {
		add(b.address, b.address.String())
	}
	return list
}

// warning returns a diagnostic as a plan keeps it.
func warning(d *hcl.Diagnostic) plan.Diagnostic {
	w := plan.Diagnostic{Summary: d.Summary, Detail: d.Detail, Address: diag.InfoOf(d).Address}
	if d.Subject != nil {
		w.Where = config.Where(*d.Subject)
	}
	return w
}
