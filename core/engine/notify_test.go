package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

const notified = `
variable "token" {
  default   = "s3cret"
  sensitive = true
}
locals { sum = application.a.one.sum }
application "a" "one" {
  name  = "one"
  plain = "1"
}
application "a" "two" {
  name    = "two"
  content = local.sum
}
notification "n" "team" {
  on    = ["planned", "applied", "failed"]
  room  = "team"
  text  = "sum ${substr(local.sum, 0, 7)}"
  token = var.token
}
notification "n" "each" {
  for_each = toset(["x", "y"])
  room     = each.key
}
`

// Everybody who wants to be told is told: what is planned, and what came of it. What is not known yet is left out of what they
// are told with, and is not taken for known afterwards.
func TestNotifications(t *testing.T) {
	f := newFixture(t)
	f.apply(notified)
	want := `team applied: 2 done, 0 failed, 0 not started; application.a.one create done; application.a.two create done | sum sha256:
team planned: 2 to create; application.a.one create planned; application.a.two create planned
x applied: 2 done, 0 failed, 0 not started; application.a.one create done; application.a.two create done
y applied: 2 done, 0 failed, 0 not started; application.a.one create done; application.a.two create done`
	if got := f.world.told(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if n := len(f.snapshot().Operations); n > 0 {
		t.Errorf("%d operations are open", n)
	}
	p := f.plan(notified)
	if !p.Empty() || strings.Contains(actions(p), "notification") {
		t.Errorf("the plan is %s", actions(p))
	}
	f.apply(notified)
	if got := f.world.told(); got != "" {
		t.Errorf("nothing has happened, and they are told %s", got)
	}
	f.world.fail["two"] = "error"
	if _, diags := f.tryApply(strings.Replace(notified, `"1"`, `"3"`, 1), f.plan(strings.Replace(notified, `"1"`, `"3"`, 1)), false); !diags.HasErrors() {
		t.Error("it did not fail")
	}
	if got := f.world.told(); !strings.Contains(got, "x failed: 1 done, 1 failed, 0 not started; application.a.two update failed; application.a.one update done") {
		t.Errorf("they are told %s", got)
	}
}

// Who cannot be told is told by a later run, once; the apply is a success, and no secret shows.
func TestNotificationsAreToldAgain(t *testing.T) {
	f := newFixture(t)
	f.world.deaf["team"] = "the line is dead"
	result, diags := f.tryApply(notified, f.plan(notified), false)
	if diags.HasErrors() || len(result.Done) != 2 {
		t.Fatal(diags)
	}
	wantDiags(t, diags, "notification.n.team: it could not be notified of planned", "notification.n.team: it could not be notified of applied: the line is dead: by (sensitive)")
	for _, d := range diags {
		if strings.Contains(d.Summary+d.Detail, "s3cret") {
			t.Errorf("a secret shows: %s %s", d.Summary, d.Detail)
		}
	}
	s := f.snapshot()
	if len(s.Operations) != 2 {
		t.Fatalf("the queue is %v", s.Operations)
	}
	for _, op := range s.Operations {
		if strings.Contains(string(op.Private)+string(op.Config), "s3cret") {
			t.Errorf("a secret is in state: %s", op.Private)
		}
	}
	f.world.told()
	delete(f.world.deaf, "team")
	if p := f.plan(notified); !p.Empty() {
		t.Errorf("the plan is %s", actions(p))
	}
	f.apply(notified)
	got := f.world.told()
	if strings.Count(got, "team planned: 2 to create") != 1 || strings.Count(got, "team applied: 2 done") != 1 || strings.Count(got, "\n") != 1 {
		t.Errorf("they are told %s", got)
	}
	f.apply(notified)
	if got := f.world.told(); got != "" {
		t.Errorf("they are told again: %s", got)
	}
}

// What nobody can be told any more is given up, with a word.
func TestNotificationsThatAreGivenUp(t *testing.T) {
	f := newFixture(t)
	f.apply(notified)
	f.world.told()
	lease, err := f.store.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	op := func(id, address string, age time.Duration, text string) state.Operation {
		return state.Operation{ID: id, Address: address, Kind: "notification", Type: "n", Plugin: "test", Action: "applied", Begun: time.Now().Add(-age), Private: []byte(text)}
	}
	if _, err := lease.Commit(t.Context(), state.Batch{Begin: []state.Operation{
		op("1", "notification.n.gone", time.Minute, "{}"), op("2", "notification.n.team", 25*time.Hour, `{"name": "applied"}`),
		op("3", "notification.n.team", time.Minute, "no JSON"), op("4", "notification.n.team", time.Minute, `{"name": "applied", "summary": "late"}`),
	}}); err != nil {
		t.Fatal(err)
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, diags := f.tryApply(notified, f.plan(notified), false)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	wantDiags(t, diags, "its block was removed", "could not be delivered for a day", "cannot be read")
	if got := f.world.told(); !strings.HasPrefix(got, "team applied: late") || strings.Contains(got, "\n") {
		t.Errorf("they are told %s", got)
	}
	if n := len(f.snapshot().Operations); n > 0 {
		t.Errorf("%d operations are open", n)
	}
}

// A plan that fails is told as well.
func TestNotificationsOfPlansThatFail(t *testing.T) {
	f := newFixture(t)
	e, diags := f.engine(notified)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	lease, err := f.store.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	_, why := f.tryPlan(strings.Replace(notified, `name  = "one"`, `title = "one"`, 1), plan.ModeApply)
	if !why.HasErrors() {
		t.Fatal("it was planned")
	}
	if diags := e.TellFailure(t.Context(), f.snapshot(), lease, "tester", why); len(diags) > 0 {
		t.Fatal(diags)
	}
	if got := f.world.told(); !strings.Contains(got, "team failed: planning failed: ") || !strings.Contains(got, "x failed: planning failed: ") {
		t.Errorf("they are told %s", got)
	}
}

func TestMistakesInNotifications(t *testing.T) {
	f := newFixture(t)
	_, diags := f.tryPlan(`
notification "n" "a" {
  room       = "x"
  depends_on = [application.a.one]
}
application "a" "one" { name = "one" }
`, plan.ModeApply)
	wantDiags(t, diags, "cannot have a lifecycle block or depends_on")
	_, diags = f.tryPlan(`
notification "n" "a" {
  on   = ["fail"]
  room = "x"
}
notification "m" "c" {}
notification "n" "d" { rom = "x" }
application "a" "one" { name = notification.n.a.room }
`, plan.ModeApply)
	wantDiags(t, diags, `The event "fail" does not exist. Did you mean "failed"?`, "notification.n.a has no outputs", `No plugin provides notification "m"`, `"rom"`, `"room" is required`)
}

// What a replacement that was cut off has left to be deleted is told of as well.
func TestNotificationsOfLeftovers(t *testing.T) {
	f := newFixture(t)
	text := func(name string) string {
		return "application \"a\" \"x\" {\n  name = \"" + name + "\"\n  lifecycle { create_before_destroy = true }\n}\nnotification \"n\" \"team\" {\n  on   = [\"planned\", \"applied\"]\n  room = \"team\"\n}\n"
	}
	f.apply(text("one"))
	p, diags := f.planWith(text("two"), engine.Options{Replace: place(t, "application.a.x")})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	f.world.fail["delete one"] = "error"
	if _, diags := f.tryApply(text("two"), p, false); !diags.HasErrors() {
		t.Fatal("the old one is deleted")
	}
	delete(f.world.fail, "delete one")
	f.world.told()
	f.apply(text("two"))
	want := "team applied: 1 done, 0 failed, 0 not started; application.a.x delete done\nteam planned: 1 to delete; application.a.x delete planned"
	if got := f.world.told(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	f.wantSettled(text("two"))
}
