package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
)

func place(t *testing.T, list ...string) []addr.Place {
	t.Helper()
	var out []addr.Place
	for _, s := range list {
		p, err := addr.ParsePlace(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func wantActions(t *testing.T, p *plan.Plan, want ...string) {
	t.Helper()
	if got := actions(p); got != strings.Join(want, "\n") {
		t.Errorf("the plan is\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func (f *fixture) wantThings(want map[string]string) {
	f.t.Helper()
	if len(f.world.things) != len(want) {
		f.t.Errorf("what runs is %v, want %v", f.world.things, want)
		return
	}
	for name, content := range want {
		if f.world.things[name] != content {
			f.t.Errorf("what runs is %v, want %v", f.world.things, want)
			return
		}
	}
}

// wantSettled plans again: nothing is left to do.
func (f *fixture) wantSettled(text string) {
	f.t.Helper()
	if p := f.plan(text); !p.Empty() {
		f.t.Errorf("there is still something to do:\n%s", actions(p))
	}
}

const shop = `
-- davit.hcl --
source "s" "repo" { text = "front" }
module "front" {
  source = "./app"
  name   = source.s.repo.text
}
module "back" {
  source   = "./app"
  for_each = { eu = "1", us = "2" }
  name     = "back-${each.key}"
  content  = "${module.front.sum}-${each.value}"
}
application "a" "all" {
  name    = "all"
  content = join(",", [for k, m in module.back : "${k}=${m.name}"])
}
application "a" "one" {
  name    = "one"
  content = module.back["eu"].sum
}
output "names" { value = [for m in module.back : m.name] }
-- app/main.hcl --
variable "name" {
  type = string
  validation {
    condition     = var.name != "x"
    error_message = "too short: ${var.name}"
  }
}
variable "content" { default = "plain" }
locals { full = "${var.name}!" }
application "a" "it" {
  name    = var.name
  content = var.content
}
module "inner" {
  source = "./inner"
  of     = local.full
}
output "name" { value = module.inner.text }
output "sum" { value = application.a.it.sum }
-- app/inner/main.hcl --
variable "of" {}
application "a" "inner" {
  name    = "in-${var.of}"
  content = "x"
}
output "text" { value = application.a.inner.name }
`

// Modules in modules, with for_each, pass values in and out; each instance has its own address.
func TestModules(t *testing.T) {
	f := newFixture(t)
	p := f.plan(shop)
	wantActions(t, p,
		"application.a.all: create", "application.a.one: create",
		"module.front.application.a.it: create", "module.front.module.inner.application.a.inner: create",
		`module.back["eu"].application.a.it: create`, `module.back["eu"].module.inner.application.a.inner: create`,
		`module.back["us"].application.a.it: create`, `module.back["us"].module.inner.application.a.inner: create`)
	f.apply(shop)
	front := sum("plain")
	f.wantThings(map[string]string{
		"front": "plain", "in-front!": "x", "back-eu": front + "-1", "back-us": front + "-2", "in-back-eu!": "x", "in-back-us!": "x",
		"all": "eu=in-back-eu!,us=in-back-us!", "one": sum(front + "-1"),
	})
	f.wantSettled(shop)
	if got := string(f.snapshot().Outputs["names"]); got != `["in-back-eu!","in-back-us!"]` {
		t.Errorf("the output is %s", got)
	}

	fewer := strings.Replace(shop, `, us = "2"`, "", 1)
	wantActions(t, f.plan(fewer),
		"application.a.all: update", "application.a.one: none", "module.front.application.a.it: none", "module.front.module.inner.application.a.inner: none",
		`module.back["eu"].application.a.it: none`, `module.back["eu"].module.inner.application.a.inner: none`,
		`module.back["us"].application.a.it: delete`, `module.back["us"].module.inner.application.a.inner: delete`)
	f.apply(fewer)
	f.wantSettled(fewer)
}

// What depends on one instance of a module is planned in full, even if another one is not known.
func TestAnUnknownInOneModuleInstanceMakesNothingElseUnknown(t *testing.T) {
	f := newFixture(t)
	text := `
-- davit.hcl --
source "s" "repo" {}
build "b" "x" {
  source     = source.s.repo
  repository = "r"
  tag        = "t"
}
module "m" {
  source   = "./m"
  for_each = { known = "1", unknown = build.b.x.digest }
  content  = each.value
}
application "a" "known" {
  name    = "known"
  content = module.m["known"].sum
}
application "a" "unknown" {
  name    = "unknown"
  content = module.m["unknown"].sum
}
-- m/m.hcl --
variable "content" {}
application "a" "x" {
  name    = "x-${var.content}"
  content = "c"
}
output "sum" { value = var.content }
`
	p := f.plan(text)
	for _, c := range p.Changes {
		waits := strings.Contains(c.Address, "unknown")
		if (len(c.WaitsFor) > 0) != waits {
			t.Errorf("%s waits for %v", c.Address, c.WaitsFor)
		}
	}
	f.apply(text)
	f.wantSettled(text)
}

// A module with for_each over something observed, through outputs that need no block of it.
func TestModulesOverObservedThings(t *testing.T) {
	f := newFixture(t)
	f.world.tags = map[string]string{"v1": "d1", "v2": "d2"}
	text := `
-- davit.hcl --
image "i" "x" { repository = "r" }
module "m" {
  source   = "./m"
  for_each = toset(image.i.x.tags)
  tag      = each.key
}
application "a" "x" {
  name    = "x"
  content = join(",", [for k, m in module.m : m.label])
}
-- m/m.hcl --
variable "tag" {}
output "label" { value = "tag ${var.tag}" }
`
	f.apply(text)
	f.wantThings(map[string]string{"x": "tag v1,tag v2"})
	f.wantSettled(text)
	f.world.tags["v3"] = "d3"
	f.apply(text)
	f.wantThings(map[string]string{"x": "tag v1,tag v2,tag v3"})
}

func TestMistakesInModules(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"an argument that there is not": {
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n  namme = 1\n}\n-- m/m.hcl --\nvariable \"name\" { default = 1 }\n",
			[]string{`has no variable "namme". Did you mean "name"?`},
		},
		"a variable without a value": {
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n}\n-- m/m.hcl --\nvariable \"name\" {}\n",
			[]string{`requires a value for "name"`},
		},
		"an output that there is not": {
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n}\noutput \"x\" { value = module.m.nam }\n-- m/m.hcl --\noutput \"name\" { value = 1 }\n",
			[]string{`module.m has no output "nam". Did you mean "name"?`},
		},
		"a call that there is not": {
			"output \"x\" { value = module.m.nam }\n", []string{`module "m" does not exist`},
		},
		"modules that call each other": {
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n}\n-- m/m.hcl --\nmodule \"up\" {\n  source = \"../\"\n}\n",
			[]string{"calls ../, which already contains it"},
		},
		"a circle through modules": {
			"-- d.hcl --\nmodule \"a\" {\n  source = \"./m\"\n  in = module.b.out\n}\nmodule \"b\" {\n  source = \"./m\"\n  in = module.a.out\n}\n" +
				"-- m/m.hcl --\nvariable \"in\" {}\noutput \"out\" { value = var.in }\n",
			[]string{"module.a.var.in -> module.b.output.out -> module.b.var.in -> module.a.output.out -> module.a.var.in"},
		},
		"settings in a module": {
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n}\n-- m/m.hcl --\ndavit {}\n", []string{"A module cannot have a davit block"},
		},
		"a value that the module refuses": {
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n  n = \"x\"\n}\n-- m/m.hcl --\nvariable \"n\" {\n  validation {\n    condition = var.n != \"x\"\n    error_message = \"too short\"\n  }\n}\n" +
				"application \"a\" \"x\" {\n  name = var.n\n}\n",
			[]string{"Invalid value for variable n: too short"},
		},
		"a value of a wrong type": {
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n  n = \"x\"\n}\n-- m/m.hcl --\nvariable \"n\" { type = number }\napplication \"a\" \"x\" {\n  name = var.n\n}\n",
			[]string{`Variable "n" must be a number`},
		},
		"a block that is not there": {
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n}\napplication \"a\" \"y\" { name = \"y\" }\n-- m/m.hcl --\noutput \"x\" { value = application.a.y.sum }\n",
			[]string{"The stack has no block application.a.y"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := newFixture(t).tryPlan(c.text, plan.ModeApply)
			wantDiags(t, diags, c.want...)
		})
	}
}

// A moved block renames records, with what depends on them; nothing is made or deleted.
func TestMoved(t *testing.T) {
	for name, c := range map[string]struct{ before, after string }{
		"another name": {
			`application "a" "old" { name = "x" }`,
			"application \"a\" \"new\" { name = \"x\" }\nmoved {\n  from = application.a.old\n  to = application.a.new\n}",
		},
		"a key": {
			`application "a" "it" { name = "x" }`,
			"application \"a\" \"it\" {\n  for_each = toset([\"k\"])\n  name = \"x\"\n}\nmoved {\n  from = application.a.it\n  to = application.a.it[\"k\"]\n}",
		},
		"no key any more": {
			"application \"a\" \"it\" {\n  count = 1\n  name = \"x\"\n}",
			"application \"a\" \"it\" { name = \"x\" }\nmoved {\n  from = application.a.it[0]\n  to = application.a.it\n}",
		},
		"twice": {
			`application "a" "one" { name = "x" }`,
			"application \"a\" \"three\" { name = \"x\" }\nmoved {\n  from = application.a.two\n  to = application.a.three\n}\nmoved {\n  from = application.a.one\n  to = application.a.two\n}",
		},
		"into a module": {
			`application "a" "it" { name = "x" }`,
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n}\nmoved {\n  from = application.a.it\n  to = module.m.application.a.it\n}\n-- m/m.hcl --\napplication \"a\" \"it\" { name = \"x\" }\n",
		},
		"a whole module": {
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n}\n-- m/m.hcl --\napplication \"a\" \"it\" { name = \"x\" }\n",
			"-- d.hcl --\nmodule \"n\" {\n  source = \"./m\"\n  for_each = toset([\"k\"])\n}\nmoved {\n  from = module.m\n  to = module.n[\"k\"]\n}\n-- m/m.hcl --\napplication \"a\" \"it\" { name = \"x\" }\n",
		},
		"in a module": {
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n  count = 2\n}\n-- m/m.hcl --\napplication \"a\" \"it\" { name = \"x\" }\n",
			"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n  count = 2\n}\n-- m/m.hcl --\napplication \"a\" \"that\" { name = \"x\" }\nmoved {\n  from = application.a.it\n  to = application.a.that\n}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.apply(c.before)
			done := len(f.world.applied)
			before := f.snapshot()
			p := f.plan(c.after)
			if len(p.Moves) != len(before.Records) || p.Empty() {
				t.Errorf("the moves are %v", p.Moves)
			}
			f.apply(c.after)
			if len(f.world.applied) != done {
				t.Errorf("work was done: %v", f.world.applied[done:])
			}
			f.wantSettled(c.after)
			for _, m := range p.Moves {
				if h, err := f.store.History(t.Context(), m.To); err != nil || len(h) == 0 {
					t.Errorf("the history of %s did not move along: %v", m.To, err)
				}
			}
		})
	}
}

func TestMovesThatCannotBe(t *testing.T) {
	f := newFixture(t)
	f.apply("application \"a\" \"x\" { name = \"x\" }\napplication \"a\" \"y\" { name = \"y\" }")
	_, diags := f.tryPlan("application \"a\" \"y\" { name = \"y\" }\nmoved {\n  from = application.a.x\n  to = application.a.y\n}", plan.ModeApply)
	wantDiags(t, diags, "The state has records of both application.a.x and application.a.y")
	_, diags = f.tryPlan("application \"a\" \"y\" { name = \"y\" }\nmoved {\n  from = application.a.x\n  to = source.s.y\n}", plan.ModeApply)
	wantDiags(t, diags, "application.a.x cannot move to source.s.y")
}

// A removed block leaves what is there alone, or lets it be deleted.
func TestRemoved(t *testing.T) {
	for _, destroy := range []bool{false, true} {
		t.Run(fmt.Sprint(destroy), func(t *testing.T) {
			f := newFixture(t)
			f.apply(`application "a" "x" { name = "x" }`)
			text := fmt.Sprintf("locals {}\nremoved {\n  from = application.a.x\n  lifecycle { destroy = %t }\n}", destroy)
			p := f.plan(text)
			want := "application.a.x: forget"
			if destroy {
				want = "application.a.x: delete"
			}
			wantActions(t, p, want)
			f.apply(text)
			if _, there := f.world.things["x"]; there == destroy {
				t.Errorf("what runs is %v", f.world.things)
			}
			if n := len(f.snapshot().Records); n != 0 {
				t.Errorf("state has %d records", n)
			}
			f.wantSettled(text)
		})
	}
	_, diags := newFixture(t).tryPlan("application \"a\" \"x\" { name = \"x\" }\nremoved {\n  from = application.a.x\n}", plan.ModeApply)
	wantDiags(t, diags, "application.a.x is declared")
}

func TestConditions(t *testing.T) {
	f := newFixture(t)
	text := func(pre, post string) string {
		return fmt.Sprintf("application \"a\" \"x\" {\n  name = \"x\"\n  lifecycle {\n    precondition {\n      condition = %s\n      error_message = \"before\"\n    }\n    postcondition {\n      condition = %s\n      error_message = \"after ${self.name}\"\n    }\n  }\n}\n", pre, post)
	}
	_, diags := f.tryPlan(text("1 > 2", "true"), plan.ModeApply)
	wantDiags(t, diags, "before")
	_, diags = f.tryPlan(text("true", `self.health != "Current"`), plan.ModeApply)
	wantDiags(t, diags, "after x")
	f.apply(text("true", `self.health == "Current"`))

	// A condition on something that is known after apply only is checked then, and stops what it belongs to.
	late := chain + "application \"a\" \"late\" {\n  name = \"late\"\n  lifecycle {\n    precondition {\n      condition = build.b.api.digest == \"sha256:nothing\"\n      error_message = \"not the right one\"\n    }\n  }\n}\n"
	p := f.plan(late)
	if len(p.Checks) != 1 || p.Checks[0].Status != "unknown" {
		t.Errorf("the checks are %v", p.Checks)
	}
	res, diags := f.tryApply(late, p, false)
	wantDiags(t, diags, "not the right one")
	if len(res.Failed) != 1 || res.Failed[0].Address != "application.a.late" {
		t.Errorf("what failed is %v", res.Failed)
	}
	if _, made := f.world.things["late"]; made {
		t.Error("it was made all the same")
	}
}

// A check warns, and stops nothing.
func TestChecks(t *testing.T) {
	f := newFixture(t)
	p, diags := f.tryPlan("application \"a\" \"x\" { name = \"x\" }\ncheck \"named\" {\n  assert {\n    condition = application.a.x.name == \"y\"\n    error_message = \"it is called ${application.a.x.name}\"\n  }\n}\ncheck \"fine\" {\n  assert {\n    condition = true\n    error_message = \"\"\n  }\n}\n", plan.ModeApply)
	wantDiags(t, diags, "it is called x")
	if diags.HasErrors() || len(p.Checks) != 2 || p.Checks[0].Status != "fail" || p.Checks[1].Status != "pass" || len(p.Warnings) != 1 {
		t.Errorf("the checks are %v, the warnings %v", p.Checks, p.Warnings)
	}
}

func TestIgnoreChanges(t *testing.T) {
	f := newFixture(t)
	text := func(content, ignore string) string {
		return fmt.Sprintf("application \"a\" \"x\" {\n  name = \"x\"\n  content = %q\n  lifecycle { ignore_changes = %s }\n}\n", content, ignore)
	}
	f.apply(text("one", "[content]"))
	f.wantSettled(text("two", "[content]"))
	f.wantSettled(text("two", "all"))
	f.apply(text("two", "[]"))
	f.wantThings(map[string]string{"x": "two"})
	_, diags := f.tryPlan(text("two", "[contetn]"), plan.ModeApply)
	wantDiags(t, diags, `no argument "contetn" to ignore. Did you mean "content"?`)
}

func TestReplaceTriggeredBy(t *testing.T) {
	text := func(content string) string {
		return "application \"a\" \"x\" {\n  name = \"x\"\n  content = \"" + content + "\"\n}\napplication \"a\" \"y\" {\n  name = \"y\"\n  lifecycle { replace_triggered_by = [application.a.x.content] }\n}\n"
	}
	f := newFixture(t)
	f.apply(text("one"))
	f.wantSettled(text("one"))
	p := f.plan(text("two"))
	wantActions(t, p, "application.a.x: update", "application.a.y: replace")
	if c := p.Changes[1]; !c.TwoSteps || !strings.Contains(c.Reasons[0], "application.a.x.content has changed") {
		t.Errorf("the change is %+v", c)
	}
	f.world.applied = nil
	f.apply(text("two"))
	if want := []string{"delete application.a.y", "application.a.x", "application.a.y"}; !slices.Equal(f.world.applied, want) {
		t.Errorf("what was done is %v, want %v", f.world.applied, want)
	}
	f.wantSettled(text("two"))
}

func TestReplaceBecauseThePersonSaysSo(t *testing.T) {
	f := newFixture(t)
	text := "application \"a\" \"x\" {\n  name = \"x\"\n}\napplication \"a\" \"y\" {\n  name = \"y\"\n  content = application.a.x.sum\n}"
	f.apply(text)
	p, diags := f.planWith(text, engine.Options{Replace: place(t, "application.a.x")})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	wantActions(t, p, "application.a.x: replace", "application.a.y: update")
	f.world.applied = nil
	if _, diags := f.tryApply(text, p, true); diags.HasErrors() {
		t.Fatal(diags)
	}
	if want := []string{"delete application.a.x", "application.a.x"}; !slices.Equal(f.world.applied, want) {
		t.Errorf("what was done is %v, want %v", f.world.applied, want)
	}
	_, diags = f.planWith(text, engine.Options{Replace: place(t, "application.a.xx")})
	wantDiags(t, diags, `-replace=application.a.xx: it is neither in the stack nor in the state. Did you mean "application.a.x"?`)
}

func TestTargetsAndExcludes(t *testing.T) {
	text := `
source "s" "one" { text = "1" }
source "s" "two" { text = "2" }
application "a" "one" {
  name    = "one"
  content = source.s.one.text
}
application "a" "two" {
  for_each = toset(["x", "y"])
  name     = "two-${each.key}"
  content  = source.s.two.text
}
application "a" "end" {
  name    = "end"
  content = application.a.two["x"].sum
}
`
	plan := func(f *fixture, o engine.Options) *plan.Plan {
		p, diags := f.planWith(text, o)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return p
	}
	f := newFixture(t)
	p := plan(f, engine.Options{Targets: place(t, "application.a.end")})
	wantActions(t, p, `application.a.two["x"]: create`, "application.a.end: create")
	if len(p.Observations) != 1 || p.Observations[0].Address != "source.s.two" {
		t.Errorf("it looked at %v", p.Observations)
	}
	wantActions(t, plan(f, engine.Options{Targets: place(t, `application.a.two["y"]`, "application.a.one")}), "application.a.one: create", `application.a.two["y"]: create`)
	wantActions(t, plan(f, engine.Options{Excludes: place(t, `application.a.two["x"]`)}), "application.a.one: create", `application.a.two["y"]: create`)
	wantActions(t, plan(f, engine.Options{Excludes: place(t, "source.s.two")}), "application.a.one: create")

	if _, diags := f.tryApply(text, p, false); diags.HasErrors() {
		t.Fatal(diags)
	}
	f.wantThings(map[string]string{"two-x": "2", "end": sum("2")})
	f.apply(text)
	f.wantSettled(text)

	// Nothing outside of the targets is deleted.
	text = "locals {}"
	wantActions(t, plan(f, engine.Options{Targets: place(t, "application.a.one")}), "application.a.one: delete")
	wantActions(t, plan(f, engine.Options{Excludes: place(t, "application.a.two")}), "application.a.end: delete", "application.a.one: delete")
	p = plan(f, engine.Options{Mode: "destroy", Targets: place(t, `application.a.two["x"]`)})
	wantActions(t, p, "application.a.end: delete", `application.a.two["x"]: delete`)
}

func TestWithoutALookAtTheWorld(t *testing.T) {
	f := newFixture(t)
	f.world.tags = map[string]string{"v1": "d1"}
	text := func(plain string) string {
		return "image \"i\" \"x\" { repository = \"r\" }\npolicy \"p\" \"x\" { image = image.i.x }\napplication \"a\" \"x\" {\n  name = \"x\"\n  content = policy.p.x.ref\n}\napplication \"a\" \"y\" {\n  name = \"y\"\n  plain = \"" + plain + "\"\n}\n"
	}
	f.apply(text("one"))
	f.world.tags["v2"] = "d2"
	f.world.things["x"] = "changed by somebody"
	p, diags := f.planWith(text("two"), engine.Options{NoRefresh: true})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	wantActions(t, p, "application.a.x: none", "application.a.y: update")
	wantActions(t, f.plan(text("two")), "application.a.x: update", "application.a.y: update")
}

// A refresh shows what somebody else has changed, and brings state up to date without touching anything.
func TestRefresh(t *testing.T) {
	f := newFixture(t)
	text := "source \"s\" \"x\" {}\napplication \"a\" \"x\" {\n  name = \"x\"\n  content = source.s.x.revision\n}\napplication \"a\" \"gone\" { name = \"gone\" }\napplication \"a\" \"new\" {\n  name = \"new\"\n  count = 0\n}\n"
	f.apply(text)
	f.world.things["x"] = "drifted"
	delete(f.world.things, "gone")
	f.world.revision = "r2"
	done, before := len(f.world.applied), string(f.snapshot().Records["application.a.x"].Outputs)
	later := strings.Replace(text, "count = 0", "count = 1", 1)
	p, diags := f.planWith(later, engine.Options{Mode: plan.ModeRefresh})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	wantActions(t, p, "application.a.x: none", "application.a.gone: forget")
	if p.Summary.Drift != 2 || len(p.Changes[0].Items) != 1 || string(p.Changes[0].Items[0].Fields[0].Before) != `"drifted"` {
		t.Errorf("the drift is %+v", p.Changes)
	}
	if _, diags := f.tryApply(later, p, false); diags.HasErrors() {
		t.Fatal(diags)
	}
	if len(f.world.applied) != done || f.world.things["x"] != "drifted" {
		t.Errorf("a refresh changed the world: %v", f.world.applied[done:])
	}
	s := f.snapshot()
	if _, there := s.Records["application.a.gone"]; there || !strings.Contains(string(s.Records["source.s.x"].Outputs), "r2") || string(s.Records["application.a.x"].Outputs) != before {
		t.Errorf("state was not brought up to date: %v", s.Records)
	}
}

// What is new in the stack, and so was never applied, does not keep a refresh from what depends on it.
func TestRefreshBeforeSomethingNewIsApplied(t *testing.T) {
	f := newFixture(t)
	f.apply("application \"a\" \"x\" { name = \"x\" }\n")
	delete(f.world.things, "x")
	text := "application \"a\" \"new\" {\n  for_each = toset([\"k\"])\n  name = \"new\"\n}\n" +
		"application \"a\" \"x\" {\n  name = \"x\"\n  content = application.a.new[\"k\"].sum\n}\n"
	p, diags := f.planWith(text, engine.Options{Mode: plan.ModeRefresh})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	wantActions(t, p, "application.a.x: forget")
	res, diags := f.tryApply(text, p, false)
	if diags.HasErrors() || len(res.Done) != 1 || len(res.NotStarted) > 0 || len(f.snapshot().Records) > 0 {
		t.Errorf("%+v, %v, %v", res, diags, f.snapshot().Records)
	}
}

// A rollback brings an instance back to what an earlier revision was, and holds it there.
func TestRollback(t *testing.T) {
	f := newFixture(t)
	text := func(content string) string {
		return "source \"s\" \"x\" {}\napplication \"a\" \"x\" {\n  name = \"x\"\n  content = \"" + content + "\"\n  depends_on = [source.s.x]\n}\n"
	}
	for _, c := range []string{"one", "two", "three"} {
		f.apply(text(c))
	}
	p, diags := f.planWith(text("three"), engine.Options{Targets: place(t, "application.a.x"), Rollback: &engine.Rollback{Address: "application.a.x", Revision: 1, Who: "me@here", Reason: "slow"}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	wantActions(t, p, "application.a.x: update")
	if h := p.Changes[0].Hold; h == nil || h.Revision != 1 || h.Reason != "slow" {
		t.Errorf("the hold is %+v", h)
	}
	if _, diags := f.tryApply(text("three"), p, true); diags.HasErrors() {
		t.Fatal(diags)
	}
	f.wantThings(map[string]string{"x": "one"})
	f.wantSettled(text("four")) // held, whatever the block says
	if h := f.snapshot().Records["application.a.x"].Hold; h == nil || h.Revision != 1 || h.Who != "me@here" || h.Since.IsZero() {
		t.Errorf("the record's hold is %+v", h)
	}
	list, err := f.store.History(t.Context(), "application.a.x")
	if err != nil || len(list) != 4 || list[0].Who != "tester" || list[0].Action != "update" || !strings.Contains(string(list[0].Inputs), "source.s.x") {
		t.Errorf("the history is %+v, %v", list, err)
	}
}

// A rollback leaves what its instance depends on alone, though that has changed; a secret of it is asked for, as state has none.
func TestARollbackIsAboutOneInstance(t *testing.T) {
	f := newFixture(t)
	text := func(plain, name string) string {
		return "application \"a\" \"up\" {\n  name = \"up\"\n  plain = \"" + plain + "\"\n}\n" +
			"application \"a\" \"x\" {\n  name = \"x\"\n  plain = \"" + name + "\"\n  content = application.a.up.sum\n  secret = application.a.up.token\n}\n"
	}
	for _, v := range []string{"one", "two"} {
		f.apply(text(v, v))
	}
	back := engine.Options{Targets: place(t, "application.a.x"), Rollback: &engine.Rollback{Address: "application.a.x", Revision: 1, Who: "me@here"}}
	p, diags := f.planWith(text("two", "two"), back)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	wantActions(t, p, "application.a.up: none", "application.a.x: update")
	if _, diags := f.tryApply(text("two", "two"), p, true); diags.HasErrors() {
		t.Fatal(diags)
	}
	f.wantThings(map[string]string{"up": "two", "x": sum("one") + "one"})

	// What has changed since is not applied on the way; what its secret is then, nobody knows.
	back.Rollback.Revision = 2
	done := len(f.world.applied)
	_, diags = f.planWith(text("three", "three"), back)
	wantDiags(t, diags, "It needs outputs of application.a.up that are not in the state")
	if len(f.world.applied) != done {
		t.Errorf("it did %v", f.world.applied[done:])
	}
}

// With create_before_destroy the new one is there before the old one goes, if they can be there both; and the old one is not
// forgotten when deleting it fails.
func TestCreateBeforeDestroy(t *testing.T) {
	f := newFixture(t)
	text := func(name string) string {
		return "application \"a\" \"x\" {\n  name = \"" + name + "\"\n  plain = \"p\"\n  lifecycle {\n    create_before_destroy = true\n  }\n}\n"
	}
	anew := engine.Options{Replace: place(t, "application.a.x")}
	first := true // whether the new one can be created first
	replace := func(name string) hcl.Diagnostics {
		p, diags := f.planWith(text(name), anew)
		if diags.HasErrors() || p.Changes[0].CreateFirst != first || p.Changes[0].Action != plan.Replace {
			t.Fatalf("%+v %v", p, diags)
		}
		f.world.applied = nil
		_, diags = f.tryApply(text(name), p, false)
		return diags
	}
	f.apply(text("one"))
	if diags := replace("two"); diags.HasErrors() {
		t.Fatal(diags)
	}
	f.wantThings(map[string]string{"two": "p"})
	if got := strings.Join(f.world.applied, ", "); got != "application.a.x, delete application.a.x" {
		t.Errorf("the order was %s", got)
	}
	first = false // it cannot be there twice
	if diags := replace("two"); diags.HasErrors() {
		t.Fatal(diags)
	}
	first = true
	if got := strings.Join(f.world.applied, ", "); got != "delete application.a.x, application.a.x" {
		t.Errorf("the order was %s", got)
	}
	f.world.fail["delete two"] = "error"
	wantDiags(t, replace("three"), "it cannot be deleted")
	f.wantThings(map[string]string{"two": "p", "three": "p"})
	if n := len(f.snapshot().Operations); n != 1 {
		t.Fatalf("%d operations are open", n)
	}
	f.world.fail = map[string]string{}
	f.apply(text("three"))
	f.wantThings(map[string]string{"three": "p"})
	if n := len(f.snapshot().Operations); n != 0 {
		t.Errorf("%d operations are open", n)
	}
	f.wantSettled(text("three"))
}

// A rollback that is cut off in its middle is gone on with, and holds.
func TestARollbackThatIsCutOff(t *testing.T) {
	f := newFixture(t)
	text := func(content string) string {
		return "application \"a\" \"x\" {\n  name = \"x\"\n  content = \"" + content + "\"\n}\n"
	}
	f.apply(text("one"))
	f.apply(text("two"))
	back := engine.Options{Targets: place(t, "application.a.x"), Rollback: &engine.Rollback{Address: "application.a.x", Revision: 1, Who: "me@here"}}
	p, diags := f.planWith(text("two"), back)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	f.world.fail["application.a.x"] = "lost"
	if _, diags := f.tryApply(text("two"), p, true); !diags.HasErrors() {
		t.Fatal("the loss was not noticed")
	}
	delete(f.world.fail, "application.a.x")
	f.apply(text("two"))
	f.wantThings(map[string]string{"x": "one"})
	if h := f.snapshot().Records["application.a.x"].Hold; h == nil || h.Revision != 1 || h.Who != "me@here" {
		t.Errorf("the record's hold is %+v", h)
	}
	f.wantSettled(text("two"))
}

// A changed secret is seen by its keyed hash; the secret itself is nowhere.
func TestAChangedSecretIsSeen(t *testing.T) {
	f := newFixture(t)
	text := "variable \"s\" { sensitive = true }\napplication \"a\" \"x\" {\n  name = \"x\"\n  secret = var.s\n}\n"
	one, two := "hunter2-one", "hunter2-two"
	f.fingerprint = func(path string, v []byte) string { return "hmac:k1:" + sum(path+string(v)) }
	f.given = []eval.Given{{Name: "s", Text: &one}}
	f.apply(text)
	f.wantSettled(text)
	f.given = []eval.Given{{Name: "s", Text: &two}}
	p := f.plan(text)
	wantActions(t, p, "application.a.x: update")
	if !strings.Contains(strings.Join(p.Changes[0].Reasons, " "), "sensitive secret changed") {
		t.Errorf("the reasons are %v", p.Changes[0].Reasons)
	}
	// Another key: nothing can be told, which is not a change.
	f.fingerprint = func(path string, v []byte) string { return "hmac:k2:" + sum(path+string(v)) }
	f.wantSettled(text)
}

func TestDynamicBlocksAndDependsOnModules(t *testing.T) {
	f := newFixture(t)
	text := `
-- d.hcl --
module "m" {
  source = "./m"
}
application "a" "x" {
  name       = "x"
  depends_on = [module.m]
}
-- m/m.hcl --
application "a" "y" { name = "y" }
`
	p := f.plan(text)
	if got := p.Changes[0].DependsOn; !slices.Equal(got, []string{"module.m.application.a.y"}) {
		t.Errorf("it depends on %v", got)
	}
}

// An error of a function that repeats its argument does not show a secret.
func TestErrorsShowNoSecrets(t *testing.T) {
	f := newFixture(t)
	secret := "hunter2-hunter2"
	f.given = []eval.Given{{Name: "s", Text: &secret}}
	_, diags := f.tryPlan("variable \"s\" { sensitive = true }\napplication \"a\" \"x\" { name = tostring(parseint(var.s, 10)) }\n", plan.ModeApply)
	if !diags.HasErrors() || strings.Contains(diags.Error(), secret) {
		t.Errorf("the error is %v", diags)
	}
}

// A block over all instances of another one gets the value of each when that one is done, whatever the others do.
func TestEachValueOfAnInstanceThatWasJustMade(t *testing.T) {
	f := newFixture(t)
	stack := `
application "a" "one" {
  for_each = toset([for i in range(40) : "k${i}"])
  name     = each.key
  plain    = each.key
}
application "a" "two" {
  for_each = application.a.one
  name     = "two-${each.value.name}"
  content  = each.value.sum
}
`
	f.apply(stack)
	for i := range 40 {
		key := fmt.Sprintf("k%d", i)
		if got := f.world.things["two-"+key]; got != sum(key) {
			t.Errorf("%s is made of %q, want %q", key, got, sum(key))
		}
	}
	if !f.plan(stack).Empty() {
		t.Error("there is more to do")
	}
}

// What is there already has its secrets for what depends on it, though neither the plan nor its record holds them.
func TestWhatIsAdoptedOrImportedHasItsSecrets(t *testing.T) {
	for name, block := range map[string]string{"adopted": "", "imported": "import {\n  to = application.a.up\n  id = \"up\"\n}\n"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.world.things["up"] = ""
			text := block + `
application "a" "up" { name = "up" }
application "a" "x" {
  name  = "x"
  plain = nonsensitive(application.a.up.token == "hunter2-up") ? "right" : "wrong"
}
`
			wantActions(t, f.plan(text), "application.a.up: adopt", "application.a.x: create")
			f.apply(text)
			if got := f.world.things["x"]; got != "right" {
				t.Errorf("what depends on it is %q", got)
			}
			f.wantSettled(text)
		})
	}
}

// A deletion that was cut off may have been done: its instance is looked at, even without a look at the world.
func TestADeletionThatIsCutOffIsLookedAt(t *testing.T) {
	f := newFixture(t)
	text := "application \"a\" \"x\" { name = \"x\" }\n"
	f.apply(text)
	p, diags := f.planWith(text, engine.Options{Mode: plan.ModeDestroy})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	f.world.fail["application.a.x"] = "lost"
	if _, diags := f.tryApply(text, p, false); !diags.HasErrors() {
		t.Fatal("the loss was not noticed")
	}
	delete(f.world.fail, "application.a.x")
	p, diags = f.planWith(text, engine.Options{NoRefresh: true})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	wantActions(t, p, "application.a.x: create")
	f.apply(text)
	f.wantThings(map[string]string{"x": ""})
	f.wantSettled(text)
}

// A plan whose apply was cut off is not applied again, and says what has begun.
func TestAPlanWhoseApplyWasCutOff(t *testing.T) {
	f := newFixture(t)
	text := "application \"a\" \"x\" { name = \"x\" }\n"
	p := f.plan(text)
	f.world.fail["application.a.x"] = "lost"
	if _, diags := f.tryApply(text, p, true); !diags.HasErrors() {
		t.Fatal("the loss was not noticed")
	}
	_, diags := f.tryApply(text, p, true)
	wantDiags(t, diags, "its serial was 0 and is now 1: application.a.x (create started at ")
}

// A replacement that makes the new one first and fails in its middle goes on, and deletes the old one then.
func TestAReplacementThatFailsWithAPart(t *testing.T) {
	f := newFixture(t)
	text := func(name string) string {
		return "application \"a\" \"x\" {\n  name = \"" + name + "\"\n  lifecycle { create_before_destroy = true }\n}\n"
	}
	f.apply(text("one"))
	p, diags := f.planWith(text("two"), engine.Options{Replace: place(t, "application.a.x")})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	f.world.fail["two"] = "part"
	if _, diags := f.tryApply(text("two"), p, false); !diags.HasErrors() {
		t.Fatal("it does not fail")
	}
	delete(f.world.fail, "two")
	if rec := f.snapshot().Records["application.a.x"]; !strings.Contains(string(rec.Config), `"one"`) {
		t.Errorf("the record is %s", rec.Config)
	}
	f.apply(text("two"))
	f.wantThings(map[string]string{"two": ""})
	if tries := f.world.tries; len(tries) != 3 || tries[1].operation != tries[2].operation || tries[2].saved == "" {
		t.Errorf("the tries are %+v", tries)
	}
	if n := len(f.snapshot().Operations); n != 0 {
		t.Errorf("%d operations are open", n)
	}
	f.wantSettled(text("two"))
}
