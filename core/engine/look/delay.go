package look

import (
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// delay returns the unknown outputs of an observed instance that is not looked at until apply: its depends_on, or that of a module around
// it, names managed instances that this plan changes. It returns NilVal if the instance can be looked at now.
func (r *Planner) delay(in *Finding) cty.Value {
	if r.Options.PlanMode() != plan.ModeApply || r.Options.Rollback != nil {
		return cty.NilVal
	}
	changing := map[string]bool{}
	seen := map[addr.Instance]bool{}
	var visit func(list []addr.Instance)
	visit = func(list []addr.Instance) {
		for _, d := range list {
			up := r.Finding(d)
			if up == nil || seen[d] {
				continue
			}
			seen[d] = true
			switch {
			case kinds.IsManaged(d.Kind):
				if up.Change != nil && up.Change.Works() && !up.Change.AsIs {
					changing[d.String()] = true
				}
			case up.Observation != nil && len(up.Observation.ReadAfter) > 0:
				for _, address := range up.Observation.ReadAfter {
					changing[address] = true
				}
			default:
				visit(up.Deps)
			}
		}
	}
	visit(r.orderedAfter(in))
	if len(changing) == 0 {
		return cty.NilVal
	}
	o := in.Observation
	o.ReadAfter = slices.Sorted(maps.Keys(changing))
	o.Reasons = []string{"it is read during apply, after " + strings.Join(o.ReadAfter, ", ")}
	return in.Node.Type.UnknownOutputs()
}

// orderedAfter returns the instances that the depends_on of an instance names, and that of the modules around it.
func (r *Planner) orderedAfter(in *Finding) []addr.Instance {
	n := in.Node
	var needs []eval.Need
	if len(n.DependsOn) > 0 {
		needs, _ = n.Scope.Order(n.DependsOn)
	}
	for s := n.Scope; s.Parent != nil; s = s.Parent {
		if len(s.Call.DependsOn) > 0 {
			more, _ := s.Parent.Order(world.RefsOf(s.Call.DependsOn))
			needs = append(needs, more...)
		}
	}
	if len(needs) == 0 {
		return nil
	}
	list, _ := r.Tree.Dependencies(n, needs, in.Each) // a mistake in them was found when the block was expanded
	return list
}
