package engine_test

import (
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/engine"
)

// TestABuildKeepsItsLastResult: what needs a build that cannot be planned, or is left out, goes on with its last result.
func TestABuildKeepsItsLastResult(t *testing.T) {
	second := strings.Replace(chain, `content = policy.p.api.ref`, `content = "new ${policy.p.api.ref}"`, 1)
	second = strings.Replace(second, `source "s" "repo" {}`, `source "s" "repo" { text = "other" }`, 1)
	for name, opts := range map[string]engine.Options{"it fails": {}, "it is left out": {Excludes: place(t, "build.b.api")}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.apply(chain)
			ref := f.world.things["api"]
			fails := len(opts.Excludes) == 0
			if fails {
				f.world.fail = map[string]string{"plan build": "the builder is gone"}
			}
			p, diags := f.planWith(second, opts)
			if p == nil || diags.HasErrors() != fails {
				t.Fatal(diags)
			}
			wantActions(t, p, "build.b.api: none", "application.a.api: update")
			if failed := len(p.Failed) == 1 && p.Failed[0].Address == "build.b.api" && len(p.Failed[0].Dependents) == 0; failed != fails {
				t.Errorf("failed: %+v", p.Failed)
			}
			if _, diags = f.tryApply(second, p, false); diags.HasErrors() != fails {
				t.Error(diags)
			}
			if got := f.world.things["api"]; got != "new "+ref {
				t.Errorf("what runs is %q, want the last result %q", got, ref)
			}
			f.world.fail = map[string]string{}
			f.apply(second)
			f.wantSettled(second)
		})
	}
}

// TestABuildWithoutAResult: what needs a build that was never made is left out with it.
func TestABuildWithoutAResult(t *testing.T) {
	f := newFixture(t)
	f.world.fail = map[string]string{"plan build": "the builder is gone"}
	p, diags := f.planWith(chain, engine.Options{})
	if p == nil {
		t.Fatal(diags)
	}
	wantDiags(t, diags, "the builder is gone")
	if len(p.Changes) > 0 || len(p.Failed) != 1 || strings.Join(p.Failed[0].Dependents, " ") != "image.i.api policy.p.api application.a.api" {
		t.Errorf("changes %v, failed %+v", p.Changes, p.Failed)
	}
}
