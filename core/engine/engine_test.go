package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

const chain = `
source "s" "repo" {}
build "b" "api" {
  source     = source.s.repo
  repository = "reg/api"
  tag        = "v${source.s.repo.revision}"
}
image "i" "api" {
  repository = "reg/api"
  builds     = [build.b.api]
}
policy "p" "api" { image = image.i.api }
application "a" "api" {
  name    = "api"
  content = policy.p.api.ref
}
output "ref" { value = policy.p.api.ref }
`

// One plan shows the whole chain: the build's tag is chosen before it is built, what depends on its
// digest is unknown with all that is known of it, and says what it waits for.
func TestThePlanShowsTheWholeChain(t *testing.T) {
	f := newFixture(t)
	p := f.plan(chain)
	if got, want := actions(p), "build.b.api: build\napplication.a.api: create"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	policy := p.Observations[2]
	if !strings.Contains(string(policy.Outputs.Value), `"tag":"vr1"`) || policy.Outputs.Prefixes["ref"] != "reg/api:vr1@sha256:" {
		t.Errorf("the policy says %s, known so far %v", policy.Outputs.Value, policy.Outputs.Prefixes)
	}
	app := p.Changes[1]
	if field := app.Items[0].Fields[0]; !field.Unknown || field.Prefix != "reg/api:vr1@sha256:" {
		t.Errorf("the field is %+v", field)
	}
	if !slices.Equal(app.WaitsFor, []string{"build.b.api"}) {
		t.Errorf("it waits for %v", app.WaitsFor)
	}
	f.apply(chain)
	if got, want := f.world.things["api"], "reg/api:vr1@"+f.world.tags["vr1"]; got != want {
		t.Errorf("what runs is %q, want %q", got, want)
	}
	if again := f.plan(chain); !again.Empty() {
		t.Errorf("the second plan is\n%s", actions(again))
	}
}

// A policy says when what runs is gone from the registry; it goes back only when it is told to.
func TestAPolicyDoesNotGoBackwards(t *testing.T) {
	const stack = `
image "i" "x" { repository = "r" }
policy "p" "x" {
  image = image.i.x
}
application "a" "x" {
  name    = "x"
  content = policy.p.x.tag
}
`
	f := newFixture(t)
	f.world.tags = map[string]string{"v1": sum("1"), "v2": sum("2"), "x9": sum("9")}
	f.apply(stack)
	if f.world.things["x"] != "v2" {
		t.Fatalf("it chose %q", f.world.things["x"])
	}
	delete(f.world.tags, "v2")
	_, diags := f.tryPlan(stack, plan.ModeApply)
	wantDiags(t, diags, "v2 was chosen before but is no longer in the registry, and the next best tag is the older v1")
	f.apply(strings.Replace(stack, "image = image.i.x\n}", "image = image.i.x\n  allow_older = true\n}", 1))
	if f.world.things["x"] != "v1" {
		t.Errorf("with allow_older it chose %q", f.world.things["x"])
	}
	f.world.tags = map[string]string{"x1": sum("1"), "x2": sum("2")}
	_, diags = f.tryPlan(strings.Replace(stack, "image = image.i.x\n}", "image = image.i.x\n  allow_older = true\n}", 1), plan.ModeApply)
	wantDiags(t, diags, "None of the 2 tags of image.i.x is acceptable:\n  x1: begins with x\n  x2: begins with x")
}

// What fails stops what depends on it and nothing else; the next run goes on.
func TestFailureStopsWhatDependsOnIt(t *testing.T) {
	const stack = `
application "a" "one" {
  for_each = toset(["a", "b"])
  name     = each.key
  plain    = "x"
}
application "a" "two" {
  for_each = application.a.one
  name     = "two-${each.key}"
  content  = application.a.one[each.key].sum
}
`
	for _, how := range []string{"error", "part"} {
		f := newFixture(t)
		f.world.fail["a"] = how
		res, diags := f.tryApply(stack, f.plan(stack), false)
		if !diags.HasErrors() || len(res.Done) != 2 || len(res.Failed) != 1 || len(res.NotStarted) != 1 ||
			res.Failed[0].Address != `application.a.one["a"]` || res.NotStarted[0].Address != `application.a.two["a"]` {
			t.Fatalf("%s: %+v\n%v", how, res, diags)
		}
		s, _ := f.store.Load(t.Context())
		if rec, there := s.Records[`application.a.one["a"]`]; there != (how == "part") || (there && rec.Status != state.StatusPartial) || len(s.Operations) != 0 {
			t.Errorf("%s: record %+v, operations %v", how, rec, s.Operations)
		}
		f.world.fail = map[string]string{}
		f.apply(stack)
		if len(f.world.things) != 4 || !f.plan(stack).Empty() {
			t.Errorf("%s: %v", how, f.world.things)
		}
	}
}

// A plugin that dies leaves its operation open; the next plan counts what is known of it and goes on.
func TestALostOperationIsFoundAgain(t *testing.T) {
	f := newFixture(t)
	f.world.fail["application.a.api"] = "lost"
	_, diags := f.tryApply(chain, f.plan(chain), false)
	if !diags.HasErrors() {
		t.Fatal("the loss was not noticed")
	}
	s, _ := f.store.Load(t.Context())
	if len(s.Operations) != 1 {
		t.Fatalf("open operations: %v", s.Operations)
	}
	f.world.fail = map[string]string{}
	f.apply(chain)
	s, _ = f.store.Load(t.Context())
	if len(s.Operations) != 0 || s.Records["application.a.api"].Address == "" || !f.plan(chain).Empty() {
		t.Errorf("operations %v, records %v", s.Operations, s.Records)
	}
}

// A type that cannot look for the result of an operation that was cut off leaves it to a person: to have it made anew, or forgotten.
func TestAnOperationThatCannotBeLookedFor(t *testing.T) {
	const address, stack = "application.blind.x", "application \"blind\" \"x\" {\n  name = \"x\"\n  plain = \"p\"\n}\napplication \"a\" \"y\" { name = \"y\" }\n"
	f := newFixture(t)
	f.world.fail[address] = "lost"
	if _, diags := f.tryApply(stack, f.plan(stack), false); !diags.HasErrors() {
		t.Fatal("the loss was not noticed")
	}
	f.world.fail = map[string]string{}
	_, diags := f.tryPlan(stack, plan.ModeApply)
	wantDiags(t, diags, `An earlier run was interrupted while it wanted to create it`)
	if hint := diag.InfoOf(diags[0]).Hint; !strings.Contains(hint, "davit apply -replace='"+address+"'") {
		t.Errorf("the hint is %q", hint)
	}
	p, diags := f.planWith(stack, engine.Options{Replace: place(t, address)})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if _, diags := f.tryApply(stack, p, false); diags.HasErrors() {
		t.Fatal(diags)
	}
	f.wantSettled(stack)
	if open := f.snapshot().Operations; len(open) != 0 {
		t.Errorf("open operations: %v", open)
	}
}

// An operation that was cut off is tried again under its id, with what it had saved; once it is to do something else, or
// another configuration, it is another operation.
func TestAnOperationKeepsItsID(t *testing.T) {
	const address, stack, other = "application.a.x", "application \"a\" \"x\" {\n  name = \"x\"\n  plain = \"p\"\n}\n", "application \"a\" \"x\" {\n  name = \"x\"\n  plain = \"q\"\n}\n"
	for name, c := range map[string]struct {
		saves bool
		next  string
		same  bool
	}{
		"nothing saved":         {false, stack, true},
		"something saved":       {true, stack, true},
		"another configuration": {true, other, false},
	} {
		f := newFixture(t)
		f.world.fail[address] = "lost"
		if c.saves {
			f.world.fail["x"] = "part"
		} else {
			f.world.fail["x"] = "error"
		}
		for range 2 { // as often as it takes
			if _, diags := f.tryApply(stack, f.plan(stack), false); !diags.HasErrors() {
				t.Fatal("the loss was not noticed")
			}
		}
		f.world.fail = map[string]string{}
		f.apply(c.next)
		tries := f.world.tries
		if len(tries) != 3 || tries[0].operation != tries[1].operation || (tries[1].operation == tries[2].operation) != c.same || (tries[2].saved == sum("p")+" private") != (c.saves && c.same) {
			t.Errorf("%s: %+v", name, tries)
		}
		history, err := f.store.History(t.Context(), address)
		if err != nil || len(history) != 1 || history[0].Operation != tries[2].operation {
			t.Errorf("%s: the history is %+v, %v", name, history, err)
		}
		if s, _ := f.store.Load(t.Context()); len(s.Operations) != 0 || !f.plan(c.next).Empty() {
			t.Errorf("%s: operations %v", name, s.Operations)
		}
	}
}

// overdue is a lease that has run out while the process was suspended, which nobody has noticed yet.
type overdue struct{ state.Lease }

func (overdue) Until() time.Time { return time.Now().Add(-time.Second) }

// A run that was suspended between writing down an operation and beginning it does not begin it: somebody else may have. The
// operation stays open, for whoever has the lock now.
func TestNothingIsBegunTooLate(t *testing.T) {
	const stack = "application \"a\" \"x\" {\n  name = \"x\"\n}\napplication \"a\" \"y\" {\n  name = application.a.x.revision\n}\n"
	f := newFixture(t)
	e, _ := f.engine(stack)
	lease, err := f.store.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	res, diags := e.Apply(t.Context(), f.plan(stack), engine.ApplyOptions{Store: f.store, Lease: overdue{lease}})
	if diags.HasErrors() || len(res.Done)+len(res.Failed) != 0 || len(res.NotStarted) != 2 || len(f.world.tries) != 0 {
		t.Fatalf("%+v, %v; tries %+v", res, diags, f.world.tries)
	}
	open := slices.Collect(maps.Keys(f.snapshot().Operations))
	if err := lease.Release(t.Context()); err != nil || len(open) != 1 {
		t.Fatalf("%v; open operations %v", err, open)
	}
	f.apply(stack)
	if tries := f.world.tries; len(tries) != 2 || tries[0].operation != open[0] || len(f.snapshot().Operations) != 0 || !f.plan(stack).Empty() {
		t.Errorf("tries %+v, open was %v", tries, open)
	}
}

// What was done though nobody heard of it has its place in the history, as the operation that did it.
func TestAFoundOperationIsInTheHistory(t *testing.T) {
	f := newFixture(t)
	f.world.fail["application.a.api"] = "lost"
	if _, diags := f.tryApply(chain, f.plan(chain), false); !diags.HasErrors() {
		t.Fatal("the loss was not noticed")
	}
	f.world.fail = map[string]string{}
	f.apply(chain)
	history, err := f.store.History(t.Context(), "application.a.api")
	if err != nil || len(history) != 1 || len(f.world.tries) != 1 || history[0].Operation != f.world.tries[0].operation || history[0].Action != "create" {
		t.Errorf("%+v, %v; tries %+v", history, err, f.world.tries)
	}
}

// A saved plan is refused when anything that it was made of has moved on.
func TestAStalePlanIsRefused(t *testing.T) {
	f := newFixture(t)
	p := f.plan(chain)
	_, diags := f.tryApply(chain+"\n# changed", p, true)
	wantDiags(t, diags, "the stack's files have changed")
	f.apply(chain)
	_, diags = f.tryApply(chain, p, true)
	wantDiags(t, diags, "the state has changed since: its serial was 0 and is now")

	f.world.revision = "r2"
	p = f.plan(chain)
	f.world.things["api"] = "somebody else's"
	res, diags := f.tryApply(chain, p, true)
	if len(res.Failed) != 0 || diags.HasErrors() {
		t.Errorf("a thing that differs from what was there, but becomes what was reviewed, was refused: %v", diags)
	}

	// Drift that would undo something nobody reviewed stops that instance, and nothing else.
	const two = `
application "a" "x" {
  name  = "x"
  plain = "1"
}
application "a" "y" {
  name  = "y"
  plain = "1"
}
`
	g := newFixture(t)
	p = g.plan(two)
	g.world.things["x"] = "made by somebody in between"
	res, diags = g.tryApply(two, p, true)
	wantDiags(t, diags, "application.a.x would be created in the reviewed plan and would now be updated")
	if len(res.Done) != 1 || g.world.things["y"] != "1" || g.world.things["x"] == "1" {
		t.Errorf("%+v, %v", res, g.world.things)
	}
}

// Deletions go the other way round, and destroy leaves nothing.
func TestDeletionsGoInReverse(t *testing.T) {
	const stack = `
application "a" "base" { name = "base" }
application "a" "mid" {
  name  = "mid"
  plain = application.a.base.health
}
application "a" "top" {
  name       = "top"
  depends_on = [application.a.mid]
}
`
	f := newFixture(t)
	f.apply(stack)
	f.world.applied = nil
	p, diags := f.tryPlan(stack, plan.ModeDestroy)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if _, diags := f.tryApply(stack, p, false); diags.HasErrors() {
		t.Fatal(diags)
	}
	want := []string{"delete application.a.top", "delete application.a.mid", "delete application.a.base"}
	if !slices.Equal(f.world.applied, want) {
		t.Errorf("got %v, want %v", f.world.applied, want)
	}
	if s, _ := f.store.Load(t.Context()); len(s.Records) != 0 {
		t.Errorf("left over: %v", s.Records)
	}
}

func TestPreventDestroy(t *testing.T) {
	const stack = `
application "a" "x" {
  name = "x"
  lifecycle { prevent_destroy = true }
}
`
	f := newFixture(t)
	f.apply(stack)
	_, diags := f.tryPlan(stack, plan.ModeDestroy)
	wantDiags(t, diags, "application.a.x: it must not be destroyed")
}

// An unknown in one instance makes nothing else unknown, and a missing instance is named.
func TestForEachIsPrecise(t *testing.T) {
	const stack = `
source "s" "repo" {}
build "b" "x" {
  source     = source.s.repo
  repository = "r"
  tag        = "t"
}
application "a" "first" {
  for_each = { known = "k", unknown = build.b.x.digest }
  name     = each.key
  content  = each.value
}
application "a" "second" {
  for_each = toset(["known", "unknown"])
  name     = "second-${each.key}"
  content  = application.a.first[each.key].sum
}
`
	f := newFixture(t)
	p := f.plan(stack)
	unknown := map[string]bool{}
	for _, c := range p.Changes {
		unknown[c.Address] = len(c.WaitsFor) > 0
	}
	want := map[string]bool{"build.b.x": false, `application.a.first["known"]`: false, `application.a.first["unknown"]`: true,
		`application.a.second["known"]`: false, `application.a.second["unknown"]`: true}
	if fmt.Sprint(unknown) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", unknown, want)
	}
	_, diags := f.tryPlan(strings.Replace(stack, `toset(["known", "unknown"])`, `toset(["known", "missing"])`, 1), plan.ModeApply)
	wantDiags(t, diags, `application.a.second["missing"] needs application.a.first["missing"], but application.a.first has no such instance`)
	_, diags = f.tryPlan("source \"s\" \"repo\" {}\nbuild \"b\" \"x\" {\n source = source.s.repo\n repository = \"r\"\n tag = \"t\"\n}\n"+
		`application "a" "n" {
  for_each = toset([build.b.x.digest])
  name     = each.key
}`, plan.ModeApply)
	wantDiags(t, diags, "A key of for_each of application.a.n is null or not known before apply")
}

// A secret is in no plan, record, event or diagnostic, whatever a plugin does with it.
func TestSecretsStayOut(t *testing.T) {
	const secret = "correct-horse-battery"
	const stack = `
variable "password" { sensitive = true }
application "a" "x" {
  name   = "x"
  secret = var.password
}
application "a" "y" {
  name    = "y"
  content = "has ${var.password} in it"
}
`
	f := newFixture(t)
	text := secret
	f.given = []eval.Given{{Name: "password", Text: &text, From: "-var"}}
	p := f.plan(stack)
	f.world.fail["x"] = "part"
	_, diags := f.tryApply(stack, p, false)
	s, _ := f.store.Load(t.Context())
	var all bytes.Buffer
	for _, v := range []any{p, s, f.events} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for _, d := range diags {
		all.WriteString(d.Summary + d.Detail)
	}
	if strings.Contains(all.String(), secret) {
		at := strings.Index(all.String(), secret)
		t.Errorf("the secret is in %q", all.String()[max(0, at-200):at+50])
	}
	if f.world.things["y"] != "has "+secret+" in it" {
		t.Errorf("the plugin got %q", f.world.things["y"])
	}
	_, diags = f.tryPlan(stack+`output "p" { value = var.password }`, plan.ModeApply)
	wantDiags(t, diags, `Output "p" contains a sensitive value`)
}

// Answers that make no sense are named with the block and the plugin, and nothing falls over.
func TestGarbageOfAPlugin(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*pluginv1.PlanResult)
		want  string
	}{
		"no outputs": {func(r *pluginv1.PlanResult) { r.Outputs = nil }, "answered without outputs"},
		"other outputs": {func(r *pluginv1.PlanResult) {
			r.Outputs = &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: []byte{0x93, 1, 2, 3}}}
		}, "do not fit its own description"},
		"huge list": {func(r *pluginv1.PlanResult) {
			r.Outputs = &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: []byte{0xdd, 0xff, 0xff, 0xff, 0xff}}}
		}, "do not fit its own description"},
		"unknown action":  {func(r *pluginv1.PlanResult) { r.Action = 77 }, "the action 77, which does not exist"},
		"field of noise":  {func(r *pluginv1.PlanResult) { r.Items[0].Fields[0].After = "{" }, "whose value is not JSON"},
		"item of no kind": {func(r *pluginv1.PlanResult) { r.Items[0].Action = 99 }, "whose action is 99"},
	} {
		f := newFixture(t)
		f.world.garbage = c.spoil
		_, diags := f.tryPlan("application \"a\" \"x\" {\n name = \"x\"\n}", plan.ModeApply)
		if len(diags) != 1 || !strings.Contains(diags[0].Detail, c.want) || !strings.Contains(diags[0].Summary, "application.a.x") || diags[0].Subject.Start.Line != 1 {
			t.Errorf("%s: %v", name, diags)
		}
	}
}

// What is done is told while it is done, and at the end.
func TestEvents(t *testing.T) {
	f := newFixture(t)
	f.apply(chain)
	var got []string
	for _, e := range f.events {
		if e.Type == event.OperationStart || e.Type == event.OperationDone || e.Type == event.Summary {
			got = append(got, string(e.Type)+" "+e.Address)
		}
	}
	want := []string{"operation_start build.b.api", "operation_done build.b.api", "operation_start application.a.api", "operation_done application.a.api", "summary "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
