package gate_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/plan"
)

// drawGated draws a plan of builds, observations and applications that depend on earlier ones, with deletions and transfers.
func drawGated(t *rapid.T) *plan.Plan {
	var changes []plan.Change
	p := &plan.Plan{Mode: plan.ModeApply}
	after := map[string][]string{}
	var addresses []string // in the order in which they can depend on each other
	makes := map[string][]string{}
	for i := range rapid.IntRange(1, 12).Draw(t, "instances") {
		var deps []string
		for _, d := range addresses {
			if rapid.IntRange(0, 3).Draw(t, "depends") == 0 {
				deps = append(deps, d)
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "observed") == 0 {
			address := fmt.Sprintf("policy.semver.n%d", i)
			p.Observations = append(p.Observations, plan.Observation{Address: address, Kind: "policy", DependsOn: deps})
			for _, d := range deps {
				makes[address] = append(makes[address], makes[d]...)
			}
			addresses = append(addresses, address)
			continue
		}
		c := change(fmt.Sprintf("application.kubernetes.n%d", i), rapid.SampledFrom([]plan.Action{plan.None, plan.Create, plan.Update, plan.Delete}).Draw(t, "action"), nil)
		c.DependsOn = deps
		if c.Action != plan.None {
			c.Causes = causes{rapid.SampledFrom([]plan.Cause{plan.CauseImage, plan.CauseConfig, plan.CauseRemoved}).Draw(t, "cause")}
		}
		switch c.Action {
		case plan.Delete: // of what others may have needed
			for _, d := range deps {
				after["delete "+c.Address] = append(after["delete "+c.Address], makes[d]...)
			}
		case plan.None:
			for _, d := range deps {
				makes[c.Address] = append(makes[c.Address], makes[d]...)
			}
			addresses = append(addresses, c.Address)
		default:
			for _, d := range deps {
				after["make "+c.Address] = append(after["make "+c.Address], makes[d]...)
			}
			makes[c.Address] = []string{"make " + c.Address}
			addresses = append(addresses, c.Address)
		}
		changes = append(changes, c)
	}
	made := planOf(changes, after)
	made.Steps = slices.DeleteFunc(made.Steps, func(s plan.Step) bool {
		return slices.ContainsFunc(changes, func(c plan.Change) bool { return c.Address == s.Address && !c.Works() })
	})
	made.Observations = p.Observations
	if n := len(changes); n > 1 && rapid.IntRange(0, 3).Draw(t, "transfer") == 0 {
		made.Transfers = []plan.Transfer{{Claim: "x", From: changes[0].Address, To: changes[n-1].Address}}
	}
	return made
}

// Whatever waits: the rest is a whole plan. Nothing in it needs what is not in it, no step waits for one that is not there, nothing is lost,
// and the gates let all of it pass.
func TestTheRestIsAWholePlan(t *testing.T) {
	stack := "gate \"a\" { approve = [\"image\"] }\ngate \"b\" {\n on = [application.kubernetes.n3, application.kubernetes.n5]\n window { schedule = \"Tue\" }\n}\ngate \"c\" { max_deletions = 1 }"
	list := gates(t, stack)
	rapid.Check(t, func(t *rapid.T) {
		p := drawGated(t)
		ask := gate.Request{Gates: list, Now: monday}
		left := gate.Decide(p, ask).Leave(p)
		in := map[string]bool{}
		for _, c := range left.Changes {
			in[c.Address] = true
		}
		for _, o := range left.Observations {
			in[o.Address] = true
		}
		for _, c := range left.Changes {
			for _, d := range c.DependsOn {
				if c.Action != plan.Delete && !in[d] {
					t.Fatalf("%s is in the plan, and %s, which it needs, is not", c.Address, d)
				}
			}
		}
		for _, o := range left.Observations {
			if i := slices.IndexFunc(o.DependsOn, func(d string) bool { return !in[d] }); i >= 0 {
				t.Fatalf("%s is in the plan, and %s, which it needs, is not", o.Address, o.DependsOn[i])
			}
		}
		ids := map[string]bool{}
		for _, s := range left.Steps {
			if !in[s.Address] {
				t.Fatalf("the step %s is about nothing in the plan", s.ID)
			}
			for _, id := range s.WaitsFor {
				if !ids[id] {
					t.Fatalf("%s waits for %s, which does not come before it", s.ID, id)
				}
			}
			ids[s.ID] = true
		}
		for _, c := range p.Changes {
			waits := slices.ContainsFunc(left.Waiting, func(w plan.Waiting) bool { return w.Change.Address == c.Address && len(w.For) > 0 })
			if c.Works() && waits == in[c.Address] {
				t.Fatalf("%s is in the plan: %v, waits: %v", c.Address, in[c.Address], waits)
			}
		}
		for _, tr := range left.Transfers {
			if !in[tr.From] || !in[tr.To] {
				t.Fatalf("%v is between what is not in the plan", tr)
			}
		}
		for _, w := range gate.Decide(left, ask).Waiting {
			t.Fatalf("%s waits in a plan that has passed the gates: %v", w.Change.Address, w.For)
		}
	})
}
