package draft

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
)

// assert checks the check blocks. What does not hold is a warning. In a partial plan a block is checked when everything that it needs is in
// the plan.
func (d *drafter) assert() {
	partial := d.partial()
	var visit func(s *eval.Scope)
	visit = func(s *eval.Scope) {
		for _, c := range s.Module.Checks {
			if !partial || d.canCheck(s, c) {
				d.assertOne(s, c)
			}
		}
		for _, name := range s.Module.CallOrder {
			for _, child := range s.Children(name) {
				visit(child)
			}
		}
	}
	visit(d.tree.Root)
}

// canCheck tells whether everything that a check block needs is in a partial plan.
func (d *drafter) canCheck(s *eval.Scope, c *config.Check) bool {
	needs, pending := s.Needs(world.ConditionRefs(c.Asserts))
	return len(pending) == 0 && d.isReady(needs) && (len(needs) > 0 || len(d.opts.Targets) == 0)
}

func (d *drafter) assertOne(s *eval.Scope, c *config.Check) {
	address := "check." + c.Name
	if s.Path != "" {
		address = string(s.Path) + "." + address
	}
	out := plan.Check{Address: address, Status: string(eval.Passed)}
	for _, rule := range c.Asserts {
		res := s.Check(rule, eval.Each{}, cty.NilVal)
		switch {
		case res.Diagnostics.HasErrors():
			d.found.Report(diag.AsWarnings(res.Diagnostics)...)
			out.Status = string(eval.Failed)
			out.Message = res.Diagnostics[0].Summary
		case res.Status == eval.Failed:
			out.Status, out.Message = string(eval.Failed), d.svc.Secrets.Mask(res.Message)
			w := diag.Errorf(rule.Condition.Range(), address+": the check failed", "%s", out.Message)
			w.Severity, w.Extra = hcl.DiagWarning, diag.Info{Address: address, Code: "check"}
			d.found.Report(w)
		case res.Status == eval.Unknown && out.Status == string(eval.Passed):
			out.Status = string(eval.Unknown)
		}
	}
	d.checks = append(d.checks, out)
}
