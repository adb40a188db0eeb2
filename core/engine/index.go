package engine

import (
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/eval"
)

// index is a tree looked up the other way round.
type index struct {
	dependants map[addr.Instance][]*instance // by what they depend on
	expanding  map[addr.Instance]bool        // instances that a for_each or count is made of
	users      map[string][]*node            // by the variables that they use
}

// newIndex makes the index of a tree of which everything is expanded.
func newIndex(t *Tree) *index {
	x := &index{dependants: map[addr.Instance][]*instance{}, expanding: map[addr.Instance]bool{}, users: map[string][]*node{}}
	for _, n := range t.nodes {
		for in := range n.all() {
			for _, d := range in.deps {
				x.dependants[d] = append(x.dependants[d], in)
			}
		}
		expansion, _ := t.dependencies(n, n.expansion, eval.Each{})
		for _, d := range expansion {
			x.expanding[d] = true
		}
		for _, v := range n.variables() {
			x.users[v] = append(x.users[v], n)
		}
	}
	return x
}

// variables returns the names of the variables that a block uses, for its instances as well.
func (n *node) variables() []string {
	list := n.scope.Variables(slices.Concat(n.own, n.dependsOn, n.triggers, n.form.expansion))
	for s := n.scope; s.Parent != nil; s = s.Parent {
		for _, x := range []hcl.Expression{s.Call.ForEach, s.Call.Count} {
			list = append(list, s.Parent.Variables(eval.References(x))...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// sameInstances expands a block again. It tells whether its instances are the same and depend on the same ones, and keeps
// what each of them sees.
func (t *Tree) sameInstances(n *node) bool {
	if len(n.scope.Path) > 0 {
		for s := n.scope; s.Parent != nil; s = s.Parent {
			if s.Call.ForEach != nil || s.Call.Count != nil {
				return false // the module's instances may be others
			}
		}
	}
	list, diags := n.scope.Expand(n.addr.String(), n.block.ForEach, n.block.Count)
	if diags.HasErrors() || len(list) != n.count() {
		return false
	}
	for _, each := range list {
		in := n.at(each.Key)
		if in == nil {
			return false
		}
		in.each = each
		if deps, diags := t.instanceDependencies(n, each); diags.HasErrors() || !slices.Equal(deps, in.deps) {
			return false
		}
	}
	return true
}
