package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// follower is an application "y" that is replaced when one of the values changes.
func follower(values string) string {
	return appBlock("y", "y", `"y"`, "lifecycle { replace_triggered_by = ["+values+"] }")
}

// put changes a record in state.
func (f *fixture) put(address string, change func(*state.Record)) {
	f.t.Helper()
	rec := f.snapshot().Records[address]
	change(&rec)
	lease, err := f.store.Lock(f.t.Context(), state.Holder{})
	if err != nil {
		f.t.Fatal(err)
	}
	defer lease.Release(f.t.Context()) //nolint:errcheck // the memory store's cannot fail
	if _, err := lease.Commit(f.t.Context(), state.Batch{Put: []state.Record{rec}}); err != nil {
		f.t.Fatal(err)
	}
}

// wantReplaced plans a stack, and wants application y to be replaced for a reason.
func (f *fixture) wantReplaced(text string, opts engine.Options, reason string) *plan.Plan {
	f.t.Helper()
	p, diags := f.planWith(text, opts)
	if diags.HasErrors() {
		f.t.Fatal(diags)
	}
	i := slices.IndexFunc(p.Changes, func(c plan.Change) bool { return c.Address == "application.a.y" })
	if i < 0 {
		f.t.Fatalf("the plan has no change of y:\n%s", actions(p))
	}
	c := p.Changes[i]
	if c.Action != plan.Replace || !slices.Contains(c.Reasons, "replace_triggered_by: "+reason) || !slices.Equal(c.Causes, []plan.Cause{plan.CauseReplaced}) {
		f.t.Errorf("the change is %s, because of %q, causes %q", c.Action, c.Reasons, c.Causes)
	}
	return p
}

// TestTriggersAreExpressions: any expression over blocks is a trigger. What matters is its value.
func TestTriggersAreExpressions(t *testing.T) {
	x := func(content string) string { return appBlock("x", "x", content, "") }
	each := func(keys string) string {
		return "application \"a\" \"x\" {\n  for_each = toset(" + keys + ")\n  name = each.key\n  content = \"x\"\n}\n"
	}
	for _, tt := range []struct{ name, first, same, then, reason string }{
		{"an attribute", x(`"one"`) + follower("application.a.x.content"), "", x(`"two"`) + follower("application.a.x.content"), "application.a.x.content has changed"},
		{"a function of one", x(`"one"`) + follower(`substr(application.a.x.content, 0, 1)`), x(`"or"`) + follower(`substr(application.a.x.content, 0, 1)`),
			x(`"two"`) + follower(`substr(application.a.x.content, 0, 1)`), `substr(application.a.x.content, 0, 1) has changed`},
		{"through a local", x(`"one"`) + "locals { c = application.a.x.content }\n" + follower("local.c"), "",
			x(`"two"`) + "locals { c = application.a.x.content }\n" + follower("local.c"), "local.c has changed"},
		{"a whole block", x(`"one"`) + follower("application.a.x"), "", x(`"two"`) + follower("application.a.x"), "application.a.x changes"},
		{"a block that grows", each(`["p"]`) + follower("application.a.x"), "", each(`["p", "q"]`) + follower("application.a.x"), "application.a.x changes"},
		{"a block that shrinks", each(`["p", "q"]`) + follower("application.a.x"), "", each(`["p"]`) + follower("application.a.x"), "application.a.x has changed"},
		{"an instance", each(`["p"]`) + follower(`application.a.x["p"].sum`), each(`["p", "q"]`) + follower(`application.a.x["p"].sum`), "", ""},
		{"the files of a source", "source \"s\" \"x\" {}\n" + follower("source.s.x.tree"), "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			f.apply(tt.first)
			f.wantSettled(tt.first)
			if tt.same != "" {
				f.apply(tt.same)
				if got := f.snapshot().Records["application.a.y"]; got.Updated.IsZero() {
					t.Error("y was replaced")
				}
				if n, _ := f.store.History(t.Context(), "application.a.y"); len(n) != 1 {
					t.Errorf("y has %d revisions", len(n))
				}
			}
			if tt.then == "" {
				return
			}
			f.wantReplaced(tt.then, engine.Options{}, tt.reason)
			f.apply(tt.then)
			f.wantSettled(tt.then)
		})
	}
}

// TestATriggerIsNotLost: what could not be replaced is replaced by a later apply.
func TestATriggerIsNotLost(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		opts        engine.Options
		before      func(*fixture)
		reason      string
	}{
		{name: "the replacement is excluded", value: "application.a.x.content", opts: engine.Options{Excludes: place(t, "application.a.y")}, reason: "application.a.x.content has changed"},
		{name: "it is excluded, and the block is replaced as it was", value: "application.a.x", opts: engine.Options{Excludes: place(t, "application.a.y"), Replace: place(t, "application.a.x")}, reason: "application.a.x has changed"},
		{name: "only the cause is a target", value: "application.a.x.content", opts: engine.Options{Targets: place(t, "application.a.x")}, reason: "application.a.x.content has changed"},
		{name: "the deletion fails", value: "application.a.x", before: func(f *fixture) { f.world.fail["delete y"] = "error" }, reason: "application.a.x changes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			content := map[bool]string{true: `"one"`, false: `"two"`}[len(tt.opts.Replace) > 0]
			first, then := appBlock("x", "x", `"one"`, "")+follower(tt.value), appBlock("x", "x", content, "")+follower(tt.value)
			f := newFixture(t)
			f.apply(first)
			if tt.before != nil {
				tt.before(f)
			}
			p, diags := f.planWith(then, tt.opts)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			_, _ = f.tryApply(then, p, true)
			f.world.fail = map[string]string{}
			for _, blind := range []bool{false, true} { // a plan that does not look sees it as well
				f.wantReplaced(then, engine.Options{NoRefresh: blind}, tt.reason)
			}
			f.world.applied = nil
			f.apply(then)
			if !slices.Contains(f.world.applied, "delete application.a.y") {
				t.Errorf("the next apply did %v", f.world.applied)
			}
			f.wantSettled(then)
		})
	}
}

// TestTriggersOfAnOldRecord: a record without fingerprints gets them, and nothing is replaced. The same is true of a value that the block
// names from now on.
func TestTriggersOfAnOldRecord(t *testing.T) {
	text := appBlock("x", "x", `"one"`, "") + follower("application.a.x.content, application.a.x")
	f := newFixture(t)
	f.apply(text)
	for _, name := range []string{"x", "y"} {
		f.put("application.a."+name, func(r *state.Record) { r.Triggers, r.Operation = nil, "" })
	}
	f.wantOutdated(text, "y: triggers")
	f.wantOutdated(appBlock("x", "x", `"one"`, "")+follower("application.a.x.content, application.a.x.sum"), "y: triggers")
	f.wantOutdated(appBlock("x", "x", `"one"`, "")+appBlock("y", "y", `"y"`, ""), "y: dependencies, triggers")
	// The operation of an old record is not known, but the next one is another one.
	f.apply(text)
	f.put("application.a.x", func(r *state.Record) { r.Operation = "" })
	f.put("application.a.y", func(r *state.Record) { r.Triggers["application.a.x"] = "operation:none" })
	f.wantSettled(text)
	f.wantReplaced(appBlock("x", "x", `"two"`, "")+follower("application.a.x"), engine.Options{}, "application.a.x changes")
}

// TestTriggersOfAnAdoptedBlock: to adopt what is there as it is changes nothing.
func TestTriggersOfAnAdoptedBlock(t *testing.T) {
	text := appBlock("x", "x", `"one"`, "") + follower("application.a.x")
	f := newFixture(t)
	f.apply(text)
	lease, err := f.store.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lease.Commit(t.Context(), state.Batch{Delete: []string{"application.a.x"}}); err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantActions(t, f.plan(text), "application.a.x: adopt", "application.a.y: none")
	f.apply(text)
	f.wantSettled(text)
}

// TestSensitiveTriggers: the fingerprint of a sensitive value is keyed, and the value is nowhere.
func TestSensitiveTriggers(t *testing.T) {
	text := func(token string) string {
		return "variable \"token\" {\n  default = \"" + token + "\"\n  sensitive = true\n}\n" +
			appBlock("x", "x", `"x"`, "secret = var.token") + follower("application.a.x.secret")
	}
	f := newFixture(t)
	key := "k1"
	f.fingerprint = func(path string, value []byte) string {
		return "hmac-sha256:" + key + ":" + sum(path + string(value))[7:]
	}
	f.apply(text("murmur"))
	print := f.snapshot().Records["application.a.y"].Triggers["application.a.x.secret"]
	if !strings.HasPrefix(print, "hmac-sha256:k1:") {
		t.Errorf("the fingerprint is %q", print)
	}
	f.wantReplaced(text("whisper"), engine.Options{}, "application.a.x.secret has changed")
	key = "k2" // fingerprints of two keys cannot be compared
	if got := outdated(f.plan(text("murmur"))); !strings.Contains(got, "y: triggers") {
		t.Errorf("with another key out of date is %q", got)
	}
}

// TestWhatNeverTriggers: values that no run can change are refused, with the reason.
func TestWhatNeverTriggers(t *testing.T) {
	x := appBlock("x", "x", `"x"`, "")
	module := func(output, argument string) string {
		return "-- m/m.hcl --\nvariable \"v\" {}\n" + appBlock("in", "in", `"in"`, "lifecycle { replace_triggered_by = [var.v] }") + "output \"o\" { value = " + output + " }\n" +
			"-- davit.hcl --\n" + x + "module \"m\" {\n  source = \"./m\"\n  v = " + argument + "\n}\n"
	}
	for _, tt := range []struct {
		name, text string
		refused    bool
	}{
		{"a literal", follower(`"one"`), true},
		{"a variable", "variable \"v\" { default = 1 }\n" + follower("var.v"), true},
		{"a function of variables", "variable \"v\" { default = 1 }\n" + follower(`"${var.v}-${path.module}"`), true},
		{"path", follower("path.module"), true},
		{"a local of literals", "locals {\n  a = local.b\n  b = \"b\"\n}\n" + follower("local.a"), true},
		{"the address of a block", x + follower("application.a.x.address"), true},
		{"the key of an instance", appBlock("y", "y", `"y"`, "for_each = toset([\"p\"])\n  lifecycle { replace_triggered_by = [each.key] }"), true},
		{"the index of an instance", appBlock("y", "y", `"y"`, "count = 1\n  lifecycle { replace_triggered_by = [count.index] }"), true},
		{"the output of a module that is a literal", module(`"o"`, `"v"`) + follower("module.m.o"), true},
		{"the output of a module that is a literal input", module("var.v", `"v"`) + follower("module.m.o"), true},
		{"one good value of two", x + follower(`application.a.x.sum, "one"`), true},
		{"an attribute", x + follower("application.a.x.sum"), false},
		{"a value with a block in it", "variable \"v\" { default = 1 }\n" + x + follower(`"${var.v}-${application.a.x.sum}"`), false},
		{"the input of a module", module(`"o"`, "application.a.x.sum"), false},
		{"the output of a module", module("application.a.in.sum", `"v"`) + follower("module.m.o"), false},
		{"the output of a module that is its input", module("var.v", "application.a.x.sum") + follower("module.m.o"), false},
		{"a whole module", module("application.a.in.sum", `"v"`) + follower("module.m"), false},
		{"the value of an instance of a block", x + "locals { all = { p = application.a.x.sum } }\n" +
			appBlock("y", "y", `"y"`, "for_each = { p = application.a.x.content }\n  lifecycle { replace_triggered_by = [each.value] }"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			e, diags := f.engine(tt.text)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			diags = e.Check(t.Context())
			if tt.refused {
				wantDiags(t, diags, "Never a trigger: This value of replace_triggered_by is made of no block")
			} else if diags.HasErrors() {
				t.Error(diags)
			}
		})
	}
}

// TestAnInterruptedDeletionIsNotDrift: what an earlier run has deleted without hearing of the end was not deleted by somebody else.
func TestAnInterruptedDeletionIsNotDrift(t *testing.T) {
	f := newFixture(t)
	first, then := appBlock("x", "x", `"one"`, "")+follower("application.a.x.content"), appBlock("x", "x", `"two"`, "")+follower("application.a.x.content")
	f.apply(first)
	f.world.fail["application.a.y"] = "lost"
	if _, diags := f.tryApply(then, f.plan(then), true); !diags.HasErrors() {
		t.Fatal("the plugin was not lost")
	}
	f.world.fail = map[string]string{}
	p := f.plan(then)
	c := p.Changes[slices.IndexFunc(p.Changes, func(c plan.Change) bool { return c.Address == "application.a.y" })]
	if c.Action != plan.Create || !slices.Equal(c.Causes, []plan.Cause{plan.CauseRetry}) || strings.Join(c.Reasons, "; ") != "an earlier operation on it did not end" {
		t.Errorf("the change is %s, because of %q, causes %q", c.Action, c.Reasons, c.Causes)
	}
	f.apply(then)
	f.wantSettled(then)
}
