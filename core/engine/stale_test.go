package engine_test

import (
	"testing"

	"github.com/davit-sh/davit/core/eval"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

const oneThing = `
variable "content" { default = "one" }
application "a" "x" {
  name  = "x"
  plain = var.content
}
`

// A reviewed plan is carried out with the values of variables that it was made with, and with no others.
func TestAReviewedPlanHasItsVariables(t *testing.T) {
	f := newFixture(t)
	give := func(text string) { f.given = []eval.Given{{Name: "content", Text: &text, From: "test"}} }
	give("two")
	p := f.plan(oneThing)
	give("three")
	_, diags := f.tryApply(oneThing, p, true)
	wantDiags(t, diags, `the plan is stale: it was made with variable "content" = "two", which is now "three"`)
	give("two")
	if _, diags := f.tryApply(oneThing, p, true); diags.HasErrors() || f.world.things["x"] != "two" {
		t.Errorf("x is %q: %v", f.world.things["x"], diags)
	}
}

// What was reviewed of the outputs must still be planned.
func TestAReviewedOutputIsStillPlanned(t *testing.T) {
	f := newFixture(t)
	p := f.plan(oneThing)
	f.world.garbage = func(r *pluginv1.PlanResult) {
		r.Outputs = &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: []byte(`{"revision":"","health":"InProgress","items":["x"],"sum":"s","token":null}`)}}
	}
	_, diags := f.tryApply(oneThing, p, true)
	wantDiags(t, diags, `the plan is stale: application.a.x: its output health was "Current" in the reviewed plan and would now be "InProgress"`)
	if len(f.world.applied) > 0 {
		t.Errorf("applied: %v", f.world.applied)
	}
}
