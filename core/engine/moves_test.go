package engine_test

import (
	"testing"

	"github.com/davit-sh/davit/core/plan"
)

const (
	movedModuleM = "-- m/m.hcl --\napplication \"a\" \"it\" { name = \"x\" }\n"
	keyedNames   = "-- m/m.hcl --\nvariable \"n\" {}\napplication \"a\" \"it\" { name = var.n }\n"
)

func movedBlock(from, to string) string {
	return "moved {\n  from = " + from + "\n  to = " + to + "\n}\n"
}

func callModule(name, rest string) string {
	return "module \"" + name + "\" {\n  source = \"./m\"\n  " + rest + "\n}\n"
}

// Whole modules are renamed with all that is in them, and blocks that are renamed in them at the same time are found there.
func TestMovedModules(t *testing.T) {
	each := "for_each = toset([\"a\", \"b\"])\n  n = each.key"
	renamed := "-- m/m.hcl --\nvariable \"n\" {}\napplication \"a\" \"that\" { name = var.n }\n" + movedBlock("application.a.it", "application.a.that")
	outer := func(name string) string {
		return "-- o/o.hcl --\nmodule \"" + name + "\" {\n  source = \"../m\"\n  count = 2\n  n = \"x${count.index}\"\n}\n"
	}
	for name, c := range map[string]struct {
		before, after string
		want          []string
	}{
		"all instances": {
			"-- d.hcl --\n" + callModule("m", each) + keyedNames,
			"-- d.hcl --\n" + callModule("k", each) + movedBlock("module.m", "module.k") + keyedNames,
			[]string{`module.k["a"].application.a.it`, `module.k["b"].application.a.it`},
		},
		"one instance": {
			"-- d.hcl --\n" + callModule("m", each) + keyedNames,
			"-- d.hcl --\n" + callModule("m", "for_each = toset([\"a\"])\n  n = \"a\"") + callModule("k", "n = \"b\"") + movedBlock(`module.m["b"]`, "module.k") + keyedNames,
			[]string{`module.k.application.a.it`, `module.m["a"].application.a.it`},
		},
		"with a block that is renamed in it": {
			"-- d.hcl --\n" + callModule("m", each) + keyedNames,
			"-- d.hcl --\n" + callModule("k", each) + movedBlock("module.m", "module.k") + renamed,
			[]string{`module.k["a"].application.a.that`, `module.k["b"].application.a.that`},
		},
		"in each other, renamed twice": {
			"-- d.hcl --\nmodule \"o\" { source = \"./o\" }\n" + outer("m") + keyedNames,
			"-- d.hcl --\nmodule \"p\" { source = \"./o\" }\n" + movedBlock("module.o", "module.n") + movedBlock("module.n", "module.p") +
				outer("k") + movedBlock("module.m", "module.k") + renamed,
			[]string{`module.p.module.k[0].application.a.that`, `module.p.module.k[1].application.a.that`},
		},
		"a block that comes into a module and is renamed there": {
			`application "a" "x" { name = "x" }`,
			"-- d.hcl --\n" + callModule("k", "n = \"x\"") + movedBlock("application.a.x", "module.k.application.a.it") + renamed,
			[]string{`module.k.application.a.that`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.apply(c.before)
			done := len(f.world.applied)
			f.apply(c.after)
			if len(f.world.applied) != done {
				t.Errorf("work was done: %v", f.world.applied[done:])
			}
			records := f.snapshot().Records
			for _, address := range c.want {
				if _, there := records[address]; !there {
					t.Errorf("state has no record of %s: %v", address, records)
				}
			}
			if len(records) != len(c.want) {
				t.Errorf("state has %d records, want %d", len(records), len(c.want))
			}
			f.wantSettled(c.after)
		})
	}
}

func TestMovesThatNobodyCouldFollow(t *testing.T) {
	both := "application \"a\" \"x\" { name = \"x\" }\napplication \"a\" \"y\" { name = \"y\" }\n"
	keyed := func(keys string) string {
		return "application \"a\" \"it\" {\n  for_each = toset([" + keys + "])\n  name = each.key\n}\n"
	}
	for name, c := range map[string]struct{ before, after, want string }{
		"a block that is still there": {
			`application "a" "x" { name = "x" }`, both + movedBlock("application.a.x", "application.a.y"), "application.a.x is declared",
		},
		"a module that is still there": {
			"-- d.hcl --\n" + callModule("m", "") + movedModuleM, "-- d.hcl --\n" + callModule("m", "") + callModule("k", "") + movedBlock("module.m", "module.k") + movedModuleM,
			"module.m is declared",
		},
		"an instance that is still there": {
			keyed(`"a"`), keyed(`"a", "b"`) + movedBlock(`application.a.it["a"]`, `application.a.it["b"]`),
			`A moved block moves application.a.it["a"] to application.a.it["b"], but both are declared`,
		},
		"two that become one": {
			both, "application \"a\" \"z\" { name = \"x\" }\n" + movedBlock("application.a.x", "application.a.z") + movedBlock("application.a.y", "application.a.z"),
			"both application.a.x and application.a.y to application.a.z",
		},
		"a circle": {
			both, "locals {}\n" + movedBlock("application.a.x", "application.a.z") + movedBlock("application.a.z", "application.a.w") + movedBlock("application.a.w", "application.a.z"),
			"The moved blocks of application.a.z form a circle",
		},
		"a module that grows": {
			"-- d.hcl --\n" + callModule("m", "") + movedModuleM, "locals {}\n" + movedBlock("module.m", "module.m.module.m"), "form a circle",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.apply(c.before)
			_, diags := f.tryPlan(c.after, plan.ModeApply)
			wantDiags(t, diags, c.want)
		})
	}
}

// A removed block speaks of what its own module had, in each of its instances, and of whole modules.
func TestRemovedInModules(t *testing.T) {
	stays := func(from string) string {
		return "removed {\n  from = " + from + "\n  lifecycle { destroy = false }\n}\n"
	}
	call := callModule("m", "for_each = toset([\"a\", \"b\"])\n  n = each.key")
	for name, after := range map[string]string{
		"a block in a module": "-- d.hcl --\n" + call + "-- m/m.hcl --\nvariable \"n\" {}\n" + stays("application.a.it"),
		"a whole module":      "-- d.hcl --\nlocals {}\n" + stays("module.m"),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.apply("-- d.hcl --\n" + call + keyedNames)
			wantActions(t, f.plan(after), `module.m["a"].application.a.it: forget`, `module.m["b"].application.a.it: forget`)
		})
	}
}
