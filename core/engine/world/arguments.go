package world

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/davit-sh/davit/core/eval"
)

// ArgumentsFrom returns the names of the arguments and nested blocks of a block whose expressions lead to a block of one of the kinds, by
// a reference or through locals, variables and modules. They are sorted.
func (n *Node) ArgumentsFrom(kinds ...string) []string {
	body, ok := n.Block.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	leads := func(x hcl.Expression) bool {
		needs, _ := n.Scope.Needs(eval.References(x))
		return slices.ContainsFunc(needs, func(need eval.Need) bool { return slices.Contains(kinds, need.Node.Kind) })
	}
	var names []string
	for name, a := range body.Attributes {
		if n.Type.ConfigType.HasAttribute(name) && leads(a.Expr) {
			names = append(names, name)
		}
	}
	for _, b := range body.Blocks {
		if n.Type.ConfigType.HasAttribute(b.Type) && anyExpression(b.Body, leads) {
			names = append(names, b.Type)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// anyExpression tells whether something holds for an argument of a block, or of a block in it.
func anyExpression(body *hclsyntax.Body, holds func(hcl.Expression) bool) bool {
	for _, a := range body.Attributes {
		if holds(a.Expr) {
			return true
		}
	}
	return slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return anyExpression(b.Body, holds) })
}
