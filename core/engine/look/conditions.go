package look

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
)

// Preconditions checks what is to hold before anything is done about an instance.
func (r *Planner) Preconditions(in *Finding, when string) hcl.Diagnostics {
	return r.conditions(in, in.Node.Block.Lifecycle.Pre, when, cty.NilVal)
}

// Postconditions checks what is to hold for an instance that is done: self is what others see of it.
func (r *Planner) Postconditions(in *Finding, when string) hcl.Diagnostics {
	rules := in.Node.Block.Lifecycle.Post
	if len(rules) == 0 {
		return nil
	}
	return r.conditions(in, rules, when, in.Value())
}

// conditions checks conditions of an instance. Those that cannot be told yet are noted in the plan and checked again at apply.
func (r *Planner) conditions(in *Finding, rules []config.Condition, when string, self cty.Value) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, rule := range rules {
		res := in.Node.Scope.Check(rule, in.Each, self)
		diags = append(diags, res.Diagnostics...)
		switch res.Status {
		case eval.Failed:
			d := diag.Errorf(rule.Condition.Range(), in.Addr.String()+": a condition is false", "%s", r.Services.Secrets.Mask(res.Message))
			d.Extra = diag.Info{Address: in.Addr.String(), Code: "condition", Hint: "The condition is checked " + when + "."}
			diags = append(diags, d)
		case eval.Unknown:
			in.Checks = append(in.Checks, plan.Check{Address: in.Addr.String(), Status: string(eval.Unknown), Message: "the condition at " + config.Where(rule.Range) + " is checked at apply"})
		case eval.Passed:
		}
	}
	return diags
}
