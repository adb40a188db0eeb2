package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/plan"
)

// appBlock is an application block of the test plugin. The world knows it by its name.
func appBlock(label, name, content, rest string) string {
	return fmt.Sprintf("application \"a\" %q {\n  name = %q\n  content = %s\n  %s\n}\n", label, name, content, rest)
}

const createBefore = "lifecycle { create_before_destroy = true }"

// TestOrderOfWork: every deletion is a step with a place of its own, whatever its reason.
func TestOrderOfWork(t *testing.T) {
	plain := appBlock("a", "a", `"one"`, "") + appBlock("b", "b", "application.a.a.sum", "")
	for _, tt := range []struct {
		name        string
		first, then string
		opts        engine.Options
		fail        string // of what, the second time
		want        string // the work of the second apply, in order
		left        map[string]string
	}{
		{
			name:  "create_before_destroy of one that another reads",
			first: appBlock("a", "a", `"one"`, createBefore) + appBlock("b", "b", "application.a.a.name", ""),
			then:  appBlock("a", "a2", `"one"`, createBefore) + appBlock("b", "b", "application.a.a.name", ""),
			opts:  engine.Options{Replace: place(t, "application.a.a")},
			want:  "a, b, delete a",
			left:  map[string]string{"a2": "one", "b": "a2"},
		},
		{
			name:  "the same when the update of the other one fails: the old one stays",
			first: appBlock("a", "a", `"one"`, createBefore) + appBlock("b", "b", "application.a.a.name", ""),
			then:  appBlock("a", "a2", `"one"`, createBefore) + appBlock("b", "b", "application.a.a.name", ""),
			opts:  engine.Options{Replace: place(t, "application.a.a")},
			fail:  "b",
			want:  "a",
			left:  map[string]string{"a": "one", "a2": "one", "b": "a"},
		},
		{
			name:  "create_before_destroy of both",
			first: appBlock("a", "a", `"one"`, createBefore) + appBlock("b", "b", "application.a.a.name", createBefore),
			then:  appBlock("a", "a2", `"one"`, createBefore) + appBlock("b", "b2", "application.a.a.name", createBefore),
			opts:  engine.Options{Replace: place(t, "application.a.a", "application.a.b")},
			want:  "a, b, delete b, delete a",
			left:  map[string]string{"a2": "one", "b2": "a2"},
		},
		{
			name:  "create_before_destroy is inherited by what such a block depends on",
			first: appBlock("a", "a", `"one"`, "") + appBlock("b", "b", "application.a.a.name", createBefore),
			then:  appBlock("a", "a2", `"one"`, "") + appBlock("b", "b2", "application.a.a.name", createBefore),
			opts:  engine.Options{Replace: place(t, "application.a.a", "application.a.b")},
			want:  "a, b, delete b, delete a",
			left:  map[string]string{"a2": "one", "b2": "a2"},
		},
		{
			name:  "replacements of both: the deletions first, in reverse",
			first: plain, then: plain,
			opts: engine.Options{Replace: place(t, "application.a.a", "application.a.b")},
			want: "delete b, delete a, a, b",
			left: map[string]string{"a": "one", "b": sum("one")},
		},
		{
			name:  "replace_triggered_by",
			first: appBlock("a", "a", `"one"`, "") + appBlock("b", "b", "application.a.a.sum", "lifecycle { replace_triggered_by = [application.a.a] }"),
			then:  appBlock("a", "a", `"two"`, "") + appBlock("b", "b", "application.a.a.sum", "lifecycle { replace_triggered_by = [application.a.a] }"),
			want:  "delete b, a, b",
			left:  map[string]string{"a": "two", "b": sum("two")},
		},
		{
			name:  "a block is removed, and what it stands on is updated",
			first: plain, then: appBlock("a", "a", `"two"`, ""),
			want: "delete b, a",
			left: map[string]string{"a": "two"},
		},
		{
			name:  "a block is removed, and what it stands on is replaced",
			first: plain, then: appBlock("a", "a", `"one"`, ""),
			opts: engine.Options{Replace: place(t, "application.a.a")},
			want: "delete b, delete a, a",
			left: map[string]string{"a": "one"},
		},
		{
			name:  "destroy",
			first: plain, then: plain,
			opts: engine.Options{Mode: plan.ModeDestroy},
			want: "delete b, delete a",
			left: map[string]string{},
		},
		{
			name:  "destroy of a target takes what depends on it",
			first: plain + appBlock("c", "c", `"c"`, ""), then: plain + appBlock("c", "c", `"c"`, ""),
			opts: engine.Options{Mode: plan.ModeDestroy, Targets: place(t, "application.a.a")},
			want: "delete b, delete a",
			left: map[string]string{"c": "c"},
		},
		{
			name:  "destroy keeps what an excluded one stands on",
			first: plain + appBlock("c", "c", "application.a.b.sum", ""), then: plain + appBlock("c", "c", "application.a.b.sum", ""),
			opts: engine.Options{Mode: plan.ModeDestroy, Excludes: place(t, "application.a.b")},
			want: "delete c",
			left: map[string]string{"a": "one", "b": sum("one")},
		},
		{
			name: "orphans of a module",
			first: "-- m/m.hcl --\nvariable \"on\" {}\n" + appBlock("x", "x", "var.on", "") + appBlock("y", "y", "application.a.x.sum", "") +
				"-- davit.hcl --\n" + appBlock("a", "a", `"one"`, "") + "module \"m\" {\n  source = \"./m\"\n  on = application.a.a.sum\n}\n",
			then: appBlock("a", "a", `"two"`, ""),
			want: "delete m.y, delete m.x, a",
			left: map[string]string{"a": "two"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.apply(tt.first)
			f.world.applied = nil
			if tt.fail != "" {
				f.world.fail[tt.fail] = "error"
			}
			p, diags := f.planWith(tt.then, tt.opts)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			_, diags = f.tryApply(tt.then, p, true)
			if diags.HasErrors() != (tt.fail != "") {
				t.Fatal(diags)
			}
			got := strings.NewReplacer("application.a.", "", "module.", "").Replace(strings.Join(f.world.applied, ", "))
			if got != tt.want {
				t.Errorf("the work was\n%s, want\n%s", got, tt.want)
			}
			f.wantThings(tt.left)
			if tt.fail == "" {
				return
			}
			// The next apply goes on in the same order.
			f.world.fail, f.world.applied = map[string]string{}, nil
			f.apply(tt.then)
			got = strings.NewReplacer("application.a.", "").Replace(strings.Join(f.world.applied, ", "))
			if got != "b, delete a" {
				t.Errorf("the work after the failure was %s", got)
			}
			f.wantSettled(tt.then)
		})
	}
}

// TestInheritedCreateBeforeDestroyIsSaid: the plan names the block that makes another one be created first.
func TestInheritedCreateBeforeDestroyIsSaid(t *testing.T) {
	f := newFixture(t)
	f.apply(appBlock("a", "a", `"one"`, "") + appBlock("b", "b", "application.a.a.name", createBefore))
	p, diags := f.planWith(appBlock("a", "a2", `"one"`, "")+appBlock("b", "b", "application.a.a.name", createBefore), engine.Options{Replace: place(t, "application.a.a")})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if c := p.Changes[0]; !c.CreateFirst || c.CreateFirstFor != "application.a.b" {
		t.Errorf("the change is %+v", c)
	}
	var steps []string
	for _, s := range p.Steps {
		steps = append(steps, s.ID)
	}
	if got := strings.Join(steps, ", "); got != "make application.a.a, make application.a.b, delete application.a.a" {
		t.Errorf("the steps are %s", got)
	}
}

// TestWhatALeftoverStandsOnIsDeletedAfterIt: the old one of an interrupted replacement goes before what it was made from.
func TestWhatALeftoverStandsOnIsDeletedAfterIt(t *testing.T) {
	f := newFixture(t)
	f.apply(appBlock("a", "a", `"one"`, "") + appBlock("m", "m", "application.a.a.name", "") + appBlock("b", "b", "application.a.m.name", createBefore))
	then := appBlock("b", "b2", `"x"`, createBefore)
	p, diags := f.planWith(then, engine.Options{Replace: place(t, "application.a.b")})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	f.world.fail["delete b"] = "error" // the old one stays, as after a kill
	if _, diags := f.tryApply(then, p, true); !diags.HasErrors() {
		t.Fatal("the deletion did not fail")
	}
	f.world.fail, f.world.applied = map[string]string{}, nil
	f.apply(then)
	if got := strings.Join(f.world.applied, ", "); got != "delete application.a.b, delete application.a.m, delete application.a.a" {
		t.Errorf("the work was %s", got)
	}
	f.wantSettled(then)
}
