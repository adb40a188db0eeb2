package engine_test

import (
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/plan"
)

// TestEveryObservedKindIsReadDuringApply: an image with depends_on has no tags until then, and its policy chooses then.
func TestEveryObservedKindIsReadDuringApply(t *testing.T) {
	const stack = `
application "a" "mirror" { name = "mirror" }
image "i" "api" {
  repository = "reg/api"
  depends_on = [application.a.mirror]
}
policy "p" "api" { image = image.i.api }
application "a" "api" {
  name    = "api"
  content = policy.p.api.ref
}
`
	f := newFixture(t)
	f.world.tags["v1"] = sum("1")
	p := f.plan(stack)
	for _, o := range p.Observations {
		if o.Outputs.IsKnown() || (o.Address == "image.i.api") != (strings.Join(o.ReadAfter, " ") == "application.a.mirror") {
			t.Errorf("%s: %s, read after %v", o.Address, o.Outputs.Value, o.ReadAfter)
		}
	}
	if c := p.Changes[1]; c.Address != "application.a.api" || strings.Join(c.WaitsFor, " ") != "application.a.mirror" {
		t.Errorf("%s waits for %v", c.Address, c.WaitsFor)
	}
	f.world.tags["v2"] = sum("2") // pushed by then
	if _, diags := f.tryApply(stack, p, true); diags.HasErrors() {
		t.Fatal(diags)
	}
	if got := f.world.things["api"]; !strings.HasPrefix(got, "reg/api:v2@") {
		t.Errorf("what runs is %q", got)
	}
	f.wantSettled(stack)

	// A destroy and a refresh read nothing late.
	for _, mode := range []plan.Mode{plan.ModeRefresh, plan.ModeDestroy} {
		p, diags := f.tryPlan(strings.Replace(stack, `name = "mirror"`, `name = "other"`, 1), mode)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		for _, o := range p.Observations {
			if len(o.ReadAfter) > 0 {
				t.Errorf("%s: %s is read after %v", mode, o.Address, o.ReadAfter)
			}
		}
	}
}
