package engine_test

import (
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/plan"
)

// Instances that use one local which cannot be evaluated share its diagnostics: none of them may change them. The race detector sees it
// when one does.
func TestSharedDiagnosticsAreNotChanged(t *testing.T) {
	for range 5 {
		f := newFixture(t)
		_, diags := f.tryPlan(`
source "s" "repo" { text = "front" }
locals { bad = tonumber(source.s.repo.text) }
application "a" "it" {
  count   = 5
  name    = "it-${count.index}"
  content = local.bad
}
application "a" "one" {
  name    = "one"
  content = local.bad
}
application "a" "two" {
  name    = "two"
  content = "${local.bad}"
}
`, plan.ModeApply)
		if len(diags) != 7 {
			t.Fatalf("there are %d diagnostics, want one for each of 7 instances: %v", len(diags), diags)
		}
		for _, d := range diags {
			if !strings.Contains(d.Detail, "number") {
				t.Errorf("%s: %s", d.Summary, d.Detail)
			}
			if d.EvalContext != nil {
				t.Errorf("%s has values of its own", d.Summary)
			}
		}
	}
}
