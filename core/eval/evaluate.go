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

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/limit"
)

// evaluate evaluates an expression in a context that Scope.Context made. Its diagnostics are new, hold no values, and are not written any
// more, so that they can be kept and shared.
func evaluate(x hcl.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	bound := limit.Of(ctx)
	if d := bound.Interrupted(x.Range()); d != nil {
		return cty.DynamicVal, hcl.Diagnostics{d}
	}
	v, diags := x.Value(ctx)
	if d := bound.Exceeded(); d != nil {
		return cty.DynamicVal, hcl.Diagnostics{d}
	}
	for _, d := range diags {
		tidy(d, x, ctx)
	}
	return v, diags
}

// tidy completes a diagnostic with the elements that for expressions were at, and takes out what may be sensitive: the values of its
// context, and what a function says of its arguments when the expression x has sensitive values. root is the context of x.
func tidy(d *hcl.Diagnostic, x hcl.Expression, root *hcl.EvalContext) {
	secret := usesSensitive(x, root)
	if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
		if call.FunctionCallError() != nil && secret {
			d.Detail = "The function " + call.CalledFunctionName() + " fails with its arguments. The reason is not shown, because values of this expression are sensitive."
		}
		d.Extra = nil
	}
	if where := elements(d.EvalContext, root); where != "" && !secret {
		d.Detail = strings.TrimSpace(d.Detail + " This is where " + where + ".")
	}
	d.EvalContext, d.Expression = nil, nil
}

// usesSensitive tells whether an expression uses a sensitive value, or makes one. The elements of a sensitive collection are not marked
// themselves where a for expression looks at them, so the expression as a whole counts.
func usesSensitive(x hcl.Expression, ctx *hcl.EvalContext) bool {
	for _, t := range x.Variables() {
		v, diags := t.TraverseAbs(ctx)
		if diags.HasErrors() {
			v, diags = t[:1].TraverseAbs(ctx) // all of what it begins with counts then
		}
		if !diags.HasErrors() && deep.Marked(v) {
			return true
		}
	}
	found := false
	if node, ok := x.(hclsyntax.Node); ok {
		_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
			if call, is := n.(*hclsyntax.FunctionCallExpr); is && call.Name == "sensitive" {
				found = true
			}
			return nil
		})
	}
	return found
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
