package eval

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
)

// Ref is one reference that an expression makes. One of Node, Var, Local, Call, Instance and Bad says to what.
type Ref struct {
	// Node is the block that is meant, in the module of the expression.
	Node addr.Node
	// Var or Local is the name of what is meant, Call that of a module block.
	Var, Local, Call string
	// Output is the output of the called module; empty when all of it is meant.
	Output string
	// Key is the index after the name of a block or of a call, nil if there is none: then all instances are meant.
	Key hcl.Expression
	// Rest are the steps after the block and its index.
	Rest  hcl.Traversal
	Range hcl.Range
	// Instance is "each", "count" or "self": what an instance's own expressions see.
	Instance string
	// Bad says why this cannot be a reference.
	Bad string
}

// References returns the references of an expression, in no particular order. Names that a
// `for` binds, the bound ones, and path are none.
func References(expr hcl.Expression, bound ...string) []Ref {
	node, ok := expr.(hclsyntax.Expression)
	if !ok { // none, or a value that is known already
		return nil
	}
	w := &refWalker{}
	if len(bound) > 0 {
		names := map[string]struct{}{}
		for _, b := range bound {
			names[b] = struct{}{}
		}
		w.scopes = append(w.scopes, names)
	}
	switch n := node.(type) { // the most common ones need no walk
	case *hclsyntax.LiteralValueExpr:
		return nil
	case *hclsyntax.ScopeTraversalExpr:
		w.add(n.Traversal)
		return w.refs
	}
	_ = hclsyntax.Walk(node, w)
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
		if c, ok := n.Collection.(*hclsyntax.ScopeTraversalExpr); ok && w.isWhole(c.Traversal) {
			ref := w.reference(c.Traversal)
			ref.Key, ref.Rest = n.Key, w.rest[n]
			ref.takeOutput()
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

// isWhole tells whether a traversal names a block or a call, and nothing in it.
func (w *refWalker) isWhole(t hcl.Traversal) bool {
	root := t.RootName()
	return (len(t) == 3 && w.isKind(root)) || (len(t) == 2 && root == "module" && !w.bound(root))
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
	case root == "path":
	default:
		w.refs = append(w.refs, w.reference(t))
	}
}

func (w *refWalker) reference(t hcl.Traversal) Ref {
	switch root := t.RootName(); {
	case w.isKind(root):
		return blockRef(t)
	case root == "var" || root == "local" || root == "module":
		return nameRef(t)
	case root == "each" || root == "count" || root == "self":
		return Ref{Range: t.SourceRange(), Instance: root}
	default:
		return Ref{Range: t.SourceRange(), Bad: root}
	}
}

// WholeBlock returns the reference of an expression that names a block, or one of its instances, and nothing in it. It returns false for
// any other expression.
func WholeBlock(expr hcl.Expression) (Ref, bool) {
	var ref Ref
	switch n := expr.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		ref = RefOf(n.Traversal)
	case *hclsyntax.IndexExpr:
		c, ok := n.Collection.(*hclsyntax.ScopeTraversalExpr)
		if !ok || len(c.Traversal) != 3 {
			return Ref{}, false
		}
		ref = RefOf(c.Traversal)
		ref.Key = n.Key
	}
	return ref, ref.Node.Kind != "" && len(ref.Rest) == 0
}

// RefOf makes a reference of a traversal that stands alone, as in depends_on.
func RefOf(t hcl.Traversal) Ref { return (&refWalker{}).reference(t) }

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
	case t.RootName() == "local":
		ref.Local = step.Name
	default:
		ref.Call = step.Name
		ref.Rest = t[2:]
		ref.takeKey()
		ref.takeOutput()
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
	ref.takeKey()
	return ref
}

// takeKey takes an index off the rest.
func (r *Ref) takeKey() {
	if len(r.Rest) > 0 {
		if index, ok := r.Rest[0].(hcl.TraverseIndex); ok {
			r.Key = hcl.StaticExpr(index.Key, index.SrcRange)
			r.Rest = r.Rest[1:]
		}
	}
}

// takeOutput takes the name of a module's output off the rest.
func (r *Ref) takeOutput() {
	if r.Call == "" || len(r.Rest) == 0 {
		return
	}
	if step, ok := r.Rest[0].(hcl.TraverseAttr); ok {
		r.Output, r.Rest = step.Name, r.Rest[1:]
	}
}
