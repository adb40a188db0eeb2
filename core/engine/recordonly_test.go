package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/plan"
)

// outdated returns what the plan says of records that are out of date, as "b: dependencies; ...".
func outdated(p *plan.Plan) string {
	var list []string
	for _, c := range p.Changes {
		if len(c.Record) > 0 {
			list = append(list, strings.TrimPrefix(c.Address, "application.a.")+": "+strings.Join(c.Record, ", "))
		}
	}
	return strings.Join(list, "; ")
}

// wantOutdated plans and applies a stack in which only records change.
func (f *fixture) wantOutdated(text, want string) {
	f.t.Helper()
	p := f.plan(text)
	if got := outdated(p); got != want || !p.Empty() {
		f.t.Errorf("out of date is %q, want %q; the plan is\n%s", got, want, actions(p))
	}
	for _, c := range p.Changes {
		if len(c.Record) > 0 && !slices.Contains(c.Causes, plan.CauseState) {
			f.t.Errorf("the causes of %s are %v", c.Address, c.Causes)
		}
	}
	f.world.applied = nil
	if _, diags := f.tryApply(text, p, true); diags.HasErrors() {
		f.t.Fatal(diags)
	}
	if len(f.world.applied) > 0 {
		f.t.Errorf("it did %v", f.world.applied)
	}
	if got := outdated(f.plan(text)); got != "" {
		f.t.Errorf("after the apply out of date is %q", got)
	}
}

// destroyed returns what a destroy would delete.
func (f *fixture) destroyed(text string, opts engine.Options) string {
	f.t.Helper()
	opts.Mode = plan.ModeDestroy
	p, diags := f.planWith(text, opts)
	if diags.HasErrors() {
		f.t.Fatal(diags)
	}
	var list []string
	for _, s := range p.Steps {
		list = append(list, strings.TrimPrefix(s.Address, "application.a."))
	}
	return strings.Join(list, ", ")
}

// TestDependenciesOfARecord: a dependency that changes no value is in the record after the next apply, and counts in a destroy even before.
func TestDependenciesOfARecord(t *testing.T) {
	a := appBlock("a", "a", `"one"`, "")
	for _, tt := range []struct{ name, before, after string }{
		{"depends_on", appBlock("b", "b", `"b"`, ""), appBlock("b", "b", `"b"`, "depends_on = [application.a.a]")},
		{"a reference of the same value", appBlock("b", "b", `"a"`, ""), appBlock("b", "b", "application.a.a.name", "")},
		{"through a local", appBlock("b", "b", `"a"`, ""), "locals { n = application.a.a.name }\n" + appBlock("b", "b", "local.n", "")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.apply(a + tt.before)
			if got := f.destroyed(a+tt.before, engine.Options{Targets: place(t, "application.a.a")}); got != "a" {
				t.Errorf("before: destroy -target=a deletes %s", got)
			}
			for _, applied := range []bool{false, true} {
				if applied {
					f.wantOutdated(a+tt.after, "b: dependencies")
				}
				for _, d := range []struct {
					opts engine.Options
					want string
				}{
					{engine.Options{Targets: place(t, "application.a.a")}, "b, a"},
					{engine.Options{Excludes: place(t, "application.a.b")}, ""},
					{engine.Options{}, "b, a"},
				} {
					if got := f.destroyed(a+tt.after, d.opts); got != d.want {
						t.Errorf("applied %t: destroy %v deletes %q, want %q", applied, d.opts, got, d.want)
					}
				}
			}
		})
	}
}

// TestAForEachThatGrows: who reads a block as a whole depends on all of its instances.
func TestAForEachThatGrows(t *testing.T) {
	text := func(keys string) string {
		return "application \"a\" \"x\" {\n  for_each = toset(" + keys + ")\n  name = each.key\n  content = \"x\"\n}\n" +
			appBlock("b", "b", `length(application.a.x) > 0 ? "some" : "none"`, "")
	}
	f := newFixture(t)
	f.apply(text(`["p"]`))
	f.apply(text(`["p", "q"]`))
	if deps := f.snapshot().Records["application.a.b"].DependsOn; !slices.Equal(deps, []string{`application.a.x["p"]`, `application.a.x["q"]`}) {
		t.Errorf("the record depends on %v", deps)
	}
}

// TestArgumentsOfARecord: a plugin has nothing to do for another argument, or made the update and then failed.
func TestArgumentsOfARecord(t *testing.T) {
	f := newFixture(t)
	// Its content is "x" in both, given in two ways.
	f.apply("application \"a\" \"a\" {\n  name = \"a\"\n  content = \"x\"\n}\n")
	now := "application \"a\" \"a\" {\n  name = \"a\"\n  plain = \"x\"\n}\n"
	f.wantOutdated(now, "a: arguments")
	list, err := f.store.History(t.Context(), "application.a.a")
	if err != nil || len(list) != 2 || !strings.Contains(strings.Join(list[0].Reasons, " "), "only its record was out of date: arguments") {
		t.Errorf("the history is %+v", list)
	}
	// What is ignored from now on is what runs, not what was applied long ago.
	f.wantSettled("application \"a\" \"a\" {\n  name = \"a\"\n  plain = \"y\"\n  lifecycle { ignore_changes = [plain] }\n}\n")
}
