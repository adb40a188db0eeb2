package carry

import (
	"fmt"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
)

// prepare makes the instances of the plan, with the dependencies that the plan has written down.
func (a *applying) prepare() hcl.Diagnostics {
	a.tree.Root.OnDemand(a.expandCall)
	a.tree.ExpandStatic(a.tree.Root)
	a.nodesOf(a.tree.Root)
	var diags hcl.Diagnostics
	add := func(address string, dependsOn []string) *look.Finding {
		at, err := addr.Parse(address)
		b := a.input.Declared(at.Node)
		if err != nil || b == nil {
			diags = append(diags, diag.Plain("The plan cannot be applied", fmt.Sprintf("It names %s, which the stack does not have.", address)))
			return nil
		}
		in := &world.Instance{Addr: at, Node: a.tree.NodeAt(at.Node, b)}
		for _, d := range dependsOn {
			if dep, err := addr.Parse(d); err == nil {
				in.Deps = append(in.Deps, dep)
			}
		}
		in.Node.Add(in)
		return a.found.About(in)
	}
	for i := range a.plan.Observations {
		o := &a.plan.Observations[i]
		if in := add(o.Address, o.DependsOn); in != nil {
			in.Observation = o
		}
	}
	for i := range a.plan.Changes {
		c := &a.plan.Changes[i]
		if gone(c, a) {
			continue
		}
		if in := add(c.Address, c.DependsOn); in != nil {
			in.Change = c
		}
	}
	if a.plan.Mode == plan.ModeRefresh {
		for _, address := range a.plan.NotInIt() {
			if in := add(address, nil); in != nil {
				in.Seen = in.Node.Type.See(cty.NilVal, in.Node.Type.UnknownOutputs())
			}
		}
	}
	a.ends = a.endings()
	return diags
}

// gone tells whether a change is about an instance that no block stands for.
func gone(c *plan.Change, a *applying) bool {
	return c.Action == plan.Delete || (c.Action == plan.Forget && a.plan.Mode != plan.ModeRefresh)
}

// nodesOf makes the nodes of a module instance and of those that it calls, as far as they are expanded.
func (a *applying) nodesOf(s *eval.Scope) {
	for _, n := range s.Module.Order {
		a.tree.NewNode(s, s.Module.Blocks[n])
	}
	for _, name := range s.Module.CallOrder {
		if call := s.Module.Calls[name]; call.ForEach == nil && call.Count == nil {
			for _, child := range s.Children(name) {
				a.nodesOf(child)
			}
		}
	}
}

// expandCall makes the instances of a call when something needs them: all that they are made of is done by then.
func (a *applying) expandCall(s *eval.Scope, call *config.Call) {
	once, _ := a.calls.LoadOrStore(eval.Pending{Scope: s, Call: call}, &sync.Once{})
	once.(*sync.Once).Do(func() {
		each, diags := s.Expand("module."+call.Name, call.ForEach, call.Count)
		a.found.Report(diags...)
		for _, child := range s.Expanded(call, each) {
			a.tree.ExpandStatic(child)
			a.nodesOf(child)
		}
	})
}

// scopeOf finds the scope of a module instance.
func (a *applying) scopeOf(m addr.Module) *eval.Scope {
	steps, err := m.Steps()
	if err != nil {
		return nil
	}
	s := a.tree.Root
	for _, step := range steps {
		if s.Children(step.Name); s.Child(step.Name, step.Key) == nil {
			return nil
		}
		s = s.Child(step.Name, step.Key)
	}
	return s
}

// eachOf finds what each.key and each.value were for an instance.
func (a *applying) eachOf(in *look.Finding) (eval.Each, hcl.Diagnostics) {
	n := in.Node
	over, overInstances := n.EachOver()
	n.EachOnce.Do(func() {
		s := n.Planted()
		if s == nil {
			s = a.scopeOf(n.Addr.Module)
			n.PlaceIn(s)
		}
		if s == nil {
			n.EachDiags = hcl.Diagnostics{in.Errorf("the plan is stale", "The stack no longer expands to this module. Plan again.")}
			return
		}
		if !n.Expanded || overInstances {
			return
		}
		list, diags := n.Scope.Expand(n.Addr.String(), n.Block.ForEach, n.Block.Count)
		n.EachDiags, n.Each = diags, make(map[addr.Key]eval.Each, len(list))
		for _, e := range list {
			n.Each[e.Key] = e
		}
	})
	if n.EachDiags.HasErrors() || !n.Expanded {
		return eval.Each{}, n.EachDiags
	}
	if overInstances {
		// Only the one that this instance stands for is done by now: the others may be at work.
		one := addr.Instance{Node: over.In(n.Scope.Path), Key: in.Addr.Key}
		if up := a.planner.Finding(one); up != nil {
			return eval.Each{Key: in.Addr.Key, Value: a.tree.Value(one)}, nil
		}
	}
	e, ok := n.Each[in.Addr.Key]
	if !ok {
		return eval.Each{}, hcl.Diagnostics{in.Errorf("the plan is stale", "The stack no longer expands to this instance. Plan again.")}
	}
	return e, nil
}
