package eval

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
)

// Ref is one reference that an expression makes.
type Ref struct {
	// Node is the block that is meant; its Kind is empty for a variable or a local.
	Node addr.Node
	// Var or Local is the name of what is meant, if it is no block.
	Var, Local string
	// Key is the index after the block's name, nil if there is none: then all instances are meant.
	Key hcl.Expression
	// Rest are the steps after the block and its index.
	Rest  hcl.Traversal
	Range hcl.Range
	// Bad says why this cannot be a reference.
	Bad string
}

// References returns the references of an expression, in no particular order. Names that a
// `for` binds, and each, count and path, are none.
func References(expr hcl.Expression) []Ref {
	node, ok := expr.(hclsyntax.Expression)
	if !ok {
		return nil
	}
	w := &refWalker{}
	hclsyntax.Walk(node, w)
	return w.refs
}

type refWalker struct {
	refs   []Ref
	scopes []map[string]struct{}
	// taken are the traversals that an IndexExpr around them has dealt with already.
	taken map[*hclsyntax.ScopeTraversalExpr]bool
	// rest are the steps that a RelativeTraversalExpr adds to the index in it.
	rest map[*hclsyntax.IndexExpr]hcl.Traversal
}

func (w *refWalker) Enter(n hclsyntax.Node) hcl.Diagnostics {
	switch n := n.(type) {
	case hclsyntax.ChildScope:
		w.scopes = append(w.scopes, n.LocalNames)
	case *hclsyntax.RelativeTraversalExpr:
		if index, ok := n.Source.(*hclsyntax.IndexExpr); ok {
			if w.rest == nil {
				w.rest = map[*hclsyntax.IndexExpr]hcl.Traversal{}
			}
			w.rest[index] = n.Traversal
		}
	case *hclsyntax.IndexExpr:
		if c, ok := n.Collection.(*hclsyntax.ScopeTraversalExpr); ok && len(c.Traversal) == 3 && w.isKind(c.Traversal.RootName()) {
			ref := blockRef(c.Traversal)
			ref.Key, ref.Rest = n.Key, w.rest[n]
			w.refs = append(w.refs, ref)
			if w.taken == nil {
				w.taken = map[*hclsyntax.ScopeTraversalExpr]bool{}
			}
			w.taken[c] = true
		}
	case *hclsyntax.ScopeTraversalExpr:
		if !w.taken[n] {
			w.add(n.Traversal)
		}
	}
	return nil
}

func (w *refWalker) Exit(n hclsyntax.Node) hcl.Diagnostics {
	if _, ok := n.(hclsyntax.ChildScope); ok {
		w.scopes = w.scopes[:len(w.scopes)-1]
	}
	return nil
}

func (w *refWalker) bound(name string) bool {
	for _, s := range w.scopes {
		if _, ok := s[name]; ok {
			return true
		}
	}
	return false
}

func (w *refWalker) isKind(name string) bool {
	return slices.Contains(config.Kinds, name) && !w.bound(name)
}

func (w *refWalker) add(t hcl.Traversal) {
	root := t.RootName()
	switch {
	case w.bound(root):
	case w.isKind(root):
		w.refs = append(w.refs, blockRef(t))
	case root == "var" || root == "local":
		w.refs = append(w.refs, nameRef(t))
	case root == "each" || root == "count" || root == "path" || root == "self":
	default:
		w.refs = append(w.refs, Ref{Range: t.SourceRange(), Bad: root})
	}
}

// RefOf makes a reference of a traversal that stands alone, as in depends_on.
func RefOf(t hcl.Traversal) Ref {
	w := &refWalker{}
	w.add(t)
	if len(w.refs) == 0 {
		return Ref{Range: t.SourceRange(), Bad: t.RootName()}
	}
	return w.refs[0]
}

func nameRef(t hcl.Traversal) Ref {
	ref := Ref{Range: t.SourceRange()}
	step, ok := hcl.TraverseAttr{}, false
	if len(t) > 1 {
		step, ok = t[1].(hcl.TraverseAttr)
	}
	switch {
	case !ok:
		ref.Bad = t.RootName()
	case t.RootName() == "var":
		ref.Var = step.Name
	default:
		ref.Local = step.Name
	}
	return ref
}

func blockRef(t hcl.Traversal) Ref {
	ref := Ref{Range: t.SourceRange()}
	if len(t) < 3 {
		ref.Bad = t.RootName()
		return ref
	}
	typ, ok1 := t[1].(hcl.TraverseAttr)
	name, ok2 := t[2].(hcl.TraverseAttr)
	if !ok1 || !ok2 {
		ref.Bad = t.RootName()
		return ref
	}
	ref.Node = addr.Node{Kind: t.RootName(), Type: typ.Name, Name: name.Name}
	ref.Rest = t[3:]
	if len(t) > 3 {
		if index, ok := t[3].(hcl.TraverseIndex); ok {
			ref.Key = hcl.StaticExpr(index.Key, index.SrcRange)
			ref.Rest = t[4:]
		}
	}
	return ref
}
