package eval

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/limit"
)

// Given is a value for a variable from outside of the stack. Later ones win over earlier ones.
type Given struct {
	Name string
	// Text is what a command line or the environment says: the value itself for a variable of type string,
	// number or bool, or without a type, an expression for others. Expr is what a file says. One of them is set.
	Text *string
	Expr hcl.Expression
	From string // "-var", "DAVIT_VAR_x", "prod.hclvars:3"
	// Stray says that the value may be meant for another stack: one for a variable that is not declared is left alone.
	Stray bool
}

// Unset gives each variable without a default a value that is not known: for who only checks a stack.
func Unset(stack *config.Module) []Given {
	var list []Given
	for name, v := range stack.Variables {
		if v.Default == nil {
			list = append(list, Given{Name: name, Expr: hcl.StaticExpr(cty.DynamicVal, v.Range), From: "nobody"})
		}
	}
	return list
}

// Variables finds the values of a stack's variables. Sensitive ones are marked. Evaluations end when stop is closed; a nil one never is.
func Variables(stack *config.Module, given []Given, stop <-chan struct{}) (map[string]cty.Value, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	last := map[string]Given{}
	for _, g := range given {
		if stack.Variables[g.Name] == nil && g.Stray {
			continue
		}
		if stack.Variables[g.Name] == nil {
			diags = append(diags, diag.Plain("Unknown variable",
				fmt.Sprintf("%s gives a value for %q, but the stack has no such variable.%s", g.From, g.Name, diag.DidYouMean(g.Name, slices.Collect(maps.Keys(stack.Variables))))))
			continue
		}
		last[g.Name] = g
	}
	values := map[string]cty.Value{}
	for _, name := range slices.Sorted(maps.Keys(stack.Variables)) {
		v := stack.Variables[name]
		value, more := variable(v, last[name], stop)
		diags = append(diags, more...)
		if v.Sensitive {
			value = value.Mark(Sensitive)
		}
		values[name] = value
	}
	if diags.HasErrors() {
		return values, diags
	}
	return values, append(diags, validate(stack, values, stop)...)
}

func variable(v *config.Variable, g Given, stop <-chan struct{}) (cty.Value, hcl.Diagnostics) {
	want, defaults, diags := cty.DynamicPseudoType, (*typeexpr.Defaults)(nil), hcl.Diagnostics(nil)
	if v.Type != nil {
		want, defaults, diags = typeexpr.TypeConstraintWithDefaults(v.Type)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
	}
	value, from, diags := rawVariable(v, g, want, stop)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if defaults != nil && value.IsKnown() && !value.IsNull() {
		value = defaults.Apply(value)
	}
	converted, err := convert.Convert(value, want)
	if err != nil {
		return cty.DynamicVal, hcl.Diagnostics{diag.Errorf(v.Range, "Wrong type of value", "Variable %q must be %s. The value comes from %s.", v.Name, mismatch(want, value, err), from)}
	}
	if converted.IsKnown() && converted.IsNull() && !v.Nullable {
		return cty.DynamicVal, hcl.Diagnostics{diag.Errorf(v.Range, "Variable is null", "Variable %q must not be null. The value comes from %s.", v.Name, from)}
	}
	return converted, nil
}

func rawVariable(v *config.Variable, g Given, want cty.Type, stop <-chan struct{}) (value cty.Value, from string, diags hcl.Diagnostics) {
	switch {
	case g.Expr != nil:
		value, diags = constant(g.Expr, limit.New(stop))
	case g.Text != nil && (want.IsPrimitiveType() || want == cty.DynamicPseudoType):
		value = cty.StringVal(*g.Text)
	case g.Text != nil:
		value, diags = expression(v, g, want, stop)
	case v.Default != nil:
		value, diags = constant(v.Default, limit.New(stop))
		g.From = "its default"
	default:
		diags = hcl.Diagnostics{diag.Errorf(v.Range, "Variable without a value",
			"Variable %q has no default. Give it a value with -var %s=..., in a *.auto.hclvars file, or in the environment as DAVIT_VAR_%s.", v.Name, v.Name, v.Name)}
	}
	return value, g.From, diags
}

// constant evaluates an expression that can refer to nothing.
func constant(x hcl.Expression, bound *limit.Limit) (cty.Value, hcl.Diagnostics) {
	if _, ok := x.(hclsyntax.Expression); !ok {
		return x.Value(nil) // it is known already
	}
	ctx := &hcl.EvalContext{}
	bound.Bind(ctx)
	v, diags := x.Value(ctx)
	if d := bound.Exceeded(); d != nil {
		return cty.DynamicVal, hcl.Diagnostics{d}
	}
	return v, diags
}

// expression reads the text of a value that is a collection.
func expression(v *config.Variable, g Given, want cty.Type, stop <-chan struct{}) (cty.Value, hcl.Diagnostics) {
	expr, diags := hclsyntax.ParseExpression([]byte(*g.Text), g.From, hcl.InitialPos)
	if !diags.HasErrors() {
		limit.Guard(expr)
		bound := limit.New(stop)
		var value cty.Value
		if value, diags = constant(expr, bound); !diags.HasErrors() || bound.Exceeded() != nil {
			return value, diags
		}
	}
	why := ""
	if !v.Sensitive { // else it would show a part of the value
		why = ": " + strings.TrimSuffix(diags[0].Detail, ".")
	}
	return cty.DynamicVal, hcl.Diagnostics{diag.Errorf(v.Range, "Value cannot be read",
		"Variable %q must be %s, but the value from %s cannot be read as one%s. Write it as in a file, with strings in quotes.", v.Name, withArticle(want.FriendlyNameForConstraint()), g.From, why)}
}

// validate checks the validation blocks of the root module's variables.
func validate(stack *config.Module, values map[string]cty.Value, stop <-chan struct{}) hcl.Diagnostics {
	scope := NewScope(stack, values, nil)
	scope.StopOn(stop)
	var diags hcl.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(stack.Variables)) {
		diags = append(diags, scope.validateVariable(name, stack.Variables[name].Range)...)
	}
	return diags
}

// validateVariable checks the validation blocks of a variable, whose value must be there. at is where the value comes from.
func (s *Scope) validateVariable(name string, at hcl.Range) hcl.Diagnostics {
	v := s.Module.Variables[name]
	refs := validationReferences(v)
	if d := s.needsNothing(v, refs); d != nil {
		return hcl.Diagnostics{d}
	}
	if len(refs) == 0 && len(v.Validations) == 0 {
		return nil
	}
	ctx, diags := s.Context(refs, Each{})
	if diags.HasErrors() {
		return diags
	}
	for _, rule := range v.Validations {
		r := CheckCondition(rule, ctx)
		diags = append(diags, r.Diagnostics...)
		if r.Status == Failed {
			diags = append(diags, diag.Errorf(at, "Invalid value for variable "+v.Name, "%s", r.Message))
		}
	}
	return diags
}

// needsNothing refuses validations that need blocks: values of variables must be known before any block is looked at.
func (s *Scope) needsNothing(v *config.Variable, refs []Ref) *hcl.Diagnostic {
	if what := s.blockAmong(refs); what != "" {
		return diag.Errorf(v.Validations[0].Range, "A validation needs a block",
			"The validations of variable %q need %s. Validations can use variables, and locals made of variables: they are checked before any block is looked at. Use a precondition instead.", v.Name, what)
	}
	return nil
}

// blockAmong returns the address of a block or a module that references need, by way of locals as well. "" is none.
func (s *Scope) blockAmong(refs []Ref) string {
	seen := map[string]bool{}
	var find func([]Ref) string
	find = func(refs []Ref) string {
		for _, r := range refs {
			switch {
			case r.Node.Kind != "":
				return r.Node.String()
			case r.Call != "":
				return "module." + r.Call
			case r.Local != "" && !seen[r.Local]:
				seen[r.Local] = true
				if what := find(s.namedRefs(valueKey{'l', r.Local})); what != "" {
					return what
				}
			}
		}
		return ""
	}
	return find(refs)
}

// Settled evaluates an expression of the root module that must be known before any block is looked at: it can use variables, and locals
// made of variables. Findings are at the range that is given, since the expression's own text may be secret.
func (s *Scope) Settled(expr hcl.Expression, at hcl.Range) (cty.Value, hcl.Diagnostics) {
	refs := References(expr)
	if what := s.blockAmong(refs); what != "" {
		return cty.DynamicVal, hcl.Diagnostics{diag.Errorf(at, "A block is needed too early", "This needs %s. It can use variables, and locals made of variables: it must be known before any block is looked at.", what)}
	}
	for _, r := range refs {
		if r.Local != "" && s.Module.Locals[r.Local] == nil {
			return cty.DynamicVal, hcl.Diagnostics{diag.Errorf(at, "Unknown local", "There is no local %q.%s", r.Local, diag.DidYouMean(r.Local, slices.Collect(maps.Keys(s.Module.Locals))))}
		}
	}
	v, diags := s.Value(expr, Each{})
	for i, d := range diags {
		moved := *d
		moved.Subject, moved.Context = at.Ptr(), nil
		diags[i] = &moved
	}
	return v, diags
}

// validationReferences returns the references of a variable's validations.
func validationReferences(v *config.Variable) (refs []Ref) {
	for _, rule := range v.Validations {
		refs = append(refs, References(rule.Condition)...)
		refs = append(refs, References(rule.Message)...)
	}
	return refs
}

// ReadVarFile reads NAME = VALUE lines of a file.
func ReadVarFile(name string, src []byte) ([]Given, hcl.Diagnostics) {
	f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	limit.Guard(f.Body.(*hclsyntax.Body))
	attrs, diags := f.Body.JustAttributes()
	var list []Given
	for _, n := range slices.Sorted(maps.Keys(attrs)) {
		list = append(list, Given{Name: n, Expr: attrs[n].Expr, From: config.Where(attrs[n].Range)})
	}
	return list, diags
}

// variable evaluates a variable of a called module: the call's argument, or the default. It returns where the value comes from.
func (s *Scope) variable(name string) (cty.Value, hcl.Range, hcl.Diagnostics) {
	v := s.Module.Variables[name]
	if v == nil {
		return cty.DynamicVal, hcl.Range{}, nil // reported by the check of the stack
	}
	g, at := Given{}, v.Range
	if a := s.Call.Arguments[name]; a != nil {
		value, diags := s.Parent.Value(a.Expr, s.Each)
		if diags.HasErrors() {
			return cty.DynamicVal, at, diags
		}
		if !value.IsKnown() || !value.IsNull() || v.Default == nil || v.Nullable {
			g.Expr = hcl.StaticExpr(value, a.Expr.Range())
		}
		g.From, at = "the call at "+config.Where(a.Range), a.Range
	}
	value, diags := variable(v, g, s.shared.stop)
	if diags.HasErrors() {
		moved := make(hcl.Diagnostics, len(diags))
		for i, d := range diags {
			m := *d
			m.Subject = at.Ptr()
			moved[i] = &m
		}
		return cty.DynamicVal, at, moved
	}
	if v.Sensitive {
		value = value.Mark(Sensitive)
	}
	return value, at, diags
}
