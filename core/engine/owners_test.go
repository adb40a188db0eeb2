package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/plan"
)

// owning is a fixture whose applications claim their things.
func owning(t *testing.T) *fixture {
	f := newFixture(t)
	f.world.claims = true
	return f
}

func TestTwoOwnersAreRefused(t *testing.T) {
	f := owning(t)
	_, diags := f.tryPlan(appBlock("a", "shared", `"one"`, "")+appBlock("b", "shared", `"one"`, ""), plan.ModeApply)
	wantDiags(t, diags, "application.a.a and application.a.b both own thing:shared")
	f.wantThings(map[string]string{})
}

func TestTheOwnerIsNotInThePlan(t *testing.T) {
	f := owning(t)
	f.apply(appBlock("a", "shared", `"one"`, ""))
	text := appBlock("a", "shared", `"one"`, "") + appBlock("b", "shared", `"one"`, "")
	_, diags := f.planWith(text, engine.Options{Targets: place(t, "application.a.b")})
	wantDiags(t, diags, "application.a.a owns thing:shared, as state says, and it is not a part of this plan")
}

// TestARenameDeletesNothing: without a moved block, the thing changes its owner.
func TestARenameDeletesNothing(t *testing.T) {
	f := owning(t)
	f.apply(appBlock("old", "x", `"one"`, ""))
	f.world.applied = nil
	text := appBlock("new", "x", `"two"`, "")
	p := f.plan(text)
	wantActions(t, p, "application.a.new: update", "application.a.old: forget")
	if p.Summary.Delete+p.Summary.ItemsDeleted > 0 || p.Changes[0].Items[0].MovedFrom != "application.a.old" || p.Changes[1].Items[0].MovedTo != "application.a.new" {
		t.Errorf("the plan is %+v", p)
	}
	f.apply(text)
	if got := strings.Join(f.world.applied, ", "); got != "application.a.new" {
		t.Errorf("the work was %s", got)
	}
	f.wantThings(map[string]string{"x": "two"})
	if rec, there := f.snapshot().Records["application.a.old"]; there {
		t.Errorf("state still has %+v", rec)
	}
	f.wantSettled(text)
}

// TestTheTakerFails: the giver keeps its record until the taker has the thing.
func TestTheTakerFails(t *testing.T) {
	f := owning(t)
	f.apply(appBlock("old", "x", `"one"`, ""))
	f.world.fail["x"] = "error"
	text := appBlock("new", "x", `"two"`, "")
	if _, diags := f.tryApply(text, f.plan(text), true); !diags.HasErrors() {
		t.Fatal("the failure was not noticed")
	}
	if _, there := f.snapshot().Records["application.a.old"]; !there {
		t.Error("the record of the old owner is gone")
	}
	f.wantThings(map[string]string{"x": "one"})
	f.world.fail = map[string]string{}
	f.apply(text)
	f.wantThings(map[string]string{"x": "two"})
	f.wantSettled(text)
}

// TestAnExcludedTaker: what an instance outside of the plan takes over is not deleted.
func TestAnExcludedTaker(t *testing.T) {
	f := owning(t)
	f.apply(appBlock("old", "x", `"one"`, ""))
	text := appBlock("new", "x", `"two"`, "") + appBlock("c", "c", `"c"`, "")
	for _, opts := range []engine.Options{
		{Excludes: place(t, "application.a.new")},
		{Targets: place(t, "application.a.c", "application.a.old")},
	} {
		p, diags := f.planWith(text, opts)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		if slices.ContainsFunc(p.Changes, func(c plan.Change) bool { return c.Address == "application.a.old" }) || len(p.Warnings) != 1 ||
			!strings.Contains(p.Warnings[0].Detail, "application.a.new takes over thing:x") {
			t.Errorf("changes %+v\nwarnings %+v", p.Changes, p.Warnings)
		}
		if _, diags := f.tryApply(text, p, true); diags.HasErrors() {
			t.Fatal(diags)
		}
		f.wantThings(map[string]string{"x": "one", "c": "c"})
	}
	f.apply(text)
	f.wantThings(map[string]string{"x": "two", "c": "c"})
}

// TestCausesOfTheCore: the core gives the causes of changes whose plugin gives none.
func TestCausesOfTheCore(t *testing.T) {
	f := newFixture(t)
	causes := func(text string, opts engine.Options) string {
		p, diags := f.planWith(text, opts)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		var list []string
		for _, c := range p.Changes {
			var words []string
			for _, cause := range c.Causes {
				words = append(words, string(cause))
			}
			list = append(list, strings.Join(words, "+"))
		}
		return strings.Join(list, ", ")
	}
	want := func(text string, opts engine.Options, want string) {
		t.Helper()
		if got := causes(text, opts); got != want {
			t.Errorf("the causes are %q, want %q", got, want)
		}
	}
	one, two := appBlock("a", "a", `"one"`, ""), appBlock("a", "a", `"two"`, "")
	want(one, engine.Options{}, "new")
	f.apply(one)
	want(one, engine.Options{}, "")
	want(two, engine.Options{}, "config")
	want("", engine.Options{}, "removed")
	want(one, engine.Options{Replace: place(t, "application.a.a")}, "replaced")
	f.world.things["a"] = "edited by hand"
	want(one, engine.Options{}, "drift")
	delete(f.world.things, "a")
	want(one, engine.Options{}, "drift")
	f.apply(two)
	want(two, engine.Options{Targets: place(t, "application.a.a"), Rollback: &engine.Rollback{Address: "application.a.a", Revision: 1}}, "rollback")
}
