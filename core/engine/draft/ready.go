package draft

import (
	"slices"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
)

// readyOutputs returns the names of the outputs of the stack that can be evaluated in a partial plan: everything that they need is in it.
func (d *drafter) readyOutputs() map[string]bool {
	ready := map[string]bool{}
	for name, o := range d.input.Stack.Outputs {
		needs, known := outputNeeds(d.tree.Root, o)
		if known && d.isReady(needs) && (len(needs) > 0 || len(d.opts.Targets) == 0) {
			ready[name] = true
		}
	}
	return ready
}

// outputNeeds returns the blocks that an output needs, false when they are not all known.
func outputNeeds(s *eval.Scope, o *config.Output) ([]eval.Need, bool) {
	needs, pending := s.Needs(eval.OutputReferences(o))
	more, waits := s.Order(world.RefsOf(o.DependsOn))
	return append(needs, more...), len(pending)+len(waits) == 0
}

// isReady tells whether all instances of the blocks that are needed are known, and in the plan.
func (d *drafter) isReady(needs []eval.Need) bool {
	for _, need := range needs {
		if n := d.tree.Node(need.Node); n == nil || !n.Told() || d.isFailedBlock(need.Node) {
			return false
		}
	}
	list, diags := d.tree.Dependencies(&world.Node{}, needs, eval.Each{})
	return !diags.HasErrors() && !slices.ContainsFunc(list, func(i addr.Instance) bool {
		in := d.planner.Finding(i)
		return in == nil || in.Seen == nil
	})
}

// isFailedBlock tells whether the instances of a block, or of a module around it, cannot be told.
func (d *drafter) isFailedBlock(n addr.Node) bool {
	return slices.ContainsFunc(d.found.Failed(), func(f look.Failure) bool {
		return f.Place.IsModule() && f.Place.Module.Contains(n.Module) || f.Place.AllKeys && f.Place.Node == n
	})
}

// Done tells whether an output of the stack can be evaluated after an apply: every instance that it needs is ended well.
func Done(r *look.Planner, o *config.Output, ended func(addr.Instance) bool) bool {
	needs, known := outputNeeds(r.Tree.Root, o)
	if !known {
		return false
	}
	list, diags := r.Tree.Dependencies(&world.Node{}, needs, eval.Each{})
	return !diags.HasErrors() && !slices.ContainsFunc(list, func(i addr.Instance) bool { return !ended(i) })
}
