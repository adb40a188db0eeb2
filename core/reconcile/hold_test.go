package reconcile

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/status"
)

const app = "application.kubernetes.api"

func change(causes ...plan.Cause) *plan.Change {
	return &plan.Change{Address: app, Kind: "application", Action: plan.Update, Causes: causes, Items: []plan.Item{{Key: "web", Action: plan.Update, Causes: causes}}}
}

func whats(list []plan.Wait) []string {
	var out []string
	for _, x := range list {
		out = append(out, string(x.What))
	}
	return out
}

// What the loop holds back by itself, besides the gates.
func TestHold(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	drift, config := change(plan.CauseDrift), change(plan.CauseConfig)
	suspended := Decisions{Suspended: &status.Suspension{Who: "x"}}
	person := func(addresses ...string) *batch {
		b := &batch{}
		b.add(Trigger{Kind: Person, Addresses: addresses})
		return b
	}
	timer := &batch{}
	timer.add(Trigger{Kind: Timer})
	for name, c := range map[string]struct {
		change    *plan.Change
		batch     *batch
		decisions Decisions
		before    func(m *memory)
		reports   bool
		want      []string
	}{
		"nothing":                         {change: config, batch: timer},
		"suspended":                       {change: config, batch: timer, decisions: suspended, want: []string{"resume"}},
		"suspended, ordered":              {change: config, batch: person(), decisions: suspended},
		"suspended, another one ordered":  {change: config, batch: person("application.kubernetes.other"), decisions: suspended, want: []string{"resume"}},
		"failed":                          {change: config, batch: timer, before: func(m *memory) { m.failures.Fail(app, digestOf(config), "no", now) }, want: []string{"back-off"}},
		"failed, another change now":      {change: config, batch: timer, before: func(m *memory) { m.failures.Fail(app, "sha256:other", "no", now) }},
		"failed, ordered":                 {change: config, batch: person(app), before: func(m *memory) { m.failures.Fail(app, digestOf(config), "no", now) }},
		"failed long ago":                 {change: config, batch: timer, before: func(m *memory) { m.failures.Fail(app, digestOf(config), "no", now.Add(-time.Hour)) }},
		"drift":                           {change: drift, batch: timer},
		"drift is reported":               {change: drift, batch: timer, reports: true, want: []string{"report"}},
		"a change of what reports drift":  {change: config, batch: timer, reports: true},
		"drift three times":               {change: drift, batch: timer, before: mends(3, now)},
		"drift four times":                {change: drift, batch: timer, before: mends(4, now), want: []string{"back-off"}},
		"drift ten times":                 {change: drift, batch: timer, before: mends(10, now), want: []string{"stalled"}},
		"drift ten times, ordered":        {change: drift, batch: person(), before: mends(10, now)},
		"drift ten times, a change":       {change: config, batch: timer, before: mends(10, now)},
		"the same again after an apply":   {change: config, batch: timer, before: func(m *memory) { mends(4, now)(m); m.applied[app] = digestOf(config) }, want: []string{"back-off"}},
		"rejected":                        {change: config, batch: timer, decisions: Decisions{Rejections: []plan.Approval{{Address: app, Digest: digestOf(config)}}}, want: []string{"rejected"}},
		"rejected, another change by now": {change: config, batch: timer, decisions: Decisions{Rejections: []plan.Approval{{Address: app, Digest: "sha256:other"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(5*time.Second, 10*time.Minute)
			if c.before != nil {
				c.before(&m)
			}
			h := &holder{memory: &m, batch: c.batch, decisions: c.decisions, reports: func(string) bool { return c.reports }, now: now}
			if got := whats(h.hold(c.change)); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func mends(n int, now time.Time) func(m *memory) {
	return func(m *memory) {
		for range n {
			m.mended.Fail(app, "", "", now)
		}
	}
}

// Whether a later change asks for more than the one that is carried out.
func TestMoreThan(t *testing.T) {
	make := func(action plan.Action, items ...plan.Item) *plan.Change {
		return &plan.Change{Address: app, Action: action, Items: items}
	}
	item := func(key, path, after string) plan.Item {
		return plan.Item{Key: key, Action: plan.Update, Fields: []plan.Field{{Path: path, After: []byte(fmt.Sprintf("%q", after))}}}
	}
	running := make(plan.Update, item("web", "image", "a:2"), item("cm", "data.x", "1"))
	for name, c := range map[string]struct {
		before, now *plan.Change
		want        bool
	}{
		"the same":                     {running, running, false},
		"a part of it is done":         {running, make(plan.Update, item("cm", "data.x", "1")), false},
		"another value":                {running, make(plan.Update, item("web", "image", "a:3")), true},
		"another field":                {running, make(plan.Update, item("web", "replicas", "3")), true},
		"another object":               {running, make(plan.Update, item("other", "image", "a:2")), true},
		"a deletion":                   {running, make(plan.Update, plan.Item{Key: "cm", Action: plan.Delete}), true},
		"an unknown value":             {running, make(plan.Update, plan.Item{Key: "web", Action: plan.Update, Fields: []plan.Field{{Path: "image", Unknown: true, Prefix: "a:"}}}), true},
		"what was not planned":         {nil, running, true},
		"what had nothing to do":       {&plan.Change{Address: app, Action: plan.None}, running, true},
		"an update of what is created": {make(plan.Create, item("web", "image", "a:2")), make(plan.Update, item("web", "image", "a:2")), false},
		"a replacement":                {running, make(plan.Replace, item("web", "image", "a:2")), true},
		"arguments": {&plan.Change{Action: plan.Update, Arguments: []plan.Field{{Path: "x", After: []byte("1")}}},
			&plan.Change{Action: plan.Update, Arguments: []plan.Field{{Path: "x", After: []byte("2")}}}, true},
	} {
		if got := moreThan(c.before, c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The queue merges triggers, and loses none when a batch is put back.
func TestQueue(t *testing.T) {
	q := newQueue()
	q.add(Trigger{Kind: Watch, Addresses: []string{"source.git.a"}})
	q.add(Trigger{Kind: Watch, Addresses: []string{"source.git.a"}})
	q.add(Trigger{Kind: Person, Token: "one", Addresses: []string{app}, Reason: "sync by x"})
	<-q.ready
	b := q.take()
	if b.all || len(b.addresses) != 2 || len(b.triggers) != 2 || !slices.Equal(b.tokens, []string{"one"}) || !b.isOrdered(app) || b.isOrdered("source.git.a") {
		t.Errorf("%+v", b)
	}
	q.add(Trigger{Kind: Timer})
	q.putBack(b)
	<-q.ready
	if b = q.take(); !b.all || len(b.addresses) != 2 || len(b.tokens) != 1 || b.isOrdered("source.git.a") || b.dirty() != -1 {
		t.Errorf("%+v", b)
	}
	if b = q.take(); b.count != 0 {
		t.Errorf("%+v", b)
	}
}
