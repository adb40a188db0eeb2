package draft

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/plan"
)

// failures returns what cannot be planned, by address.
func (d *drafter) failures() []plan.Failure {
	blocked, needs := d.blocked(), d.recordedNeeds()
	list := make([]plan.Failure, 0, len(d.found.Failed()))
	for _, f := range d.found.Failed() {
		out := plan.Failure{Address: f.Address, Diagnostics: []plan.Diagnostic{}}
		for _, diagnostic := range diag.Fold(f.Diagnostics) {
			if diagnostic.Severity != hcl.DiagError {
				continue
			}
			info, kept := diag.InfoOf(diagnostic), warning(diagnostic)
			kept.Hint, kept.Code = info.Hint, info.Code
			out.Diagnostics = append(out.Diagnostics, kept)
		}
		stands := map[string]bool{} // what it and its dependents stand on
		reach(needs[f.Address], needs, stands)
		for _, b := range blocked {
			if b.needs(f.Place) {
				out.Dependents = append(out.Dependents, b.address.String())
				reach(needs[b.address.String()], needs, stands)
			}
		}
		for _, address := range slices.Sorted(maps.Keys(stands)) {
			if d.doomed[address] && address != f.Address {
				out.Kept = append(out.Kept, address)
			}
		}
		list = append(list, out)
	}
	slices.SortFunc(list, func(a, b plan.Failure) int { return strings.Compare(a.Address, b.Address) })
	return list
}

// failedDiagnostics returns the diagnostics of what cannot be planned, by address.
func (d *drafter) failedDiagnostics() hcl.Diagnostics {
	sorted := slices.Clone(d.found.Failed())
	slices.SortStableFunc(sorted, func(a, b look.Failure) int { return strings.Compare(a.Address, b.Address) })
	var diags hcl.Diagnostics
	for _, f := range sorted {
		diags = append(diags, f.Diagnostics...)
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
func (d *drafter) blocked() []blockedInstance {
	if len(d.found.Failed()) == 0 || d.opts.PlanMode() == plan.ModeDestroy { // a destroy needs no value of anything
		return nil
	}
	failed := map[addr.Instance]bool{}
	for _, f := range d.found.Failed() {
		if !f.Place.IsModule() && !f.Place.AllKeys {
			failed[f.Place.Instance] = true
		}
	}
	needed := map[string]map[string]bool{}
	var list []blockedInstance
	add := func(i addr.Instance) {
		name := world.BlockName(i)
		if needed[name] == nil {
			needed[name] = d.mayNeed(i)
		}
		b := blockedInstance{address: i, needed: needed[name]}
		if slices.ContainsFunc(d.found.Failed(), func(f look.Failure) bool { return b.needs(f.Place) }) {
			list = append(list, b)
		}
	}
	isOut := func(i addr.Instance) bool { return !failed[i] && d.opts.Wants(i) && !d.opts.LeavesOut(i) }
	d.planner.InOrder(func(in *look.Finding) {
		if in.Change == nil && in.Observation == nil && isOut(in.Addr) {
			add(in.Addr)
		}
	})
	for _, address := range slices.Sorted(maps.Keys(d.records.Snapshot().Records)) {
		i, err := addr.Parse(address)
		if err == nil && isOut(i) && d.planner.Finding(i) == nil && d.input.Declared(i.Node) != nil {
			add(i)
		}
	}
	return list
}
