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

// TestATransferFromAnOwnerThatCannotBePlanned: the instance that would take the thing over is left out, with what depends on it, and the rest
// is planned and applied.
func TestATransferFromAnOwnerThatCannotBePlanned(t *testing.T) {
	const first = `
source "s" "repo" {}
application "a" "owner" {
  name       = "thing"
  depends_on = [source.s.repo]
}
application "a" "base" { name = "base" }
application "a" "other" { name = "other" }
`
	const second = `
source "s" "repo" { text = "fault" }
application "a" "owner" {
  name       = "another"
  depends_on = [source.s.repo]
}
application "a" "taker" { name = "thing" }
application "a" "after" {
  name       = "after"
  depends_on = [application.a.taker]
}
application "a" "other" {
  name  = "other"
  plain = "new"
}
`
	f := newFixture(t)
	f.world.claims = true
	f.apply(first)
	f.world.fail["source fault"] = "the repository is gone"
	p, diags := f.planWith(second, engine.Options{})
	if p == nil {
		t.Fatal(diags)
	}
	wantDiags(t, diags, "the repository is gone", "It would take over thing:thing. application.a.owner owns that, as the state says, and cannot be planned.",
		"it is not deleted yet: application.a.")
	wantActions(t, p, "application.a.other: update")
	if len(p.Failed) != 2 || p.Failed[0].Address != "application.a.taker" || strings.Join(p.Failed[0].Dependents, " ") != "application.a.after" {
		t.Errorf("%+v", p.Failed)
	}
	if _, diags := f.tryApply(second, p, true); !diags.HasErrors() {
		t.Error("no error")
	}
	if _, there := f.world.things["thing"]; !there || f.world.things["other"] != "new" || len(f.world.things) != 3 {
		t.Errorf("%v", f.world.things)
	}
	f.world.fail = map[string]string{}
	f.apply(second)
	f.wantSettled(second)
}
