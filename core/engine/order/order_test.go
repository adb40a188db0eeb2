package order_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/engine/order"
	"github.com/davit-sh/davit/core/plan"
)

// change describes a change in a short form: "a", "update", with the letters r (replace) and f (create_before_destroy).
func change(address string, action plan.Action, needs ...string) plan.Change {
	return plan.Change{Address: address, Action: action, DependsOn: needs}
}

func replace(address string, needs ...string) plan.Change {
	return plan.Change{Address: address, Action: plan.Replace, TwoSteps: true, DependsOn: needs}
}

func createFirst(address string, needs ...string) plan.Change {
	return plan.Change{Address: address, Action: plan.Replace, TwoSteps: true, CreateFirst: true, DependsOn: needs}
}

func TestSteps(t *testing.T) {
	onA := map[string][]string{"a": nil, "b": {"a"}}
	for _, tt := range []struct {
		name     string
		changes  []plan.Change
		observed []plan.Observation
		left     []plan.Leftover
		moved    []plan.Transfer
		recorded map[string][]string
		want     string // "step <- what it waits for", sorted as the steps are
	}{
		{
			name:    "creations follow their dependencies",
			changes: []plan.Change{change("b", plan.Create, "a"), change("a", plan.Create)},
			want:    "make a; make b <- make a",
		},
		{
			name:    "through observations and unchanged instances",
			changes: []plan.Change{change("a", plan.Build), change("n", plan.None, "p"), change("b", plan.Update, "n")},
			observed: []plan.Observation{
				{Address: "i", DependsOn: []string{"a"}}, {Address: "p", DependsOn: []string{"i"}},
			},
			recorded: map[string][]string{"a": nil, "n": {"a"}, "b": {"n"}},
			want:     "make a; make b <- make a",
		},
		{
			name:     "create_before_destroy: the dependant is updated before the old one is deleted",
			changes:  []plan.Change{createFirst("a"), change("b", plan.Update, "a")},
			recorded: onA,
			want:     "make a; make b <- make a; delete a <- make a, make b",
		},
		{
			name:     "create_before_destroy of both",
			changes:  []plan.Change{createFirst("a"), createFirst("b", "a")},
			recorded: onA,
			want:     "make a; make b <- make a; delete b <- make b; delete a <- delete b, make a, make b",
		},
		{
			name:     "create_before_destroy waits for dependants of dependants",
			changes:  []plan.Change{createFirst("a"), change("b", plan.None, "a"), change("c", plan.Update, "b")},
			recorded: map[string][]string{"a": nil, "b": {"a"}, "c": {"b"}},
			want:     "make a; make c <- make a; delete a <- make a, make c",
		},
		{
			name:     "replacements of both: deletions first, in reverse",
			changes:  []plan.Change{replace("a"), replace("b", "a")},
			recorded: onA,
			want:     "delete b; delete a <- delete b; make a <- delete a, delete b; make b <- delete b, make a",
		},
		{
			name:     "an orphan goes before what it stands on is updated",
			changes:  []plan.Change{change("a", plan.Update), change("b", plan.Delete)},
			recorded: onA,
			want:     "delete b; make a <- delete b",
		},
		{
			name:     "an orphan goes before what it stands on is replaced",
			changes:  []plan.Change{replace("a"), change("b", plan.Delete)},
			recorded: onA,
			want:     "delete b; delete a <- delete b; make a <- delete a, delete b",
		},
		{
			name:     "a dependant that stays lets go first",
			changes:  []plan.Change{change("b", plan.Update), change("a", plan.Delete)},
			recorded: onA,
			want:     "make b; delete a <- make b",
		},
		{
			name:     "an edge of a block that is still declared counts although the record has none",
			changes:  []plan.Change{createFirst("a"), change("b", plan.Update, "a")},
			recorded: map[string][]string{"a": nil, "b": nil},
			want:     "make a; make b <- make a; delete a <- make a, make b",
		},
		{
			name:     "destroy, through one that stays",
			changes:  []plan.Change{change("a", plan.Delete), change("c", plan.Delete)},
			recorded: map[string][]string{"a": nil, "b": {"a"}, "c": {"b"}},
			want:     "delete c; delete a <- delete c",
		},
		{
			name:     "an old one that an interrupted replacement left waits for its dependants",
			changes:  []plan.Change{change("a", plan.None), change("b", plan.Update, "a")},
			left:     []plan.Leftover{{Address: "a", Operation: "op1"}},
			recorded: onA,
			want:     "make b; delete a op1 <- make b",
		},
		{
			name:     "a new one that is not to be any more goes first",
			changes:  []plan.Change{change("a", plan.Update)},
			left:     []plan.Leftover{{Address: "a", Operation: "op1", New: true}},
			recorded: onA,
			want:     "delete a op1; make a <- delete a op1",
		},
		{
			name:     "a dependant that moved to what the orphan stands on: the update of that one does not wait",
			changes:  []plan.Change{change("k", plan.Update), change("j", plan.Update, "k"), change("i", plan.Delete)},
			recorded: map[string][]string{"k": nil, "i": {"k"}, "j": {"i"}},
			want:     "make k; make j <- make k; delete i <- make j",
		},
		{
			name:     "the same when that one is replaced: the deletions keep their order",
			changes:  []plan.Change{replace("k"), change("j", plan.Update, "k"), change("i", plan.Delete)},
			recorded: map[string][]string{"k": nil, "i": {"k"}, "j": {"i"}},
			want:     "delete i; delete k <- delete i; make k <- delete i, delete k; make j <- make k",
		},
		{
			name:     "what cannot be made first, below one that is made first",
			changes:  []plan.Change{replace("a"), createFirst("b", "a")},
			recorded: onA,
			want:     "delete a; make a <- delete a; make b <- make a; delete b <- make b",
		},
		{
			name:     "records in a circle can be destroyed",
			changes:  []plan.Change{change("a", plan.Delete), change("b", plan.Delete)},
			recorded: map[string][]string{"a": {"b"}, "b": {"a"}},
			want:     "delete b; delete a <- delete b",
		},
		{
			name:     "who gives something up waits for who takes it",
			changes:  []plan.Change{change("old", plan.Forget), change("new", plan.Create)},
			moved:    []plan.Transfer{{Claim: "file:/x", From: "old", To: "new"}, {Claim: "file:/y", From: "old", To: "new"}},
			recorded: map[string][]string{"old": nil},
			want:     "make new; delete old <- make new",
		},
		{
			name:     "two that swap what they own",
			changes:  []plan.Change{change("a", plan.Update), change("b", plan.Update)},
			moved:    []plan.Transfer{{Claim: "file:/x", From: "a", To: "b"}, {Claim: "file:/y", From: "b", To: "a"}},
			recorded: map[string][]string{"a": nil, "b": nil},
			want:     "make b; make a <- make b",
		},
		{
			name:     "nothing to do",
			changes:  []plan.Change{change("a", plan.None)},
			recorded: onA,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steps := order.Steps(&plan.Plan{Changes: tt.changes, Observations: tt.observed, Leftovers: tt.left, Transfers: tt.moved}, tt.recorded)
			var got []string
			for _, s := range steps {
				text := s.ID
				if len(s.WaitsFor) > 0 {
					text += " <- " + strings.Join(s.WaitsFor, ", ")
				}
				got = append(got, text)
			}
			if got := strings.Join(got, "; "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestRandomSteps checks the rules on random plans: the list is sorted, and each rule that always holds does.
func TestRandomSteps(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		p, recorded := randomPlan(r)
		steps := order.Steps(p, recorded)
		place := map[string]int{}
		for n, s := range steps {
			for _, w := range s.WaitsFor {
				if at, there := place[w]; !there || at >= n {
					t.Fatalf("seed %d: %s is before %s, which it waits for", seed, s.ID, w)
				}
			}
			if _, twice := place[s.ID]; twice {
				t.Fatalf("seed %d: two steps %s", seed, s.ID)
			}
			place[s.ID] = n
		}
		before := func(first, then string) bool {
			a, is1 := place[first]
			b, is2 := place[then]
			return !is1 || !is2 || a < b
		}
		for _, c := range p.Changes {
			for _, d := range c.DependsOn {
				if c.Action != plan.Delete && !before(order.MakeID(d), order.MakeID(c.Address)) {
					t.Fatalf("seed %d: %s is made before %s", seed, c.Address, d)
				}
			}
			switch {
			case c.TwoSteps && c.CreateFirst && !before(order.MakeID(c.Address), order.DeleteID(c.Address)),
				c.TwoSteps && !c.CreateFirst && !before(order.DeleteID(c.Address), order.MakeID(c.Address)):
				t.Fatalf("seed %d: the replacement of %s is the wrong way round", seed, c.Address)
			}
			if !c.CreateFirst {
				continue
			}
			for _, j := range p.Changes { // rule 4, for the direct dependants
				if slices.Contains(recorded[j.Address], c.Address) && !before(order.MakeID(j.Address), order.DeleteID(c.Address)) {
					t.Fatalf("seed %d: the old %s is deleted before %s is made", seed, c.Address, j.Address)
				}
			}
		}
	}
}

// randomPlan makes a plan over up to 9 instances whose dependencies have changed in places.
func randomPlan(r *rand.Rand) (*plan.Plan, map[string][]string) {
	p, recorded := &plan.Plan{}, map[string][]string{}
	n := 2 + r.IntN(8)
	name := func(i int) string { return fmt.Sprintf("n%d", i) }
	gone := map[string]bool{}
	for i := range n {
		gone[name(i)] = r.IntN(4) == 0
	}
	for i := range n {
		c := plan.Change{Address: name(i)}
		for d := range i {
			if r.IntN(3) == 0 && !gone[name(d)] {
				c.DependsOn = append(c.DependsOn, name(d))
			}
			if r.IntN(3) == 0 {
				recorded[c.Address] = append(recorded[c.Address], name(d))
			}
		}
		if _, there := recorded[c.Address]; !there {
			recorded[c.Address] = nil
		}
		switch {
		case gone[c.Address]:
			c.Action, c.DependsOn = plan.Delete, nil
		case r.IntN(3) == 0:
			c.Action, c.TwoSteps, c.CreateFirst = plan.Replace, true, r.IntN(2) == 0
		default:
			c.Action = []plan.Action{plan.None, plan.Update, plan.Create}[r.IntN(3)]
		}
		p.Changes = append(p.Changes, c)
	}
	return p, recorded
}

func BenchmarkSteps(b *testing.B) {
	for _, action := range []plan.Action{plan.Create, plan.Delete, plan.None} {
		p, recorded := &plan.Plan{}, map[string][]string{}
		for i := range 5000 {
			c := plan.Change{Address: fmt.Sprintf("build.oci.n%d", i), Action: action}
			if i%10 > 0 {
				c.DependsOn = []string{fmt.Sprintf("build.oci.n%d", i-1)}
			}
			recorded[c.Address] = c.DependsOn
			p.Changes = append(p.Changes, c)
		}
		b.Run(string(action), func(b *testing.B) {
			for b.Loop() {
				order.Steps(p, recorded)
			}
		})
	}
}
