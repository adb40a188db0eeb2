package functions

import (
	"errors"
	"maps"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/davit-sh/davit/core/limit"
)

// Template returns the syntax tree of a template file and the functions that it may call.
func Template(in Folders, name string) (hclsyntax.Expression, map[string]function.Function, error) {
	src, err := append(folders{in.Module}, in.Also...).read(name)
	if err != nil {
		return nil, nil, err
	}
	x, diags := hclsyntax.ParseTemplate(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, nil, diags
	}
	limit.Guard(x)
	all := All(in)
	delete(all, "templatefile")
	delete(all, "templatestring")
	return x, all, nil
}

// templateLibrary makes the functions that evaluate templates. A template calls neither of them, so that templates end.
type templateLibrary struct {
	plain map[string]function.Function // every function but those of templates
	files map[string]function.Function // those of plain that read files
	limit func() *limit.Limit
}

// file makes templatefile.
func (l templateLibrary) file(in folders) function.Function {
	inner := maps.Clone(l.plain)
	for _, name := range []string{"templatefile", "templatestring"} {
		inner[name] = refused("a template cannot evaluate another template")
	}
	eval := func(args []cty.Value) (cty.Value, error) {
		name := args[0].AsString()
		src, err := in.read(name)
		if err != nil {
			return cty.NilVal, err
		}
		return render(src, name, args[1], inner, l.limit())
	}
	return function.New(&function.Spec{
		Description: "Evaluates a file of the stack's folder as a template with these variables.",
		Params:      []function.Parameter{{Name: "path", Type: cty.String}, {Name: "variables", Type: cty.DynamicPseudoType}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if !args[0].IsKnown() || !args[1].IsKnown() {
				return cty.DynamicPseudoType, nil
			}
			v, err := eval(args)
			return v.Type(), err
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return eval(args) },
	})
}

// text makes templatestring. Its templates come from anywhere, so they read no files.
func (l templateLibrary) text() function.Function {
	inner := maps.Clone(l.plain)
	for _, name := range []string{"templatefile", "templatestring"} {
		inner[name] = refused("a template cannot evaluate another template")
	}
	for name := range l.files {
		inner[name] = refused("a template of templatestring cannot read files: pass the file's text as a variable")
	}
	return function.New(&function.Spec{
		Description: "Evaluates the text of a reference, such as local.greeting, as a template with these variables.",
		Params:      []function.Parameter{{Name: "reference", Type: customdecode.ExpressionClosureType}, {Name: "variables", Type: cty.DynamicPseudoType}},
		Type:        function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			c := customdecode.ExpressionClosureFromVal(args[0])
			if !isReference(c.Expression) {
				return cty.NilVal, function.NewArgErrorf(0, "must be a reference to a text, such as local.greeting; a text in quotes is already a template")
			}
			v, diags := c.Value()
			if diags.HasErrors() {
				return cty.NilVal, function.NewArgErrorf(0, "%s", diags[0].Summary)
			}
			v, marks := v.Unmark()
			switch {
			case !v.IsKnown():
				return cty.UnknownVal(cty.String).WithMarks(marks), nil
			case v.Type() != cty.String || v.IsNull():
				return cty.NilVal, function.NewArgErrorf(0, "must be a text")
			}
			v, err := render([]byte(v.AsString()), "the template", args[1], inner, l.limit())
			if err == nil {
				v, err = convert.Convert(v, cty.String)
			}
			if err != nil {
				return cty.NilVal, err
			}
			return v.WithMarks(marks), nil
		},
	})
}

// isReference tells whether an expression leads to a value that stands elsewhere.
func isReference(x hcl.Expression) bool {
	switch x := x.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		return true
	case *hclsyntax.RelativeTraversalExpr:
		return isReference(x.Source)
	case *hclsyntax.IndexExpr:
		return isReference(x.Collection)
	case *hclsyntax.ParenthesesExpr:
		return isReference(x.Expression)
	}
	return false
}

// refusal is why a function cannot be called in a template.
type refusal string

func (r refusal) Error() string { return string(r) }

// refused makes a function that is an error to call.
func refused(why refusal) function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "args", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true},
		Type:     func([]cty.Value) (cty.Type, error) { return cty.NilType, why },
		Impl:     func([]cty.Value, cty.Type) (cty.Value, error) { return cty.NilVal, why },
	})
}

// render evaluates a template. name says where it is from, in messages.
func render(src []byte, name string, variables cty.Value, functions map[string]function.Function, bound *limit.Limit) (cty.Value, error) {
	expr, diags := hclsyntax.ParseTemplate(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, function.NewArgErrorf(0, "%s", diags[0].Error())
	}
	if t := variables.Type(); !t.IsMapType() && !t.IsObjectType() {
		return cty.NilVal, function.NewArgErrorf(1, "the variables must be a map, not %s", t.FriendlyName())
	}
	vars := variables.AsValueMap()
	for v := range vars {
		if !hclsyntax.ValidIdentifier(v) {
			return cty.NilVal, function.NewArgErrorf(1, "%q is not a name that a template can use", v)
		}
	}
	for _, t := range expr.Variables() {
		if _, ok := vars[t.RootName()]; !ok {
			return cty.NilVal, function.NewArgErrorf(1, "the variables have no %q, which %s uses", t.RootName(), t.SourceRange())
		}
	}
	limit.Guard(expr)
	ctx := &hcl.EvalContext{Variables: vars, Functions: functions}
	bound.Bind(ctx)
	v, diags := expr.Value(ctx)
	if d := bound.Exceeded(); d != nil {
		return cty.NilVal, function.NewArgErrorf(0, "%s: %s", d.Subject, d.Summary)
	}
	if diags.HasErrors() {
		return cty.NilVal, function.NewArgErrorf(1, "%s: %s", diags[0].Subject, reason(diags[0]))
	}
	if v.IsKnown() && v.IsNull() {
		return cty.NilVal, function.NewArgErrorf(1, "the result of %s is null", name)
	}
	return v, nil
}

// reason says what is wrong in a template. The details of most mistakes are left out: they may show a sensitive value.
func reason(d *hcl.Diagnostic) string {
	call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d)
	if !ok {
		return d.Summary
	}
	if why, ok := errors.AsType[refusal](call.FunctionCallError()); ok {
		return why.Error()
	}
	return d.Summary + " of " + call.CalledFunctionName()
}
