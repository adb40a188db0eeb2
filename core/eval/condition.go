package eval

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
)

// Status is what came of a condition.
type Status string

// The results of a condition.
const (
	Passed  Status = "pass"
	Failed  Status = "fail"
	Unknown Status = "unknown" // it needs values that are known after apply only
)

// Result is what came of a condition.
type Result struct {
	Status      Status
	Message     string          // of one that failed
	Diagnostics hcl.Diagnostics // of one that could not be evaluated
}

// CheckCondition evaluates a condition.
func CheckCondition(c config.Condition, ctx *hcl.EvalContext) Result {
	v, diags := evaluate(c.Condition, ctx)
	if diags.HasErrors() {
		return Result{Diagnostics: diags}
	}
	v, _ = v.UnmarkDeep()
	b, err := convert.Convert(v, cty.Bool)
	switch {
	case err != nil || (b.IsKnown() && b.IsNull()):
		return Result{Diagnostics: hcl.Diagnostics{diag.Errorf(c.Condition.Range(), "Not a condition", "The condition must be true or false, not %s.", what(v))}}
	case !b.IsKnown():
		return Result{Status: Unknown}
	case b.True():
		return Result{Status: Passed}
	}
	return Result{Status: Failed, Message: message(c, ctx)}
}

// what names a value that is no condition.
func what(v cty.Value) string {
	if v.IsKnown() && v.IsNull() {
		return "null"
	}
	if v.Type() == cty.String {
		return "a string"
	}
	return "a value of type " + v.Type().FriendlyName()
}

// message is what a condition that failed says. A message that would show something sensitive is left out.
func message(c config.Condition, ctx *hcl.EvalContext) string {
	m, diags := evaluate(c.Message, ctx)
	if m.IsMarked() {
		return "The condition at " + config.Where(c.Range) + " is false. Its error_message contains a sensitive value and is not shown."
	}
	if diags.HasErrors() || m.Type() != cty.String || !m.IsKnown() || m.IsNull() {
		return "The condition at " + config.Where(c.Range) + " is false."
	}
	return m.AsString()
}

// Check evaluates a condition in a scope. What self means is given by the caller; NilVal for nothing.
func (s *Scope) Check(c config.Condition, each Each, self cty.Value) Result {
	refs := append(References(c.Condition), References(c.Message)...)
	ctx, diags := s.Context(refs, each)
	if diags.HasErrors() {
		return Result{Diagnostics: diags}
	}
	if self != cty.NilVal {
		ctx.Variables["self"] = self
	}
	return CheckCondition(c, ctx)
}
