package claims_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/engine/claims"
	"github.com/davit-sh/davit/core/plan"
)

func change(address string, action plan.Action, owns ...string) plan.Change {
	return plan.Change{Address: address, Kind: "application", Type: "t", Action: action, Claims: owns}
}

func TestConflicts(t *testing.T) {
	for _, tt := range []struct {
		name    string
		changes []plan.Change
		in      claims.Input
		want    []claims.Conflict
	}{
		{
			name:    "two that are planned",
			changes: []plan.Change{change("a", plan.Create, "x", "y"), change("b", plan.None, "y", "x"), change("c", plan.Create, "z")},
			want:    []claims.Conflict{{First: "a", Second: "b", Claims: []string{"x", "y"}}},
		},
		{
			name:    "three owners are reported against the first",
			changes: []plan.Change{change("a", plan.Create, "x"), change("b", plan.Create, "x"), change("c", plan.Create, "x")},
			want:    []claims.Conflict{{First: "a", Second: "b", Claims: []string{"x"}}, {First: "a", Second: "c", Claims: []string{"x"}}},
		},
		{
			name:    "the owner is not in the plan",
			changes: []plan.Change{change("b", plan.Create, "x")},
			in:      claims.Input{Recorded: map[string][]string{"a": {"x"}}},
			want:    []claims.Conflict{{First: "b", Second: "a", Claims: []string{"x"}, Absent: true}},
		},
		{
			name:    "the owner is not in the plan, and would give it up",
			changes: []plan.Change{change("b", plan.Create, "x")},
			in:      claims.Input{Recorded: map[string][]string{"a": {"x"}}, Others: map[string][]string{"a": {"y"}}},
		},
		{
			name:    "the owner is planned in full at apply",
			changes: []plan.Change{{Address: "a", Action: plan.Update, Deferred: true}, change("b", plan.Create, "x")},
			in:      claims.Input{Recorded: map[string][]string{"a": {"x"}}},
			want:    []claims.Conflict{{First: "a", Second: "b", Claims: []string{"x"}}},
		},
		{
			name:    "one that is deleted owns nothing",
			changes: []plan.Change{change("a", plan.Delete), change("b", plan.Create, "x")},
			in:      claims.Input{Recorded: map[string][]string{"a": {"x"}}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _ := claims.Settle(&plan.Plan{Changes: tt.changes}, tt.in)
			if len(got)+len(tt.want) > 0 && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// TestRename: a block gets another name without a moved block. Nothing is deleted.
func TestRename(t *testing.T) {
	old := change("old", plan.Delete)
	old.Items = []plan.Item{{Key: "1", Claim: "x", Action: plan.Delete}, {Key: "2", Claim: "y", Action: plan.Delete}}
	now := change("new", plan.Update, "x", "y")
	now.Items = []plan.Item{{Key: "1", Claim: "x", Action: plan.Update}, {Key: "2", Claim: "y", Action: plan.None}}
	p := &plan.Plan{Changes: []plan.Change{now, old}}
	conflicts, held := claims.Settle(p, claims.Input{Recorded: map[string][]string{"old": {"x", "y"}}})
	if len(conflicts)+len(held) > 0 {
		t.Fatalf("conflicts %v, held back %v", conflicts, held)
	}
	want := []plan.Transfer{{Claim: "x", From: "old", To: "new"}, {Claim: "y", From: "old", To: "new"}}
	if !reflect.DeepEqual(p.Transfers, want) {
		t.Errorf("transfers %+v", p.Transfers)
	}
	given, taken := p.Changes[1], p.Changes[0]
	if given.Action != plan.Forget || !strings.Contains(given.Reasons[0], "move to new") || given.Causes[0] != plan.CauseMoved {
		t.Errorf("the old one is %s, %v, %v", given.Action, given.Causes, given.Reasons)
	}
	for _, it := range given.Items {
		if it.Action != plan.None || it.MovedTo != "new" {
			t.Errorf("item %s of the old one: %s, moved to %q", it.Key, it.Action, it.MovedTo)
		}
	}
	for _, it := range taken.Items {
		if it.MovedFrom != "old" {
			t.Errorf("item %s of the new one: moved from %q", it.Key, it.MovedFrom)
		}
	}
	if got := claims.Given(p, "old"); !reflect.DeepEqual(got, []string{"x", "y"}) {
		t.Errorf("given %v", got)
	}
}

// TestSplit: one instance keeps a part and gives a part away; what nobody wants is deleted as planned.
func TestSplit(t *testing.T) {
	old := change("old", plan.Update, "x")
	old.Items = []plan.Item{{Key: "x", Claim: "x"}, {Key: "y", Claim: "y", Action: plan.Delete}, {Key: "z", Claim: "z", Action: plan.Delete}}
	p := &plan.Plan{Changes: []plan.Change{old, change("new", plan.Create, "y")}}
	if conflicts, held := claims.Settle(p, claims.Input{Recorded: map[string][]string{"old": {"x", "y", "z"}}}); len(conflicts)+len(held) > 0 {
		t.Fatalf("conflicts %v, held back %v", conflicts, held)
	}
	if c := p.Changes[0]; c.Action != plan.Update || c.Items[1].MovedTo != "new" || c.Items[1].Action != plan.None || c.Items[2].Action != plan.Delete {
		t.Errorf("the old one: %+v", c)
	}
}

// TestHeldBack: what an instance outside of the plan wants is not deleted.
func TestHeldBack(t *testing.T) {
	for _, tt := range []struct {
		name string
		in   claims.Input
		want []claims.HeldBack
	}{
		{"its claims are known", claims.Input{Others: map[string][]string{"new": {"x"}}}, []claims.HeldBack{{Address: "old", For: "new", Claims: []string{"x"}}}},
		{"its claims are not known", claims.Input{Unknown: []claims.Unknown{{"new", "application", "t"}}}, []claims.HeldBack{{Address: "old", For: "new"}}},
		{"one of another type", claims.Input{Unknown: []claims.Unknown{{"new", "build", "t"}}}, nil},
		{"it wants something else", claims.Input{Others: map[string][]string{"new": {"q"}}}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.in.Recorded = map[string][]string{"old": {"x", "y"}}
			p := &plan.Plan{Changes: []plan.Change{change("other", plan.None, "o"), change("old", plan.Delete)}}
			_, held := claims.Settle(p, tt.in)
			if !reflect.DeepEqual(held, tt.want) {
				t.Errorf("got %+v, want %+v", held, tt.want)
			}
			if left := len(p.Changes); left != 2-len(tt.want) {
				t.Errorf("%d changes are left", left)
			}
		})
	}
}

// An instance that stays leaves alone what an instance outside of the plan wants.
func TestGivenToOneOutsideOfThePlan(t *testing.T) {
	p := &plan.Plan{Changes: []plan.Change{change("web", plan.Update, "x")}}
	p.Changes[0].Items = []plan.Item{{Key: "y", Action: plan.Delete, Claim: "y"}, {Key: "z", Action: plan.Delete, Claim: "z"}}
	in := claims.Input{Recorded: map[string][]string{"web": {"x", "y", "z"}}, Others: map[string][]string{"other": {"y"}}}
	if conflicts, held := claims.Settle(p, in); conflicts != nil || held != nil {
		t.Errorf("conflicts %v, held back %v", conflicts, held)
	}
	if got := claims.Given(p, "web"); !reflect.DeepEqual(got, []string{"y"}) {
		t.Errorf("it gives %q", got)
	}
	if items := p.Changes[0].Items; items[0].Action != plan.None || items[0].MovedTo != "other" || items[1].Action != plan.Delete {
		t.Errorf("the items are %+v", items)
	}
}

func TestDescribe(t *testing.T) {
	for claim, want := range map[string]string{
		"file:/srv/out":                          "path /srv/out",
		"image:r.example.com/acme/api:1.0":       "tag r.example.com/acme/api:1.0",
		"git:https://git.example.com/a.git#main": "branch main of https://git.example.com/a.git",
		"kubernetes:id/apps/Deployment/shop/web": "Deployment shop/web",
		"kubernetes:id//Namespace//shop":         "Namespace shop",
		"kubernetes:too/short":                   "kubernetes:too/short",
		"something else":                         "something else",
	} {
		if got := claims.Describe(claim); got != want {
			t.Errorf("%s: %q, want %q", claim, got, want)
		}
	}
}
