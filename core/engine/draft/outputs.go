package draft

import (
	"maps"
	"slices"

	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/plan"
)

// Outputs evaluates the outputs of the stack, with the values that the tree of a planner has now. Their errors are reported.
func Outputs(r *look.Planner) []plan.Output {
	var list []plan.Output
	for _, name := range slices.Sorted(maps.Keys(r.Input.Stack.Outputs)) {
		o := r.Input.Stack.Outputs[name]
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
