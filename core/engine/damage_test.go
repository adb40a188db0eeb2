package engine_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

const damagedStack = `
application "a" "up" { name = "up" }
application "a" "x" {
  for_each = { for k in ["one", "two"] : k => application.a.up.sum }
  name     = each.key
  content  = each.value
}
application "a" "after" {
  name    = "after"
  content = application.a.x["one"].sum
}
`

// damaged is the state as it is read when a record cannot be.
func (f *fixture) damaged(names ...string) *state.Snapshot {
	s := f.snapshot()
	for _, name := range names {
		delete(s.Records, name)
	}
	s.Damaged = names
	return s
}

// A record that cannot be read is never taken for one that is not there, warm or cold.
func TestDamagedRecords(t *testing.T) {
	f := newFixture(t)
	f.apply(damagedStack)
	for name, c := range map[string]struct {
		damaged string
		opts    engine.Options
		want    []string
		left    int
	}{
		"one instance":           {`application.a.x["one"]`, engine.Options{}, []string{"application.a.up: none", `application.a.x["two"]: none`}, 1},
		"what for_each is of":    {"application.a.up", engine.Options{}, nil, 1},
		"something else":         {"application.a.after", engine.Options{Targets: place(t, "application.a.x")}, []string{"application.a.up: none", `application.a.x["one"]: none`, `application.a.x["two"]: none`}, 0},
		"left out by the person": {"application.a.after", engine.Options{Excludes: place(t, "application.a.after")}, []string{"application.a.up: none", `application.a.x["one"]: none`, `application.a.x["two"]: none`}, 0},
		"destroy":                {`application.a.x["one"]`, engine.Options{Mode: plan.ModeDestroy}, []string{"application.a.after: delete", `application.a.x["two"]: delete`}, 1},
		"destroy what it needs":  {`application.a.x["one"]`, engine.Options{Mode: plan.ModeDestroy, Targets: place(t, "application.a.up")}, []string{`application.a.x["two"]: delete`}, 1},
		"refresh":                {"application.a.after", engine.Options{Mode: plan.ModeRefresh}, []string{"application.a.up: none", `application.a.x["one"]: none`, `application.a.x["two"]: none`}, 1},
	} {
		e, diags := f.engine(damagedStack)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		warm := engine.NewWarm(e, c.opts)
		for range 2 {
			p, _, diags := warm.Plan(t.Context(), engine.Changed{Snapshot: f.damaged(c.damaged)})
			if diags.HasErrors() {
				t.Fatalf("%s: %v", name, diags)
			}
			got := strings.Split(actions(p), "\n")
			slices.Sort(got)
			if want := slices.Sorted(slices.Values(c.want)); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s: the plan is\n%s", name, actions(p))
			}
			if len(p.Damaged) != c.left || len(record.Damage(p)) != c.left {
				t.Errorf("%s: left out are %v", name, p.Damaged)
			}
		}
	}
}

// Nothing is planned when it cannot be told what is missing.
func TestDamageThatCannotBeTold(t *testing.T) {
	f := newFixture(t)
	f.apply(damagedStack)
	e, _ := f.engine(damagedStack)
	for name, hint := range map[string]string{"table records": "Entries are missing", "operation 12": "its entry cannot be read"} {
		_, diags := e.Plan(t.Context(), f.damaged(name), engine.Options{})
		wantDiags(t, diags, hint)
	}
	if p, diags := e.Plan(t.Context(), f.damaged("output x"), engine.Options{}); diags.HasErrors() || len(p.Damaged) > 0 {
		t.Errorf("%v", diags)
	}
}

// An operation does not stand for a record that may be the one that is missing.
func TestOperationsOfMissingRecords(t *testing.T) {
	f := newFixture(t)
	f.apply(damagedStack)
	lease, err := f.store.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	s := f.damaged("application.a.up")
	s.Damaged = []string{"table records"}
	s.Operations = map[string]state.Operation{"1": {ID: "1", Address: "application.a.up", Kind: "application", Type: "a", Plugin: "test", Action: "update"}}
	now, err := record.Recover(t.Context(), lease, s)
	if err != nil {
		t.Fatal(err)
	}
	if rec, there := now.Records["application.a.up"]; there {
		t.Errorf("its record is %+v", rec)
	}
	if rec := f.snapshot().Records["application.a.up"]; rec.Status != state.StatusOK {
		t.Errorf("its record was written: %+v", rec)
	}
}
