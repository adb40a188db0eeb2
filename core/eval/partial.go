package eval

import (
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/functions"
)

// PartialText is a text of which parts are not known yet: the known pieces in their order, with one unknown piece between each two.
type PartialText []string

// Partial returns the pieces of the unknown text that an expression has, as far as the expression shows how the text is put together:
// templates, yamlencode and the like of values in which texts are unknown, and locals, variables and outputs made so. It returns false when
// that says no more than the prefix of the unknown value, or something in the text is sensitive.
func (s *Scope) Partial(x hcl.Expression, each Each) (PartialText, bool) {
	p, ok := (&pieces{scope: s, each: each}).of(x)
	if !ok || len(p) < 2 || (len(p) == 2 && p[1] == "") {
		return nil, false
	}
	return p, true
}

// gap stands for an unknown piece while a text is made. No encoding changes it.
const gap = "davit0unknown0piece0of0text"

// pieces finds the pieces of texts in one scope. An unknown piece is always one value that a block has, or one that an encoding puts into
// quotes: what a function makes of a text may have any form, so nothing around it can be relied on.
type pieces struct {
	scope *Scope
	each  Each
	depth int

	ctx       *hcl.EvalContext                            // in a template file or a loop; nil: the scope's
	variables func(name string) (PartialText, bool, bool) // those of a template file; the last says whether there is one
}

// deepestText is how many expressions may lead to each other.
const deepestText = 100

func (p *pieces) value(x hcl.Expression) (cty.Value, bool) {
	if p.ctx != nil {
		v, diags := evaluate(x, p.ctx)
		return v, !diags.HasErrors()
	}
	v, diags := p.scope.Value(x, p.each)
	return v, !diags.HasErrors()
}

// of returns the pieces of an expression's text, false when they cannot be told, or are sensitive.
func (p *pieces) of(x hcl.Expression) (PartialText, bool) {
	p.depth++
	defer func() { p.depth-- }()
	v, ok := p.value(x)
	switch {
	case !ok || p.depth > deepestText || v.ContainsMarked():
		return nil, false
	case v.IsKnown():
		return textOf(v)
	}
	switch x := x.(type) {
	case *hclsyntax.ParenthesesExpr:
		return p.of(x.Expression)
	case *hclsyntax.TemplateWrapExpr:
		return p.of(x.Wrapped)
	case *hclsyntax.TemplateExpr:
		return p.together(x.Parts)
	case *hclsyntax.TemplateJoinExpr:
		return p.joined(x)
	case *hclsyntax.ConditionalExpr:
		if c, ok := p.value(x.Condition); !ok || c.IsMarked() || !c.IsKnown() || c.Type() != cty.Bool || c.IsNull() {
			return nil, false
		} else if c.True() {
			return p.of(x.TrueResult)
		}
		return p.of(x.FalseResult)
	case *hclsyntax.ScopeTraversalExpr:
		return p.followed(x.Traversal, v)
	case *hclsyntax.FunctionCallExpr:
		return p.called(x)
	}
	return nil, false
}

// textOf returns a known value as a template writes it.
func textOf(v cty.Value) (PartialText, bool) {
	text, err := convert.Convert(v, cty.String)
	if err != nil || !text.IsKnown() || text.IsNull() {
		return nil, false
	}
	return PartialText{text.AsString()}, true
}

// unknownPiece returns the pieces of an unknown value.
func unknownPiece(v cty.Value) (PartialText, bool) {
	if v.Type() != cty.String {
		return nil, false
	}
	return PartialText{v.Range().StringPrefix(), ""}, true
}

// together returns the pieces of the parts of a template.
func (p *pieces) together(parts []hclsyntax.Expression) (PartialText, bool) {
	text := PartialText{""}
	for _, part := range parts {
		t, ok := p.of(part)
		if !ok {
			return nil, false
		}
		text = text.append(t)
	}
	return text, true
}

// joined returns the pieces of a loop of a template.
func (p *pieces) joined(x *hclsyntax.TemplateJoinExpr) (PartialText, bool) {
	loop, ok := x.Tuple.(*hclsyntax.ForExpr)
	if !ok {
		return nil, false
	}
	list, ok := p.value(loop.CollExpr)
	if !ok || !list.IsKnown() || list.IsNull() || list.IsMarked() || !list.CanIterateElements() {
		return nil, false
	}
	outer := p.ctx
	if outer == nil {
		ctx, diags := p.scope.Context(References(x), p.each)
		if diags.HasErrors() {
			return nil, false
		}
		outer = ctx
	}
	text := PartialText{""}
	for it := list.ElementIterator(); it.Next(); {
		k, v := it.Element()
		inner := *p
		inner.ctx = outer.NewChild()
		inner.ctx.Variables = map[string]cty.Value{loop.ValVar: v}
		if loop.KeyVar != "" {
			inner.ctx.Variables[loop.KeyVar] = k
		}
		if loop.CondExpr != nil {
			c, ok := inner.value(loop.CondExpr)
			if !ok || c.IsMarked() || !c.IsKnown() || c.Type() != cty.Bool || c.IsNull() {
				return nil, false
			}
			if c.False() {
				continue
			}
		}
		t, ok := inner.of(loop.ValExpr)
		if !ok {
			return nil, false
		}
		text = text.append(t)
	}
	return text, true
}

// followed goes on in the expression that a local, a variable of a module or a module's output is made of. v is the value.
func (p *pieces) followed(t hcl.Traversal, v cty.Value) (PartialText, bool) {
	for ctx := p.ctx; ctx != nil && ctx.Parent() != nil; ctx = ctx.Parent() {
		if _, loop := ctx.Variables[t.RootName()]; loop {
			return nil, false
		}
	}
	if p.variables != nil {
		if text, ok, there := p.variables(t.RootName()); there {
			return text, ok && len(t) == 1
		}
		return nil, false
	}
	r := RefOf(t)
	next := &pieces{scope: p.scope, depth: p.depth}
	var x hcl.Expression
	steps := t[min(2, len(t)):]
	switch s := p.scope; {
	case r.Node.Kind != "":
		return unknownPiece(v)
	case r.Local != "" && s.Module.Locals[r.Local] != nil:
		x = s.Module.Locals[r.Local].Expr
	case r.Var != "" && s.Parent != nil && s.Call.Arguments[r.Var] != nil:
		x, next.scope, next.each = s.Call.Arguments[r.Var].Expr, s.Parent, s.Each
	case r.Call != "" && r.Output != "" && r.Key == nil:
		child := s.Child(r.Call, addr.Key{})
		if child == nil || child.Module.Outputs[r.Output] == nil {
			return nil, false
		}
		x, next.scope, steps = child.Module.Outputs[r.Output].Expr, child, r.Rest
	}
	for _, step := range steps {
		if x = memberOf(x, step); x == nil {
			return nil, false
		}
	}
	if x == nil {
		return nil, false
	}
	return next.of(x)
}

// memberOf is the expression of an object's attribute, nil if it is not written out.
func memberOf(x hcl.Expression, step hcl.Traverser) hcl.Expression {
	if x == nil {
		return nil
	}
	switch step := step.(type) {
	case hcl.TraverseAttr:
		return stepInto(x, cty.GetAttrStep{Name: step.Name})
	case hcl.TraverseIndex:
		return stepInto(x, cty.IndexStep{Key: step.Key})
	}
	return nil
}

var (
	// encoders are the functions that put each text in their argument into quotes, or otherwise make one value of it.
	encoders = []string{"yamlencode", "yamlencode_all", "jsonencode"}
	// joiners are the functions that put the texts in their arguments into their result as they are.
	joiners = []string{"indent", "join", "format"}
	// otherVerbs are verbs of format that change a text.
	otherVerbs = regexp.MustCompile(`%[^sdv%]`)
)

// called returns the pieces of a function's result.
func (p *pieces) called(x *hclsyntax.FunctionCallExpr) (PartialText, bool) {
	encodes, joins := slices.Contains(encoders, x.Name), slices.Contains(joiners, x.Name)
	if x.Name == "templatefile" && len(x.Args) == 2 && p.ctx == nil {
		return p.template(x.Args[0], x.Args[1])
	}
	if (!encodes && !joins) || x.ExpandFinal {
		return nil, false
	}
	f := p.scope.functions()[x.Name]
	args := make([]cty.Value, len(x.Args))
	for i, a := range x.Args {
		v, ok := p.argument(a, encodes)
		if !ok {
			return nil, false
		}
		want := cty.DynamicPseudoType
		if params := f.Params(); i < len(params) {
			want = params[i].Type
		} else if rest := f.VarParam(); rest != nil {
			want = rest.Type
		}
		var err error
		if args[i], err = convert.Convert(v, want); err != nil {
			return nil, false
		}
	}
	if x.Name == "format" && (len(args) == 0 || args[0].Type() != cty.String || otherVerbs.MatchString(args[0].AsString())) {
		return nil, false
	}
	out, err := f.Call(args)
	if err != nil || !out.IsWhollyKnown() || out.IsMarked() || out.IsNull() || out.Type() != cty.String {
		return nil, false
	}
	return strings.Split(out.AsString(), gap), true
}

// argument returns an argument of a function with gaps in place of what is unknown.
func (p *pieces) argument(x hclsyntax.Expression, encodes bool) (cty.Value, bool) {
	v, ok := p.value(x)
	switch {
	case !ok || v.ContainsMarked():
		return cty.NilVal, false
	case v.IsWhollyKnown():
		return v, true
	case encodes:
		return withGaps(v)
	case !v.IsKnown():
		t, ok := p.of(x)
		return cty.StringVal(strings.Join(t, gap)), ok
	}
	list, ok := x.(*hclsyntax.TupleConsExpr)
	if !ok {
		return cty.NilVal, false
	}
	elements := make([]cty.Value, len(list.Exprs))
	for i, e := range list.Exprs {
		t, ok := p.of(e)
		if !ok {
			return cty.NilVal, false
		}
		elements[i] = cty.StringVal(strings.Join(t, gap))
	}
	return cty.TupleVal(elements), true
}

// withGaps puts gaps in place of the unknown texts in a value. It returns false when something else in it is unknown.
func withGaps(v cty.Value) (cty.Value, bool) {
	ok := true
	v, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if v.IsKnown() {
			return v, nil
		}
		if v.Type() != cty.String {
			ok = false
			return v, nil
		}
		return cty.StringVal(v.Range().StringPrefix() + gap), nil
	})
	return v, ok && err == nil
}

// template returns the pieces of a template file's text.
func (p *pieces) template(path, variables hcl.Expression) (PartialText, bool) {
	name, ok1 := p.value(path)
	vars, ok2 := p.value(variables)
	if !ok1 || !ok2 || !name.IsKnown() || name.ContainsMarked() || name.IsNull() || name.Type() != cty.String || !vars.IsKnown() || vars.IsMarked() || vars.IsNull() ||
		(!vars.Type().IsMapType() && !vars.Type().IsObjectType()) {
		return nil, false
	}
	x, library, err := functions.Template(p.scope.folders(), name.AsString())
	if err != nil {
		return nil, false
	}
	ctx := &hcl.EvalContext{Variables: vars.AsValueMap(), Functions: library}
	p.scope.shared.limit().Bind(ctx)
	variable := func(name string) (PartialText, bool, bool) {
		x := memberOf(variables, hcl.TraverseAttr{Name: name})
		if x == nil {
			return nil, false, vars.Type().IsMapType() || vars.Type().HasAttribute(name)
		}
		t, ok := p.of(x)
		return t, ok, true
	}
	return (&pieces{scope: p.scope, ctx: ctx, variables: variable, depth: p.depth}).of(x)
}

// append returns both texts together.
func (t PartialText) append(more PartialText) PartialText {
	out := slices.Clone(t)
	out[len(out)-1] += more[0]
	return append(out, more[1:]...)
}
