package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

const gatedStack = `
gate "prod" {
  on      = [application.a.prod]
  approve = ["image"]
}
image "i" "api" { repository = "reg/api" }
policy "p" "api" { image = image.i.api }
locals { ref = policy.p.api.ref }
application "a" "dev" {
  name    = "dev"
  content = policy.p.api.ref
}
application "a" "prod" {
  name    = "prod"
  content = local.ref
  label   = "LABEL"
}
application "a" "after" {
  name  = "after"
  plain = application.a.prod.sum
}
`

// newGated returns a world in which an application tells why it changes: its content is an image, its label is configuration.
func newGated(t *testing.T) *fixture {
	f := newFixture(t)
	f.world.garbage = func(res *pluginv1.PlanResult) {
		for _, i := range res.GetItems() {
			for _, field := range i.GetFields() {
				cause := "config"
				if field.GetPath() == "content" {
					cause = "image"
				}
				if res.GetAction() == pluginv1.Action_ACTION_UPDATE {
					res.Causes = append(res.Causes, cause)
				}
			}
		}
	}
	return f
}

// gated is one stack with an engine that stays warm.
type gated struct {
	*fixture
	engine *engine.Engine
	warm   *engine.Warm
}

func (f *fixture) gated(text string) *gated {
	f.t.Helper()
	e, diags := f.engine(text)
	if diags.HasErrors() {
		f.t.Fatal(diags)
	}
	return &gated{f, e, engine.NewWarm(e, engine.Options{})}
}

func (g *gated) plan(c engine.Changed, approvals ...plan.Approval) *engine.Gated {
	g.t.Helper()
	c.Snapshot = g.snapshot()
	out, diags := g.warm.PlanGated(g.t.Context(), c, gate.Request{Now: time.Now(), Approvals: approvals})
	if diags.HasErrors() {
		g.t.Fatal(diags)
	}
	return out
}

func (g *gated) apply(p *plan.Plan, reviewed bool) {
	g.t.Helper()
	lease, err := g.store.Lock(g.t.Context(), state.Holder{})
	if err != nil {
		g.t.Fatal(err)
	}
	defer lease.Release(g.t.Context()) //nolint:errcheck // it is in memory
	if _, diags := g.engine.Apply(g.t.Context(), p, engine.ApplyOptions{Store: g.store, Lease: lease, Who: "robot", Reviewed: reviewed}); diags.HasErrors() {
		g.t.Fatal(diags)
	}
}

func (g *gated) running(name string) string {
	g.world.mu.Lock()
	defer g.world.mu.Unlock()
	return strings.TrimPrefix(strings.SplitN(g.world.things[name], "@", 2)[0], "reg/api:") + " " + g.world.labels[name]
}

// goes writes what a plan does now.
func goes(p *plan.Plan) string {
	var lines []string
	for _, c := range p.Changes {
		if c.Works() {
			lines = append(lines, c.Address+": "+string(c.Action))
		}
	}
	return strings.Join(lines, "\n")
}

// Configuration goes, the image waits; an approval of exactly that change lets it go, and is in the history. The engine stays warm: what is
// not about the change is not looked at again.
func TestOnlyTheImageWaits(t *testing.T) {
	for name, reviewed := range map[string]bool{"at once": false, "as a saved plan": true} {
		t.Run(name, func(t *testing.T) {
			f := newGated(t)
			f.world.tags["v1"] = sum("1")
			f.apply(strings.Replace(gatedStack, "LABEL", "one", 1))
			g := f.gated(strings.Replace(gatedStack, "LABEL", "two", 1))
			f.world.tags["v2"] = sum("2")

			first := g.plan(engine.Changed{})
			if got, want := goes(first.Plan), "application.a.dev: update\napplication.a.prod: update"; got != want {
				t.Fatalf("goes\n%s\nwant\n%s", got, want)
			}
			if w := first.Plan.Waiting; len(w) != 1 || !w[0].Partly || w[0].Change.Address != "application.a.prod" || !w[0].WaitsForPerson() {
				t.Fatalf("waits %+v", w)
			}
			g.apply(first.Plan, reviewed)
			if dev, prod := g.running("dev"), g.running("prod"); dev != "v2 " || prod != "v1 two" {
				t.Fatalf("dev runs %s, prod %s", dev, prod)
			}

			second := g.plan(engine.Changed{})
			if got := goes(second.Plan); got != "" {
				t.Errorf("again goes\n%s", got)
			}
			w := second.Plan.Waiting
			if len(w) != 2 || w[0].Partly || w[1].Change.Address != "application.a.after" || w[1].For[0].Address != "application.a.prod" {
				t.Fatalf("waits %+v", w)
			}
			if again := g.plan(engine.Changed{}); again.Looked != 0 || again.Plan.Waiting[0].Digest != w[0].Digest {
				t.Errorf("looked at %d, the digest is %s and was %s", again.Looked, again.Plan.Waiting[0].Digest, w[0].Digest)
			}

			ok := plan.Approval{Address: "application.a.prod", Digest: w[0].Digest, Who: "ann", When: time.Now().UTC(), Where: "a test"}
			third := g.plan(engine.Changed{}, ok)
			if len(third.Plan.Waiting) > 0 || len(third.Plan.Approvals) != 1 {
				t.Fatalf("waits %+v, approvals %+v", third.Plan.Waiting, third.Plan.Approvals)
			}
			g.apply(third.Plan, reviewed)
			if prod := g.running("prod"); prod != "v2 two" {
				t.Errorf("prod runs %s", prod)
			}
			list, err := g.store.History(t.Context(), "application.a.prod")
			if err != nil || list[0].Approval == nil || list[0].Approval.Who != "ann" || list[0].Approval.Where != "a test" || list[1].Approval != nil {
				t.Errorf("the history is %+v, %v", list, err)
			}

			f.world.tags["v3"] = sum("3")
			fourth := g.plan(engine.Changed{Instances: instancesOf(t, "image.i.api")}, ok)
			if len(fourth.Void) != 1 || len(fourth.Plan.Waiting) == 0 {
				t.Errorf("void %+v, waits %+v", fourth.Void, fourth.Plan.Waiting)
			}
		})
	}
}

// A change of which nothing is left without its image waits whole, and says why.
func TestAChangeThatCannotBeSplit(t *testing.T) {
	f := newGated(t)
	of := func(content string) string {
		return "gate \"g\" { approve = [\"image\"] }\napplication \"a\" \"x\" {\n name = \"x\"\n content = \"" + content + "\"\n label = \"" + content + "\"\n}\n"
	}
	f.apply(of("one"))
	p := f.gated(of("two")).plan(engine.Changed{}).Plan // its image is written out: it leads to no policy that could be kept
	if got := goes(p); got != "" || len(p.Waiting) != 1 || p.Waiting[0].Partly || p.Waiting[0].Whole == "" {
		t.Errorf("goes %q, waits %+v", got, p.Waiting)
	}
}

// A saved plan whose window has closed since is held.
func TestAWindowThatHasClosedSince(t *testing.T) {
	f := newFixture(t)
	e, diags := f.engine("gate \"g\" {\n window { schedule = \"Mon\" }\n}\napplication \"a\" \"x\" { name = \"x\" }\n")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	monday := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	g, diags := e.PlanGated(t.Context(), f.snapshot(), engine.Options{}, gate.Request{Now: monday})
	if diags.HasErrors() || len(g.Plan.Waiting) > 0 {
		t.Fatal(diags, g.Plan.Waiting)
	}
	if held := engine.Held(e.Stack, f.snapshot(), g.Plan, gate.Request{Now: monday.Add(13 * time.Hour)}); len(held) > 0 {
		t.Errorf("on the same day %+v", held)
	}
	tuesday := gate.Request{Now: monday.Add(24 * time.Hour)}
	if held := engine.Held(e.Stack, f.snapshot(), g.Plan, tuesday); len(held) != 1 || held[0].For[0].What != plan.WaitWindow {
		t.Errorf("on the next day %+v", held)
	}
	tuesday.Overrides = []plan.Override{{Gate: "g"}}
	if held := engine.Held(e.Stack, f.snapshot(), g.Plan, tuesday); len(held) > 0 {
		t.Errorf("with an override %+v", held)
	}
}
