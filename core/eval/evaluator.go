package eval

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
)

// Evaluator evaluates the expressions of one body. Most of them are literals, or name one attribute of a block: nothing is prepared
// for those. The context of the others is made when the first one comes.
type Evaluator struct {
	scope *Scope
	refs  []Ref
	each  Each
	ctx   *hcl.EvalContext
	wrong bool // the context could not be made
}

// Evaluator returns one for expressions with these references.
func (s *Scope) Evaluator(refs []Ref, each Each) *Evaluator {
	return &Evaluator{scope: s, refs: refs, each: each}
}

// context makes the context. What is wrong with it is told once; without it everything is unknown.
func (e *Evaluator) context() (*hcl.EvalContext, hcl.Diagnostics) {
	if e.ctx != nil || e.wrong {
		return e.ctx, nil
	}
	ctx, diags := e.scope.Context(e.refs, e.each)
	if e.wrong = diags.HasErrors(); !e.wrong {
		e.ctx = ctx
	}
	return e.ctx, diags
}

// Value evaluates an expression.
func (e *Evaluator) Value(x hcl.Expression) (cty.Value, hcl.Diagnostics) {
	switch x := x.(type) {
	case *hclsyntax.LiteralValueExpr:
		return x.Val, nil
	case *hclsyntax.TemplateExpr:
		if x.IsStringLiteral() {
			return x.Value(nil)
		}
	case *hclsyntax.ScopeTraversalExpr:
		if v, ok := e.attribute(x.Traversal); ok {
			return v, nil
		}
	}
	ctx, diags := e.context()
	if e.wrong {
		return cty.DynamicVal, diags
	}
	v, more := evaluate(x, ctx)
	return v, append(diags, more...)
}

// attribute finds what a reference to an attribute of a block means. It returns false when that is something else, or not known
// yet, or a mistake.
func (e *Evaluator) attribute(t hcl.Traversal) (cty.Value, bool) {
	if len(t) < 4 || !slices.Contains(config.Kinds, t.RootName()) {
		return cty.NilVal, false
	}
	typ, ok1 := t[1].(hcl.TraverseAttr)
	name, ok2 := t[2].(hcl.TraverseAttr)
	at := addr.Instance{Node: addr.Node{Module: e.scope.Path, Kind: t.RootName(), Type: typ.Name, Name: name.Name}}
	t = t[3:]
	index, indexed := t[0].(hcl.TraverseIndex)
	if indexed {
		if at.Key, ok1 = addr.KeyFromValue(index.Key); len(t) == 1 {
			return cty.NilVal, false
		}
		t = t[1:]
	}
	attr, ok3 := t[0].(hcl.TraverseAttr)
	if _, expanded := e.scope.shared.instances.Keys(at.Node); !ok1 || !ok2 || !ok3 || expanded != indexed {
		return cty.NilVal, false
	}
	v, ok := e.scope.shared.instances.Attribute(at, attr.Name)
	if !ok || len(t) == 1 {
		return v, ok
	}
	v, diags := t[1:].TraverseRel(v)
	return v, !diags.HasErrors()
}
