package eval

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
)

// Given is a value for a variable from outside of the stack. Later ones win over earlier ones.
type Given struct {
	Name string
	// Text is what a command line or the environment says: the string itself for a variable of
	// type string, an expression for others. Expr is what a file says. One of them is set.
	Text *string
	Expr hcl.Expression
	From string // "-var", "DAVIT_VAR_x", "prod.hclvars:3"
}

// Variables finds the values of a stack's variables. Sensitive ones are marked.
func Variables(stack *config.Stack, given []Given) (map[string]cty.Value, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	last := map[string]Given{}
	for _, g := range given {
		if stack.Variables[g.Name] == nil {
			diags = append(diags, diag.Plain("A value for a variable that is not there",
				fmt.Sprintf("%s gives a value for %q, and the stack has no such variable.%s", g.From, g.Name, diag.DidYouMean(g.Name, slices.Collect(maps.Keys(stack.Variables))))))
			continue
		}
		last[g.Name] = g
	}
	values := map[string]cty.Value{}
	for _, name := range slices.Sorted(maps.Keys(stack.Variables)) {
		v := stack.Variables[name]
		value, more := variable(v, last[name])
		diags = append(diags, more...)
		if v.Sensitive {
			value = value.Mark(Sensitive)
		}
		values[name] = value
	}
	if diags.HasErrors() {
		return values, diags
	}
	return values, append(diags, validate(stack, values)...)
}

func variable(v *config.Variable, g Given) (cty.Value, hcl.Diagnostics) {
	want, defaults, diags := cty.DynamicPseudoType, (*typeexpr.Defaults)(nil), hcl.Diagnostics(nil)
	if v.Type != nil {
		want, defaults, diags = typeexpr.TypeConstraintWithDefaults(v.Type)
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
	}
	value, from, diags := rawVariable(v, g, want)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	if defaults != nil && !value.IsNull() {
		value = defaults.Apply(value)
	}
	converted, err := convert.Convert(value, want)
	if err != nil {
		return cty.DynamicVal, hcl.Diagnostics{diag.Errorf(v.Range, "Wrong type of value", "Variable %q wants %s, and %s gives something else: %s.", v.Name, want.FriendlyNameForConstraint(), from, err)}
	}
	if converted.IsNull() && !v.Nullable {
		return cty.DynamicVal, hcl.Diagnostics{diag.Errorf(v.Range, "A variable is null", "Variable %q must not be null, and %s gives null.", v.Name, from)}
	}
	return converted, nil
}

func rawVariable(v *config.Variable, g Given, want cty.Type) (value cty.Value, from string, diags hcl.Diagnostics) {
	switch {
	case g.Expr != nil:
		value, diags = g.Expr.Value(nil)
	case g.Text != nil && (want == cty.String || want == cty.DynamicPseudoType):
		value = cty.StringVal(*g.Text)
	case g.Text != nil:
		var expr hclsyntax.Expression
		if expr, diags = hclsyntax.ParseExpression([]byte(*g.Text), g.From, hcl.InitialPos); !diags.HasErrors() {
			value, diags = expr.Value(nil)
		}
		if diags.HasErrors() && v.Sensitive {
			// The text of the error would show a part of the value.
			diags = hcl.Diagnostics{diag.Errorf(v.Range, "A value that cannot be read", "%s gives variable %q a value that is no expression.", g.From, v.Name)}
		}
	case v.Default != nil:
		value, diags = v.Default.Value(nil)
		g.From = "its default"
	default:
		diags = hcl.Diagnostics{diag.Errorf(v.Range, "A variable without a value",
			"Variable %q has no default. Give it a value with -var %s=..., in a *.auto.hclvars file, or in the environment as DAVIT_VAR_%s.", v.Name, v.Name, v.Name)}
	}
	return value, g.From, diags
}

// validate checks the validation blocks.
func validate(stack *config.Stack, values map[string]cty.Value) hcl.Diagnostics {
	scope := NewScope(stack, values, nil)
	var diags hcl.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(stack.Variables)) {
		v := stack.Variables[name]
		for _, rule := range v.Validations {
			ctx, _ := scope.Context(nil, Each{})
			ok, more := rule.Condition.Value(ctx)
			for _, d := range more {
				d.EvalContext = nil
			}
			diags = append(diags, more...)
			if more.HasErrors() {
				continue
			}
			ok, _ = ok.UnmarkDeep()
			if ok, err := convert.Convert(ok, cty.Bool); err != nil || !ok.IsKnown() || ok.IsNull() {
				diags = append(diags, diag.Errorf(rule.Condition.Range(), "A rule that says nothing", "The condition must be true or false."))
			} else if ok.False() {
				diags = append(diags, diag.Errorf(v.Range, "Variable "+name+" is not acceptable", "%s", message(rule, ctx)))
			}
		}
	}
	return diags
}

func message(rule config.Validation, ctx *hcl.EvalContext) string {
	m, diags := rule.Message.Value(ctx)
	if diags.HasErrors() || m.IsMarked() || m.Type() != cty.String || !m.IsKnown() || m.IsNull() {
		return "The validation at " + config.Where(rule.Range) + " does not hold."
	}
	return m.AsString()
}

// ReadVarFile reads NAME = VALUE lines of a file.
func ReadVarFile(name string, src []byte) ([]Given, hcl.Diagnostics) {
	f, diags := hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	attrs, diags := f.Body.JustAttributes()
	var list []Given
	for _, n := range slices.Sorted(maps.Keys(attrs)) {
		list = append(list, Given{Name: n, Expr: attrs[n].Expr, From: config.Where(attrs[n].Range)})
	}
	return list, diags
}
