package eval

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/davit-sh/davit/core/limit"
)

// evaluate evaluates an expression in a context that Scope.Context made. Its diagnostics are new, hold no values, and are not written any
// more, so that they can be kept and shared.
func evaluate(x hcl.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	v, diags := x.Value(ctx)
	if d := limit.Of(ctx).Exceeded(); d != nil {
		return cty.DynamicVal, hcl.Diagnostics{d}
	}
	for _, d := range diags {
		tidy(d, ctx)
	}
	return v, diags
}

// tidy completes a diagnostic with the elements that for expressions were at, and takes out what may be sensitive: the values of its
// context, and what a function says of a sensitive argument. root is the context of the whole expression.
func tidy(d *hcl.Diagnostic, root *hcl.EvalContext) {
	if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
		if call.FunctionCallError() != nil && isSensitiveIn(d.Expression, d.EvalContext) {
			d.Detail = "The function " + call.CalledFunctionName() + " fails with this argument. The reason is not shown, because the argument is sensitive."
		}
		d.Extra = nil
	}
	if where := elements(d.EvalContext, root); where != "" {
		d.Detail = strings.TrimSpace(d.Detail + " This is where " + where + ".")
	}
	d.EvalContext = nil
}

// isSensitiveIn tells whether an expression, or an argument of the function call that it is, has a sensitive value.
func isSensitiveIn(x hcl.Expression, ctx *hcl.EvalContext) bool {
	if x == nil || ctx == nil {
		return false
	}
	parts := []hcl.Expression{x}
	if call, ok := x.(*hclsyntax.FunctionCallExpr); ok {
		parts = parts[:0]
		for _, a := range call.Args {
			parts = append(parts, a)
		}
	}
	return slices.ContainsFunc(parts, func(p hcl.Expression) bool {
		v, _ := p.Value(ctx)
		return v.ContainsMarked()
	})
}

// longestElement is how many bytes of a for expression's variable are shown.
const longestElement = 100

// elements says at which elements the for expressions around a mistake were: `f = "a.yaml"`. Values that are long or sensitive are left out.
func elements(ctx, root *hcl.EvalContext) string {
	var list []string
	for ; ctx != nil && ctx != root; ctx = ctx.Parent() {
		for _, name := range slices.Backward(slices.Sorted(maps.Keys(ctx.Variables))) {
			v := ctx.Variables[name]
			if v.IsMarked() || !v.IsKnown() || v.IsNull() || !v.Type().IsPrimitiveType() {
				continue
			}
			text, err := convert.Convert(v, cty.String)
			if err != nil || len(text.AsString()) > longestElement {
				continue
			}
			if v.Type() == cty.String {
				list = append(list, name+" = "+strconv.Quote(v.AsString()))
			} else {
				list = append(list, name+" = "+text.AsString())
			}
		}
	}
	slices.Reverse(list)
	return strings.Join(list, " and ")
}
