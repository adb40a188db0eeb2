package engine_test

import (
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/event"
)

// twice is a stack with a build that one application uses through a policy, and another one directly.
const twice = `
source "s" "repo" {}
build "b" "api" {
  source     = source.s.repo
  repository = "reg/api"
  tag        = "v${source.s.repo.revision}"
}
image "i" "api" {
  repository = build.b.api.repository
  builds     = [build.b.api]
}
policy "p" "api" { image = image.i.api }
application "a" "api" {
  name    = "api"
  content = policy.p.api.ref
  label   = "one"
}
application "a" "direct" {
  name    = "direct"
  content = build.b.api.ref
  label   = "one"
}
application "a" "after" {
  name       = "after"
  plain      = "one"
  depends_on = [build.b.api]
}
`

// TestABuildThatFailsLocksNobody: the applications behind it keep their image and get their other changes.
func TestABuildThatFailsLocksNobody(t *testing.T) {
	second := strings.ReplaceAll(twice, "one", "two")
	for _, how := range []string{"error", "part"} {
		for _, reviewed := range []bool{false, true} {
			f := newFixture(t)
			f.apply(twice)
			ref := f.world.things["api"]
			f.world.revision = "r2"
			f.world.fail["build reg/api"] = how
			for try := range 2 { // the second one after a record that is partial
				p := f.plan(second)
				res, diags := f.tryApply(second, p, reviewed)
				wantDiags(t, diags, "the compiler gives up")
				if len(res.Failed) != 1 || res.Failed[0].Address != "build.b.api" || len(res.NotStarted) != 0 {
					t.Fatalf("%s, reviewed %v, try %d: %+v", how, reviewed, try, res)
				}
				if try == 0 {
					wantReason(t, res.Done, "application.a.api application.a.direct application.a.after", "without build.b.api, which failed")
				} else {
					wantReason(t, res.Unchanged, "application.a.api application.a.direct", "no change was needed without build.b.api, which failed")
				}
				if w := f.world; w.things["api"] != ref || w.things["direct"] != ref || w.things["after"] != "two" || w.labels["api"] != "two" || w.labels["direct"] != "two" {
					t.Errorf("%s, reviewed %v: things %v, labels %v", how, reviewed, w.things, w.labels)
				}
			}
			// The source is recorded with the image that is made of it: its commits are still to come.
			if before := f.plan(second).Observations[0].Before; before == nil || !strings.Contains(string(before.Value), `"r1"`) {
				t.Errorf("%s: the source was recorded: %v", how, before)
			}
			f.world.fail = map[string]string{}
			f.apply(second)
			if got := f.world.things["api"]; !strings.HasPrefix(got, "reg/api:vr2@") {
				t.Errorf("after it was mended: %q", got)
			}
			f.wantSettled(second)
		}
	}
}

// wantReason checks that outcomes are of the given addresses, each with the reason.
func wantReason(t *testing.T, list []event.Outcome, addresses, reason string) {
	t.Helper()
	found := map[string]string{}
	for _, o := range list {
		found[o.Address] = o.Reason
	}
	for a := range strings.FieldsSeq(addresses) {
		if found[a] != reason {
			t.Errorf("%s: %q, want %q", a, found[a], reason)
		}
	}
	if len(found) != len(strings.Fields(addresses)) {
		t.Errorf("outcomes %v, want %s", found, addresses)
	}
}

// TestABuildThatFailsAtFirst: there is nothing to go on with, and what needs the build is not started.
func TestABuildThatFailsAtFirst(t *testing.T) {
	f := newFixture(t)
	f.world.fail["build reg/api"] = "error"
	res, diags := f.tryApply(twice, f.plan(twice), false)
	wantDiags(t, diags, "the compiler gives up")
	if len(res.Done) != 0 || len(res.Failed) != 1 || len(res.NotStarted) != 3 || len(f.world.things) != 0 {
		t.Fatalf("%+v", res)
	}
	reasons := map[string]string{}
	for _, o := range res.NotStarted {
		reasons[o.Address] = o.Reason
	}
	if reasons["application.a.api"] != "it waits for policy.p.api, which has no tag without build.b.api" || reasons["application.a.direct"] != "it waits for build.b.api, which failed" {
		t.Errorf("%v", reasons)
	}
	f.world.fail = map[string]string{}
	f.apply(twice)
	f.wantSettled(twice)
}

// TestNothingUnreviewedIsAppliedWithoutABuild: a tag that nobody reviewed is not taken, not an older one, and not another one.
func TestNothingUnreviewedIsAppliedWithoutABuild(t *testing.T) {
	t.Run("a tag between", func(t *testing.T) {
		f := newFixture(t)
		f.apply(twice)
		ref := f.world.things["api"]
		f.world.revision = "r3"
		f.world.tags["vr2"], f.world.tags["vr0"] = sum("2"), sum("0")
		f.world.fail["build reg/api"] = "error"
		second := strings.ReplaceAll(twice, "one", "two")
		if _, diags := f.tryApply(second, f.plan(second), false); !diags.HasErrors() {
			t.Error("no error")
		}
		if got := f.world.things["api"]; got != ref || f.world.labels["api"] != "two" {
			t.Errorf("what runs is %q, want %q; labels %v", got, ref, f.world.labels)
		}
	})
	t.Run("the running one is gone", func(t *testing.T) {
		f := newFixture(t)
		f.world.tags["vr0"] = sum("0")
		f.apply(chain)
		running := f.world.things["api"]
		f.world.revision = "r2"
		f.world.fail["build reg/api"] = "error"
		other := strings.Replace(chain, "builds     = [build.b.api]", `builds = [for b in [build.b.api] : b if b.tag != "vr1"]`, 1)
		delete(f.world.tags, "vr1")
		res, _ := f.tryApply(other, f.plan(other), false)
		if f.world.things["api"] != running {
			t.Errorf("what runs is %q, want %q; %+v", f.world.things["api"], running, res)
		}
	})
	t.Run("nothing runs yet", func(t *testing.T) {
		f := newFixture(t)
		f.world.tags["vr0"] = sum("0")
		f.world.fail["build reg/api"] = "error"
		res, diags := f.tryApply(chain, f.plan(chain), false)
		wantDiags(t, diags, "the compiler gives up", "the plan is stale")
		if len(f.world.things) != 0 {
			t.Errorf("%v; %+v", f.world.things, res)
		}
	})
	t.Run("a deletion waits", func(t *testing.T) {
		f := newFixture(t)
		old := strings.Replace(strings.ReplaceAll(chain, "build.b.api", "build.b.old"), `build "b" "api"`, `build "b" "old"`, 1)
		f.apply(old)
		f.world.revision = "r2"
		f.world.fail["build reg/api"] = "error"
		p := f.plan(chain)
		wantActions(t, p, "build.b.api: build", "application.a.api: update", "build.b.old: delete")
		res, _ := f.tryApply(chain, p, false)
		if len(res.NotStarted) != 1 || res.NotStarted[0].Address != "build.b.old" {
			t.Errorf("what still runs is deleted: %+v", res)
		}
	})
}

// TestWithoutABuildOnlyWhatWasReviewed: an argument that does not come from the build is compared as ever.
func TestWithoutABuildOnlyWhatWasReviewed(t *testing.T) {
	f := newFixture(t)
	f.apply(twice)
	second := strings.ReplaceAll(twice, "one", "two")
	f.world.revision = "r2"
	f.world.fail["build reg/api"] = "error"
	p := f.plan(second)
	f.world.things["api"] = "somebody else's"
	res, diags := f.tryApply(second, p, true)
	wantDiags(t, diags, "the compiler gives up", "the change of content of thing api differs from the reviewed plan")
	if f.world.things["api"] != "somebody else's" || f.world.labels["direct"] != "two" {
		t.Errorf("%+v; things %v", res, f.world.things)
	}
}
