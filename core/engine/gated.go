package engine

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Gated is a plan that has passed the gates of its stack.
type Gated struct {
	// Plan holds what may be applied now, and in Waiting what it leaves out.
	Plan *plan.Plan
	// Void are approvals of changes that are other ones now.
	Void []plan.Approval
	// Next is the first time at which something that waits may go by itself; zero: at no time that is known.
	Next time.Time
	// Looked is how many instances were looked at.
	Looked int
}

// PlanGated makes a plan as Plan does, and leaves out what waits at a gate of the stack. Of the request, the gates and the facts are filled
// in: the stack's own gates, and what state knows of the health of applications if no facts are given. There is no result without a plan.
func (w *Warm) PlanGated(ctx context.Context, c Changed, r gate.Request) (*Gated, hcl.Diagnostics) {
	whole, looked, diags := w.keepingImages(ctx, c, nil)
	if whole == nil {
		return nil, diags
	}
	r.Gates = w.engine.Stack.Gates
	if r.Facts.Healthy == nil {
		r.Facts = factsOf(w.snapshot)
	}
	d := gate.Decide(whole, r)
	out := &Gated{Plan: d.Leave(whole), Void: d.Void, Next: d.Next, Looked: looked}
	if len(d.Split) == 0 {
		return out, diags
	}
	parts, more, _ := w.keepingImages(ctx, Changed{}, d.Split)
	out.Looked += more
	if parts == nil {
		out.Plan.Waiting = notInParts(out.Plan.Waiting, d.Split)
		return out, diags
	}
	out.Plan = joinWaiting(gate.Decide(parts, r).Leave(parts), out.Plan.Waiting, d.Split)
	return out, diags
}

// keepingImages makes a plan in which some applications keep the images that they have.
func (w *Warm) keepingImages(ctx context.Context, c Changed, keep []string) (*plan.Plan, int, hcl.Diagnostics) {
	for address := range w.opts.KeepImages { // they are planned again, with their images or without
		if at, err := addr.Parse(address); err == nil {
			c.Instances = append(slices.Clip(c.Instances), at)
		}
	}
	w.opts.KeepImages = nil
	for _, address := range keep {
		if w.opts.KeepImages == nil {
			w.opts.KeepImages = map[string]bool{}
		}
		w.opts.KeepImages[address] = true
		if at, err := addr.Parse(address); err == nil {
			c.Instances = append(slices.Clip(c.Instances), at)
		}
	}
	if w.planner != nil {
		w.planner.Options.KeepImages = w.opts.KeepImages
	}
	return w.Plan(ctx, c)
}

// joinWaiting gives a plan in which some applications keep their images the changes that wait in the whole plan, with their images.
func joinWaiting(parts *plan.Plan, whole []plan.Waiting, split []string) *plan.Plan {
	var list []plan.Waiting
	for _, w := range whole {
		address := w.Change.Address
		isPart := func(p plan.Waiting) bool { return p.Change.Address == address }
		i := slices.IndexFunc(parts.Waiting, isPart)
		switch {
		case slices.Contains(split, address):
			w.Partly = slices.ContainsFunc(parts.Changes, func(c plan.Change) bool { return c.Address == address && c.Works() })
			if !w.Partly {
				w.Whole = wholly
			}
		case i < 0: // it waited for one of these, and goes now
			continue
		default:
			w = parts.Waiting[i]
		}
		list = append(list, w)
		parts.Waiting = slices.DeleteFunc(parts.Waiting, isPart)
	}
	parts.Waiting = append(list, parts.Waiting...)
	parts.Summary.Waiting = len(parts.Waiting)
	return parts
}

// wholly is why a change is not applied in parts.
const wholly = "the rest of the change cannot be applied without the image"

func notInParts(list []plan.Waiting, split []string) []plan.Waiting {
	for i := range list {
		if slices.Contains(split, list[i].Change.Address) {
			list[i].Whole = wholly
		}
	}
	return list
}

// Held returns what of a plan waits at a gate of the stack at the time of a request. The approvals and overrides of the plan count: it was
// made with them.
func Held(stack *config.Stack, s *state.Snapshot, p *plan.Plan, r gate.Request) []plan.Waiting {
	r.Gates, r.Facts = stack.Gates, factsOf(s)
	r.Approvals = slices.Concat(r.Approvals, p.Approvals)
	r.Overrides = slices.Concat(r.Overrides, p.Overrides)
	return gate.Decide(p, r).Waiting
}

// factsOf returns what state knows of the health of applications. An application that was healthy at the end of its last apply counts as
// healthy since then: nobody has looked at it meanwhile.
func factsOf(s *state.Snapshot) gate.Facts {
	facts := gate.Facts{Healthy: map[string]time.Time{}}
	for address, rec := range s.Records {
		if rec.Kind == kinds.Application && rec.Status == state.StatusOK && isHealthy(&rec) {
			facts.Healthy[address] = rec.Updated
		}
	}
	return facts
}

// isHealthy tells whether the last apply of an application ended healthy. One whose type tells no health counts as healthy.
func isHealthy(rec *state.Record) bool {
	outputs, err := types.Decode(rec.Outputs)
	if err != nil || outputs.IsNull() || !outputs.Type().IsObjectType() || !outputs.Type().HasAttribute("health") {
		return err == nil
	}
	health := types.Text(outputs.GetAttr("health"))
	return health == "" || health == "Current"
}

// PlanGated makes a plan as Engine.Plan does, and leaves out what waits at a gate, as Warm.PlanGated does.
func (e *Engine) PlanGated(ctx context.Context, snapshot *state.Snapshot, opts Options, r gate.Request) (*Gated, hcl.Diagnostics) {
	return NewWarm(e, opts).PlanGated(ctx, Changed{Snapshot: snapshot}, r)
}
