package draft

import (
	"maps"
	"slices"
	"strings"

	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// goneOutputs returns the outputs that are in state: a destroy removes them all.
func goneOutputs(s *state.Snapshot) []plan.Output {
	var list []plan.Output
	for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
		list = append(list, plan.Output{Name: name, Before: s.Outputs[name]})
	}
	return list
}

// Outputs evaluates the outputs of the stack that are wanted, with the values that the tree of a planner has now. Their errors are reported.
func Outputs(r *look.Planner, wants func(name string) bool) []plan.Output {
	var list []plan.Output
	for _, name := range slices.Sorted(maps.Keys(r.Input.Stack.Outputs)) {
		o := r.Input.Stack.Outputs[name]
		if !wants(name) {
			continue
		}
		out := plan.Output{Name: name, Sensitive: o.Sensitive, Before: r.Records.Snapshot().Outputs[name]}
		v, diags := r.Tree.Root.Output(name)
		if diags.HasErrors() {
			r.Found.Report(diags...)
			continue
		}
		if deep.Marked(v) && !o.Sensitive {
			r.Found.Report(diag.Errorf(o.Expr.Range(), "Sensitive output", "Output %q contains a sensitive value. Set sensitive = true, or remove the value.", name))
			continue
		}
		plain, _ := v.UnmarkDeep()
		switch {
		case o.Sensitive:
		case !plain.IsWhollyKnown():
			out.Unknown = true
		default:
			b, err := ctyjson.Marshal(plain, plain.Type())
			if err != nil {
				r.Found.Report(diag.Errorf(o.Expr.Range(), "Output cannot be stored", "Output %q: %s", name, err))
				continue
			}
			out.Value = b
		}
		list = append(list, out)
	}
	return list
}

// outputs returns the outputs of a plan: of a partial one those that can be evaluated. Outputs that only state has will be removed, unless
// the plan is about some targets.
func (d *drafter) outputs() []plan.Output {
	wants := func(string) bool { return true }
	if d.partial() {
		ready := d.readyOutputs()
		wants = func(name string) bool { return ready[name] }
	}
	list := Outputs(d.planner, wants)
	if len(d.opts.Targets) > 0 || d.opts.Rollback != nil {
		return list
	}
	for name, before := range d.records.Snapshot().Outputs {
		if d.input.Stack.Outputs[name] == nil {
			list = append(list, plan.Output{Name: name, Before: before})
		}
	}
	slices.SortFunc(list, func(a, b plan.Output) int { return strings.Compare(a.Name, b.Name) })
	return list
}
