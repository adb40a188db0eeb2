package world

import (
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/eval"
)

// Index is a tree looked up the other way round.
type Index struct {
	Dependants map[addr.Instance][]*Instance // by what they depend on
	Expanding  map[addr.Instance]bool        // instances that a for_each or count is made of
	Users      map[string][]*Node            // by the variables that they use
}

// NewIndex makes the index of a tree of which everything is expanded.
func NewIndex(t *Tree) *Index {
	x := &Index{Dependants: map[addr.Instance][]*Instance{}, Expanding: map[addr.Instance]bool{}, Users: map[string][]*Node{}}
	for _, n := range t.nodes {
		for in := range n.All() {
			for _, d := range in.Deps {
				x.Dependants[d] = append(x.Dependants[d], in)
			}
		}
		expansion, _ := t.Dependencies(n, n.expansion, eval.Each{})
		for _, d := range expansion {
			x.Expanding[d] = true
		}
		for _, v := range n.variables() {
			x.Users[v] = append(x.Users[v], n)
		}
	}
	return x
}

// variables returns the names of the variables that a block uses, for its instances as well.
func (n *Node) variables() []string {
	list := n.Scope.Variables(slices.Concat(n.References, n.DependsOn, n.Triggers, n.Expansion))
	for s := n.Scope; s.Parent != nil; s = s.Parent {
		for _, x := range []hcl.Expression{s.Call.ForEach, s.Call.Count} {
			list = append(list, s.Parent.Variables(eval.References(x))...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// SameInstances expands a block again. It tells whether its instances are the same and depend on the same ones, and keeps
// what each of them sees.
func (t *Tree) SameInstances(n *Node) bool {
	if len(n.Scope.Path) > 0 {
		for s := n.Scope; s.Parent != nil; s = s.Parent {
			if s.Call.ForEach != nil || s.Call.Count != nil {
				return false // the module's instances may be others
			}
		}
	}
	list, diags := n.Scope.Expand(n.Addr.String(), n.Block.ForEach, n.Block.Count)
	if diags.HasErrors() || len(list) != n.count() {
		return false
	}
	for _, each := range list {
		in := n.Find(each.Key)
		if in == nil {
			return false
		}
		in.Each = each
		if deps, diags := t.instanceDependencies(n, each); diags.HasErrors() || !slices.Equal(deps, in.Deps) {
			return false
		}
	}
	return true
}
