package gate_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/plan"
)

// monday is 2026-11-30, 10:00 in UTC.
var monday = time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)

func gates(t *testing.T, text string) []*config.Gate {
	t.Helper()
	s, diags := config.Parse("/stack", map[string][]byte{"davit.hcl": []byte(text)})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return s.Gates
}

const (
	dev   = `application.kubernetes.shop["dev"]`
	prod  = `application.kubernetes.shop["prod"]`
	other = `application.kubernetes.other`
	build = `build.oci.api`
)

// change makes a change of an address for some causes; items are written as "delete NAME".
func change(address string, action plan.Action, causes []plan.Cause, items ...string) plan.Change {
	c := plan.Change{Address: address, Action: action, Causes: causes}
	c.Kind, _, _ = strings.Cut(address, ".")
	for _, i := range items {
		what, name, _ := strings.Cut(i, " ")
		c.Items = append(c.Items, plan.Item{Key: name, Kind: "ConfigMap", Name: name, Action: plan.Action(what)})
	}
	return c
}

// planOf makes a plan with a step for each change, in their order; after says which steps wait for which.
func planOf(changes []plan.Change, after map[string][]string) *plan.Plan {
	p := &plan.Plan{Mode: plan.ModeApply, Changes: changes}
	for i := range changes {
		c := &changes[i]
		s := plan.Step{ID: "make " + c.Address, Do: plan.Make, Address: c.Address}
		if c.Action == plan.Delete {
			s = plan.Step{ID: "delete " + c.Address, Do: plan.Remove, Address: c.Address}
		}
		s.WaitsFor = after[s.ID]
		p.Steps = append(p.Steps, s)
	}
	p.Summary = plan.Summarise(changes)
	return p
}

// waiting writes what waits and for what, a line each.
func waiting(p *plan.Plan) []string {
	var list []string
	for _, w := range p.Waiting {
		for _, f := range w.For {
			line := fmt.Sprintf("%s: %s %s", w.Change.Address, f.What, f.Gate)
			if len(f.Causes) > 0 {
				line += fmt.Sprint(" ", f.Causes)
			}
			if f.Limit > 0 || f.Deletions > 0 {
				line += fmt.Sprintf(" %d of %d", f.Deletions, f.Limit)
			}
			if f.Address != "" {
				line += " " + f.Address
			}
			if !f.Until.IsZero() {
				line += " until " + f.Until.UTC().Format(time.RFC3339)
			}
			if f.Reason != "" {
				line += " (" + f.Reason + ")"
			}
			list = append(list, line)
		}
	}
	return list
}

func addresses(p *plan.Plan) []string {
	var list []string
	for _, c := range p.Changes {
		list = append(list, c.Address)
	}
	return list
}

func digest(t *testing.T, c plan.Change) string {
	t.Helper()
	s, err := c.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type causes = []plan.Cause

// What goes and what waits, gate by gate.
func TestDecide(t *testing.T) {
	image := change(prod, plan.Update, causes{plan.CauseImage}, "update web")
	both := change(prod, plan.Update, causes{plan.CauseImage, plan.CauseConfig}, "update web")
	deletes := func(address string, n int) plan.Change {
		c := change(address, plan.Update, causes{plan.CauseSource})
		for i := range n {
			c.Items = append(c.Items, plan.Item{Key: fmt.Sprint(i), Action: plan.Delete, Causes: causes{plan.CauseRemoved}})
		}
		return c
	}
	ok := func(c plan.Change) []plan.Approval {
		return []plan.Approval{{Address: c.Address, Digest: digest(t, c), Who: "somebody"}}
	}
	for name, c := range map[string]struct {
		gates string
		plan  *plan.Plan
		ask   gate.Request
		goes  []string
		waits []string
		split []string
	}{
		"no gate":                   {plan: planOf([]plan.Change{image}, nil), goes: []string{prod}},
		"a cause waits":             {gates: `gate "g" { approve = ["image"] }`, plan: planOf([]plan.Change{image}, nil), waits: []string{prod + ": approval g [image]"}},
		"another cause":             {gates: `gate "g" { approve = ["removed"] }`, plan: planOf([]plan.Change{image}, nil), goes: []string{prod}},
		"all causes":                {gates: `gate "g" { approve = all }`, plan: planOf([]plan.Change{both}, nil), waits: []string{prod + ": approval g [image config]"}},
		"another instance":          {gates: `gate "g" { ` + "\n on = [" + dev + "]\n approve = all\n}", plan: planOf([]plan.Change{image}, nil), goes: []string{prod}},
		"the block":                 {gates: "gate \"g\" {\n on = [application.kubernetes.shop]\n approve = all\n}", plan: planOf([]plan.Change{image}, nil), waits: []string{prod + ": approval g [image]"}},
		"approved":                  {gates: `gate "g" { approve = all }`, plan: planOf([]plan.Change{image}, nil), ask: gate.Request{Approvals: ok(image)}, goes: []string{prod}},
		"approved for other causes": {gates: `gate "g" { approve = ["image"] }`, plan: planOf([]plan.Change{image}, nil), ask: gate.Request{Approvals: ok(both)}, goes: []string{prod}},
		"another was approved": {gates: `gate "g" { approve = ["image"] }`, plan: planOf([]plan.Change{image}, nil),
			ask: gate.Request{Approvals: ok(change(prod, plan.Update, causes{plan.CauseImage}, "update other"))}, waits: []string{prod + ": approval g [image]"}},
		"two gates": {gates: "gate \"a\" { approve = [\"image\"] }\ngate \"b\" { approve = [\"image\"] }", plan: planOf([]plan.Change{image}, nil),
			waits: []string{prod + ": approval a [image]", prod + ": approval b [image]"}},
		"only the image waits": {gates: `gate "g" { approve = ["image", "removed"] }`, plan: planOf([]plan.Change{both}, nil), waits: []string{prod + ": approval g [image]"}, split: []string{prod}},
		"nothing is unchanged": {gates: `gate "g" { approve = all }`, plan: planOf([]plan.Change{{Address: prod, Kind: "application", Action: plan.None}}, nil), goes: []string{prod}},
		"a cause of an item":   {gates: `gate "g" { approve = ["removed"] }`, plan: planOf([]plan.Change{deletes(prod, 1)}, nil), waits: []string{prod + ": approval g [removed]"}},
		"planned in full later": {gates: `gate "g" { approve = ["image"] }`, plan: planOf([]plan.Change{{Address: prod, Action: plan.Create, Deferred: true, WaitsFor: []string{build}}}, nil),
			waits: []string{prod + ": instance g build.oci.api (it is planned in full, and can be approved, when this is applied)"}},

		"within the limit": {gates: `gate "g" { max_deletions = 3 }`, plan: planOf([]plan.Change{deletes(prod, 2), change(other, plan.Delete, causes{plan.CauseRemoved})}, nil), goes: []string{prod, other}},
		"over the limit": {gates: `gate "g" { max_deletions = 2 }`, plan: planOf([]plan.Change{deletes(prod, 2), change(other, plan.Delete, causes{plan.CauseRemoved}), image2(dev)}, nil),
			goes: []string{dev}, waits: []string{prod + ": deletions g 3 of 2", other + ": deletions g 3 of 2"}},
		"what was approved counts": {gates: `gate "g" { max_deletions = 2 }`, plan: planOf([]plan.Change{deletes(prod, 2), change(other, plan.Delete, causes{plan.CauseRemoved})}, nil),
			ask: gate.Request{Approvals: ok(deletes(prod, 2))}, goes: []string{prod}, waits: []string{other + ": deletions g 3 of 2"}},
		"deletions elsewhere":               {gates: "gate \"g\" {\n on = [" + prod + "]\n max_deletions = 2\n}", plan: planOf([]plan.Change{deletes(prod, 2), deletes(other, 9)}, nil), goes: []string{prod, other}},
		"an item that moves is not deleted": {gates: `gate "g" { max_deletions = 0 }`, plan: planOf([]plan.Change{{Address: prod, Action: plan.Update, Items: []plan.Item{{Key: "a", Action: plan.Delete, MovedTo: other}}}}, nil), goes: []string{prod}},
		"the limit is overridden":           {gates: `gate "g" { max_deletions = 0 }`, plan: planOf([]plan.Change{deletes(prod, 2)}, nil), ask: gate.Request{Overrides: []plan.Override{{Gate: "g"}}}, goes: []string{prod}},

		"the window is open":   {gates: `gate "g" { ` + "\n window { schedule = \"Mon-Fri 09:00-16:30\" }\n}", plan: planOf([]plan.Change{image}, nil), goes: []string{prod}},
		"the window is closed": {gates: `gate "g" { ` + "\n window { schedule = \"Mon-Fri 11:00-16:30\" }\n}", plan: planOf([]plan.Change{image}, nil), waits: []string{prod + ": window g until 2026-11-30T11:00:00Z"}},
		"one of two windows":   {gates: "gate \"g\" {\n window { schedule = \"Tue\" }\n window {\n schedule = \"Mon 10:30-12:00\"\n time_zone = \"Europe/Berlin\"\n }\n}", plan: planOf([]plan.Change{image}, nil), goes: []string{prod}},
		"a freeze": {gates: "gate \"g\" {\n window { schedule = \"Mon-Fri\" }\n window {\n schedule = \"2026-11-30 to 2026-12-04\"\n deny = true\n }\n}", plan: planOf([]plan.Change{image}, nil),
			waits: []string{prod + ": window g until 2026-12-07T00:00:00Z"}},
		"an approval opens no window": {gates: "gate \"g\" {\n approve = all\n window { schedule = \"Tue\" }\n}", plan: planOf([]plan.Change{image}, nil), ask: gate.Request{Approvals: ok(image)},
			waits: []string{prod + ": window g until 2026-12-01T00:00:00Z"}},
		"an override opens the window": {gates: "gate \"g\" {\n window { schedule = \"Tue\" }\n}", plan: planOf([]plan.Change{image}, nil), ask: gate.Request{Overrides: []plan.Override{{Gate: "g"}}}, goes: []string{prod}},
		"an override approves nothing": {gates: "gate \"g\" {\n approve = all\n window { schedule = \"Tue\" }\n}", plan: planOf([]plan.Change{image}, nil), ask: gate.Request{Overrides: []plan.Override{{Gate: "g"}}},
			waits: []string{prod + ": approval g [image]"}},
		"no window any more": {gates: "gate \"g\" {\n window { schedule = \"2026-01-01\" }\n}", plan: planOf([]plan.Change{image}, nil), waits: []string{prod + ": window g (no window opens in the next two years)"}},

		"the other one changes first": {gates: soak, plan: planOf([]plan.Change{image2(dev), image}, nil), ask: healthy(dev, time.Hour), goes: []string{dev}, waits: []string{prod + ": soak g " + dev + " (it changes first)"}},
		"healthy long enough":         {gates: soak, plan: planOf([]plan.Change{{Address: dev, Action: plan.None}, image}, nil), ask: healthy(dev, 30*time.Minute), goes: []string{dev, prod}},
		"not long enough": {gates: soak, plan: planOf([]plan.Change{{Address: dev, Action: plan.None}, image}, nil), ask: healthy(dev, 10*time.Minute), goes: []string{dev},
			waits: []string{prod + ": soak g " + dev + " until 2026-11-30T10:20:00Z"}},
		"not healthy":   {gates: soak, plan: planOf([]plan.Change{{Address: dev, Action: plan.None}, image}, nil), goes: []string{dev}, waits: []string{prod + ": soak g " + dev + " (it is not healthy)"}},
		"never applied": {gates: soak, plan: planOf([]plan.Change{image}, nil), waits: []string{prod + ": soak g " + dev + " (it was never applied)"}},
		"all instances": {gates: "gate \"g\" {\n on = [application.kubernetes.other]\n soak {\n after = application.kubernetes.shop\n healthy_for = \"30m\"\n }\n}",
			plan: planOf([]plan.Change{{Address: dev, Action: plan.None}, {Address: prod, Action: plan.None}, image2(other)}, nil), ask: healthy(dev, time.Hour), goes: []string{dev, prod},
			waits: []string{other + ": soak g " + prod + " (it is not healthy)"}},
	} {
		t.Run(name, func(t *testing.T) {
			ask := c.ask
			ask.Gates, ask.Now = gates(t, c.gates), monday
			d := gate.Decide(c.plan, ask)
			left := d.Leave(c.plan)
			if diff := cmp.Diff(c.goes, addresses(left)); diff != "" {
				t.Errorf("goes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.waits, waiting(left)); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.split, d.Split); diff != "" {
				t.Errorf("split (-want +got):\n%s", diff)
			}
			if left.Summary.Waiting != len(left.Waiting) || len(left.Steps) != len(left.Changes) {
				t.Errorf("summary %+v, %d steps", left.Summary, len(left.Steps))
			}
		})
	}
}

const soak = "gate \"g\" {\n on = [" + prod + "]\n soak {\n after = " + dev + "\n healthy_for = \"30m\"\n }\n}"

func image2(address string) plan.Change {
	return change(address, plan.Update, causes{plan.CauseImage}, "update web")
}

func healthy(address string, since time.Duration) gate.Request {
	return gate.Request{Facts: gate.Facts{Healthy: map[string]time.Time{address: monday.Add(-since)}}}
}

// What comes after something that waits waits too, and says for what.
func TestDependentsWait(t *testing.T) {
	on := func(address string) string { return "gate \"g\" {\n on = [" + address + "]\n approve = all\n}" }
	for name, c := range map[string]struct {
		gates string
		plan  func() *plan.Plan
		goes  []string
		waits []string
	}{
		"an application waits for its build": {on(build), func() *plan.Plan {
			p := planOf([]plan.Change{change(build, plan.Build, causes{plan.CauseSource}), image2(prod), image2(other)}, map[string][]string{"make " + prod: {"make " + build}})
			p.Changes[1].DependsOn = []string{"policy.semver.api"}
			p.Observations = []plan.Observation{{Address: "image.registry.api", DependsOn: []string{build}}, {Address: "policy.semver.api", DependsOn: []string{"image.registry.api"}}, {Address: "source.git.repo"}}
			return p
		}, []string{other}, []string{build + ": approval g [source]", prod + ": instance  " + build}},
		"one that does nothing goes with it": {on(build), func() *plan.Plan {
			return planOf([]plan.Change{change(build, plan.Build, causes{plan.CauseSource}), {Address: prod, Action: plan.None, DependsOn: []string{build}}, {Address: other, Action: plan.None, DependsOn: []string{prod}}}, nil)
		}, nil, []string{build + ": approval g [source]"}},
		"a deletion after what no longer needs it": {on(prod), func() *plan.Plan {
			return planOf([]plan.Change{image2(prod), change(other, plan.Delete, causes{plan.CauseRemoved})}, map[string][]string{"delete " + other: {"make " + prod}})
		}, nil, []string{prod + ": approval g [image]", other + ": instance  " + prod}},
		"a build does not wait for the deletion of who used it": {on(prod), func() *plan.Plan {
			return planOf([]plan.Change{change(prod, plan.Delete, causes{plan.CauseRemoved}), change(build, plan.Build, causes{plan.CauseSource})}, map[string][]string{"make " + build: {"delete " + prod}})
		}, []string{build}, []string{prod + ": approval g [removed]"}},
		"a deletion waits for the deletion of who uses it": {on(prod), func() *plan.Plan {
			return planOf([]plan.Change{change(prod, plan.Delete, causes{plan.CauseRemoved}), change(build, plan.Delete, causes{plan.CauseRemoved})}, map[string][]string{"delete " + build: {"delete " + prod}})
		}, nil, []string{prod + ": approval g [removed]", build + ": instance  " + prod}},
		"both owners of a thing": {on(prod), func() *plan.Plan {
			p := planOf([]plan.Change{image2(prod), image2(other)}, nil)
			p.Transfers = []plan.Transfer{{Claim: "uid", From: prod, To: other}}
			return p
		}, nil, []string{prod + ": approval g [image]", other + ": instance  " + prod}},
		"both steps of a replacement": {on(build), func() *plan.Plan {
			p := planOf([]plan.Change{image2(build), image2(prod)}, map[string][]string{"make " + prod: {"make " + build}})
			p.Steps = slices.Insert(p.Steps, 1, plan.Step{ID: "delete " + prod, Do: plan.Remove, Address: prod})
			p.Steps[2].WaitsFor = append(p.Steps[2].WaitsFor, "delete "+prod)
			return p
		}, nil, []string{build + ": approval g [image]", prod + ": instance  " + build}},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.plan()
			left := gate.Decide(p, gate.Request{Gates: gates(t, c.gates), Now: monday}).Leave(p)
			if diff := cmp.Diff(c.goes, addresses(left)); diff != "" {
				t.Errorf("goes (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.waits, waiting(left)); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
			if len(left.Steps) != len(left.Changes) {
				t.Errorf("steps %v", left.Steps)
			}
			for _, s := range left.Steps {
				for _, id := range s.WaitsFor {
					if !slices.ContainsFunc(left.Steps, func(s plan.Step) bool { return s.ID == id }) {
						t.Errorf("%s waits for %s, which is not there", s.ID, id)
					}
				}
			}
		})
	}
}

// The earliest time at which something may go by itself; what needs a person has none.
func TestNext(t *testing.T) {
	text := "gate \"a\" {\n on = [" + prod + "]\n window { schedule = \"Tue\" }\n}\ngate \"b\" {\n on = [" + dev + "]\n window { schedule = \"Wed\" }\n window { schedule = \"Thu\" }\n}\n" +
		"gate \"c\" {\n on = [" + other + "]\n approve = all\n window { schedule = \"Mon 10:30-11:00\" }\n}"
	p := planOf([]plan.Change{image2(prod), image2(dev), image2(other)}, nil)
	d := gate.Decide(p, gate.Request{Gates: gates(t, text), Now: monday})
	if want := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC); !d.Next.Equal(want) || len(d.Waiting) != 3 {
		t.Errorf("next is %s, %d wait; want %s", d.Next, len(d.Waiting), want)
	}
}

// An approval that is used and an override that was needed are in the plan; a void one is returned.
func TestApprovalsAndOverridesOfThePlan(t *testing.T) {
	text := "gate \"a\" {\n on = [" + prod + "]\n approve = all\n window { schedule = \"Tue\" }\n}\ngate \"b\" {\n window { schedule = \"Mon\" }\n}"
	p := planOf([]plan.Change{image2(prod), image2(dev)}, nil)
	ask := gate.Request{Gates: gates(t, text), Now: monday, Overrides: []plan.Override{{Gate: "a", Who: "x"}, {Gate: "b", Who: "x"}}, Approvals: []plan.Approval{
		{Address: prod, Digest: digest(t, image2(prod)), Who: "y"}, {Address: prod, Digest: "sha256:other", Who: "z"}, {Address: dev, Digest: digest(t, image2(dev)), Who: "y"},
	}}
	d := gate.Decide(p, ask)
	left := d.Leave(p)
	if len(left.Waiting) > 0 || len(left.Approvals) != 1 || left.Approvals[0].Address != prod || len(left.Overrides) != 1 || left.Overrides[0].Gate != "a" || len(d.Void) != 1 || d.Void[0].Who != "z" {
		t.Errorf("waiting %v, approvals %v, overrides %v, void %v", left.Waiting, left.Approvals, left.Overrides, d.Void)
	}
	if a := left.Approved(&left.Changes[0]); a == nil || a.Who != "y" {
		t.Errorf("approved is %v", a)
	}
}

// The digest of a change moves with what happens, and with nothing else.
func TestChangeDigest(t *testing.T) {
	base := func() plan.Change {
		c := change(prod, plan.Update, causes{plan.CauseImage}, "update web", "delete old", "none same")
		c.Items[0].Fields = []plan.Field{{Path: "spec.image", Before: []byte(`"a:1"`), After: []byte(`"a:2"`)}}
		c.Images = []plan.ImageUse{{Name: "api", Before: "a:1", After: "a:2@sha256:00"}}
		c.Fingerprints = map[string]string{"token": "hmac:1"}
		c.Arguments = []plan.Field{{Path: "source", After: []byte(`{"revision":"1"}`)}}
		return c
	}
	want := digest(t, base())
	for name, alter := range map[string]func(*plan.Change){
		"reasons":                     func(c *plan.Change) { c.Reasons = []string{"why"} },
		"private":                     func(c *plan.Change) { c.Private = []byte("uid") },
		"dependencies":                func(c *plan.Change) { c.DependsOn, c.WaitsFor = []string{build}, []string{build} },
		"an argument beside items":    func(c *plan.Change) { c.Arguments[0].After = []byte(`{"revision":"2"}`) },
		"an unchanged item":           func(c *plan.Change) { c.Items = c.Items[:2] },
		"the order of items":          func(c *plan.Change) { c.Items[0], c.Items[1] = c.Items[1], c.Items[0] },
		"a note":                      func(c *plan.Change) { c.Items[0].Note = "note" },
		"what state has of it before": func(c *plan.Change) { c.Record = []string{"outputs"} },
	} {
		c := base()
		alter(&c)
		if digest(t, c) != want {
			t.Errorf("%s: another digest", name)
		}
	}
	for name, alter := range map[string]func(*plan.Change){
		"address":            func(c *plan.Change) { c.Address = dev },
		"action":             func(c *plan.Change) { c.Action = plan.Replace },
		"a field":            func(c *plan.Change) { c.Items[0].Fields[0].After = []byte(`"a:3"`) },
		"what it was":        func(c *plan.Change) { c.Items[0].Fields[0].Before = []byte(`"a:0"`) },
		"one more deletion":  func(c *plan.Change) { c.Items[2].Action = plan.Delete },
		"one deletion less":  func(c *plan.Change) { c.Items = c.Items[:1] },
		"an image digest":    func(c *plan.Change) { c.Images[0].After = "a:2@sha256:11" },
		"a secret":           func(c *plan.Change) { c.Fingerprints["token"] = "hmac:2" },
		"an unknown field":   func(c *plan.Change) { c.Items[0].Fields[0].Unknown = true },
		"an owner":           func(c *plan.Change) { c.Items[1].MovedTo = other },
		"a hold":             func(c *plan.Change) { c.Hold = &plan.Hold{Revision: 3} },
		"the image is kept":  func(c *plan.Change) { c.Kept = []string{"images"} },
		"arguments, no item": func(c *plan.Change) { c.Items = nil },
	} {
		c := base()
		alter(&c)
		if digest(t, c) == want {
			t.Errorf("%s: the same digest", name)
		}
	}
}

// A change that was saved and read again has the same digest, whatever is empty in it.
func TestChangeDigestOfASavedPlan(t *testing.T) {
	for name, c := range map[string]plan.Change{
		"full":        {Address: prod, Action: plan.Update, Items: []plan.Item{{Key: "a", Action: plan.Update, Fields: []plan.Field{{Path: "x", Before: []byte(`{"a": 1}`), After: []byte(`"<&>"`)}}}}},
		"empty lists": {Address: prod, Action: plan.Update, Items: []plan.Item{}, Arguments: []plan.Field{}, Fingerprints: map[string]string{}, Images: []plan.ImageUse{}, Kept: []string{}},
	} {
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		var read plan.Change
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		if digest(t, c) != digest(t, read) {
			t.Errorf("%s: another digest", name)
		}
	}
}

// A refresh writes only state, and meets no gate.
func TestRefreshMeetsNoGate(t *testing.T) {
	p := planOf([]plan.Change{image2(prod)}, nil)
	p.Mode = plan.ModeRefresh
	if d := gate.Decide(p, gate.Request{Gates: gates(t, `gate "g" { approve = all }`), Now: monday}); len(d.Waiting) > 0 {
		t.Errorf("%v", d.Waiting)
	}
}

// Ten thousand changes behind three gates.
func BenchmarkDecide(b *testing.B) {
	var changes []plan.Change
	after := map[string][]string{}
	for i := range 10_000 {
		c := change(fmt.Sprintf("application.kubernetes.shop[%d]", i), plan.Update, causes{plan.CauseImage}, "update web", "delete old")
		if i%2 == 1 {
			after["make "+c.Address] = []string{"make " + changes[i-1].Address}
		}
		changes = append(changes, c)
	}
	p := planOf(changes, after)
	s, diags := config.Parse("/stack", map[string][]byte{"davit.hcl": []byte("gate \"a\" { approve = [\"image\"] }\ngate \"b\" { max_deletions = 3 }\ngate \"c\" {\n window { schedule = \"Tue\" }\n}")})
	if diags.HasErrors() {
		b.Fatal(diags)
	}
	for b.Loop() {
		d := gate.Decide(p, gate.Request{Gates: s.Gates, Now: monday})
		if left := d.Leave(p); len(left.Waiting) != len(changes) {
			b.Fatal(len(left.Waiting))
		}
	}
}
