package tell

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// newEvent is an event of this run without what happened.
func (t *telling) newEvent(name, summary string) *pluginv1.Event {
	e := &pluginv1.Event{
		Name: name, TimeUnixMs: time.Now().UnixMilli(), Stack: filepath.Base(t.input.Stack.Dir), Lineage: t.snapshot.Lineage, Who: t.who, Summary: summary,
	}
	if t.plan != nil {
		e.Plan = t.plan.Digest
	}
	return e
}

// planned is the event of an apply that begins; nil if nothing will change.
func (t *telling) planned() *pluginv1.Event {
	counts := map[plan.Action]int{}
	e := t.newEvent(kinds.EventPlanned, "")
	for i := range t.plan.Changes {
		c := &t.plan.Changes[i]
		if c.Action != plan.None {
			counts[c.Action]++
			e.Changes = append(e.Changes, t.change(c, "planned", ""))
		}
	}
	for i := range t.plan.Leftovers {
		counts[plan.Delete]++
		e.Changes = append(e.Changes, t.change(deletionOf(t.plan.Leftovers[i].Address), "planned", ""))
	}
	if len(e.GetChanges()) == 0 {
		return nil
	}
	var parts []string
	for _, a := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d to %s", counts[a], a))
	}
	e.Summary = strings.Join(parts, ", ")
	return e
}

// ended is the event of an apply that has ended; nil if nothing has happened.
func (t *telling) ended(r *event.Result, failed bool) *pluginv1.Event {
	name := kinds.EventApplied
	if failed || len(r.Failed) > 0 || len(r.NotStarted) > 0 && len(r.Cancelled) == 0 { // a newer change goes on with the latter
		name = kinds.EventFailed
	}
	if name == kinds.EventApplied && len(r.Done)+len(r.Unchanged) == 0 {
		return nil
	}
	changes := map[string]*plan.Change{}
	for i := range t.plan.Changes {
		changes[t.plan.Changes[i].Address] = &t.plan.Changes[i]
	}
	e := t.newEvent(name, fmt.Sprintf("%d done, %d failed, %d not started", len(r.Done), len(r.Failed), len(r.NotStarted)))
	for _, group := range []struct {
		outcome string
		list    []event.Outcome
	}{{"failed", r.Failed}, {"not_started", r.NotStarted}, {"done", r.Done}} {
		for _, o := range group.list {
			c := changes[o.Address]
			if o.Action == record.ActionDeleteOld || o.Action == record.ActionDeleteNew {
				c = deletionOf(o.Address)
			}
			if c != nil {
				e.Changes = append(e.Changes, t.change(c, group.outcome, o.Error))
			}
		}
	}
	return e
}

// deletionOf is a change that tells of a leftover.
func deletionOf(address string) *plan.Change {
	return &plan.Change{Address: address, Action: plan.Delete, Reasons: []string{"its replacement did not end"}}
}

func (t *telling) change(c *plan.Change, outcome, err string) *pluginv1.EventChange {
	out := &pluginv1.EventChange{Address: c.Address, Action: types.ProtoAction(c.Action), Outcome: outcome, Error: err, Reasons: c.Reasons}
	for _, i := range t.plan.Images {
		if i.Application == c.Address {
			out.Images = append(out.Images, &pluginv1.Image{Name: i.Name, Before: i.Before, After: i.After, Unknown: i.Unknown})
		}
	}
	return out
}
