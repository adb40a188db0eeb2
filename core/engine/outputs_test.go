package engine_test

import (
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/plan"
)

// A precondition of an output stops the plan when it does not hold, and the apply when that is known only then.
func TestConditionsOfOutputs(t *testing.T) {
	output := func(condition string) string {
		return "application \"a\" \"x\" { name = \"x\" }\noutput \"o\" {\n  value = application.a.x.sum\n  precondition {\n    condition = " + condition + "\n    error_message = \"not so\"\n  }\n}\n"
	}
	f := newFixture(t)
	f.apply(output(`application.a.x.name == "x"`))
	if f.snapshot().Outputs["o"] == nil {
		t.Error("the output is not there")
	}
	_, diags := f.tryPlan(output(`application.a.x.name == "y"`), plan.ModeApply)
	wantDiags(t, diags, "A condition of output o is false: not so")

	inner := "-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n}\napplication \"a\" \"y\" { name = module.m.o }\n-- m/m.hcl --\n" +
		strings.Replace(output(`1 > 2`), "application.a.x.sum", "application.a.x.name", 1)
	_, diags = newFixture(t).tryPlan(inner, plan.ModeApply)
	wantDiags(t, diags, "A condition of output o is false: not so")

	_, diags = newFixture(t).tryPlan(output(`application.a.z.name == "y"`), plan.ModeApply)
	wantDiags(t, diags, "The stack has no block application.a.z")
}

// What uses an output of a module waits for the depends_on of the output: for a block, and for a whole module in it.
func TestDependsOnOfOutputs(t *testing.T) {
	f := newFixture(t)
	text := `
-- d.hcl --
module "m" {
  source = "./m"
}
application "a" "after" { name = module.m.name }
-- m/m.hcl --
application "a" "first" { name = "first" }
module "in" {
  source = "./in"
}
output "name" {
  value      = "after"
  depends_on = [application.a.first, module.in]
}
-- m/in/in.hcl --
application "a" "inner" { name = "inner" }
`
	p := f.plan(text)
	for _, c := range p.Changes {
		if c.Address == "application.a.after" && strings.Join(c.DependsOn, " ") != "module.m.application.a.first module.m.module.in.application.a.inner" {
			t.Errorf("it depends on %v", c.DependsOn)
		}
	}
	f.apply(text)
	f.wantSettled(text)
	_, diags := f.tryPlan(strings.Replace(text, `{ name = "first" }`, `{ name = module.in.x }`, 1)+"output \"x\" {\n  value = 1\n  depends_on = [application.a.nothing]\n}\n", plan.ModeApply)
	wantDiags(t, diags, "The stack has no block application.a.nothing")
}
