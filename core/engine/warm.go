package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/draft"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Warm is an engine that remembers what it has seen and planned: it plans again by looking only at what
// has changed and at what depends on a value that is another one now. It is not for concurrent use.
type Warm struct {
	engine   *Engine
	opts     input.Options
	snapshot *state.Snapshot // as it was given

	planner *look.Planner // nil: the next plan is a cold one
	index   *world.Index  // of its tree
	looked  map[addr.Instance]bool
}

// Looked tells whether the last plan has looked at an instance.
func (w *Warm) Looked(a addr.Instance) bool { return w.looked == nil || w.looked[a] }

// Changed says what is not as it was at the last plan.
type Changed struct {
	// Variables are the values of all variables; nil: unchanged.
	Variables map[string]cty.Value
	// Instances are to be looked at again: something happened to what they observe.
	Instances []addr.Instance
	// All says that all instances are to be looked at again.
	All bool
	// Snapshot is the state as it is now; nil: unchanged.
	Snapshot *state.Snapshot
}

// NewWarm returns an engine that has seen nothing yet.
func NewWarm(e *Engine, opts input.Options) *Warm {
	return &Warm{engine: e, opts: opts, snapshot: &state.Snapshot{}}
}

// Plan makes a plan as Engine.Plan does, and tells how many instances it looked at for it. The plan is not sealed
// yet: Apply and Save do that.
func (w *Warm) Plan(ctx context.Context, c Changed) (p *plan.Plan, looked int, diags hcl.Diagnostics) {
	before := w.snapshot
	if c.Snapshot != nil {
		w.snapshot = c.Snapshot
	}
	if w.planner != nil && len(w.snapshot.Damaged) == 0 && len(w.planner.Records.Snapshot().Damaged) == 0 {
		if p, looked, diags, ok := w.again(ctx, c, before); ok {
			return p, looked, diags
		}
	}
	if c.Variables != nil {
		w.engine.Variables = c.Variables
	}
	return w.cold(ctx)
}

// Watched returns the instances of the last plan whose world can change without davit, as their plugins watch them. It is nil when there
// was no plan, or when the last one could not plan some instances: those that the caller has from an earlier plan are still worth watching.
func (w *Warm) Watched(ctx context.Context) []Watched {
	if w.planner == nil {
		return nil
	}
	return w.planner.Watched(ctx)
}

// cold plans everything.
func (w *Warm) cold(ctx context.Context) (*plan.Plan, int, hcl.Diagnostics) {
	w.planner, w.index, w.looked = nil, nil, nil
	r, diags := w.engine.look(ctx, w.snapshot, w.opts)
	if diags.HasErrors() {
		return nil, 0, diags
	}
	p, diags := draft.Plan(ctx, r)
	if p == nil {
		return nil, 0, diags
	}
	if len(p.Failed) == 0 { // else the next plan looks at everything again
		w.planner, w.index = r, world.NewIndex(r.Tree)
	}
	return p, len(p.Changes) + len(p.Observations), diags
}

// again plans what has changed. It gives up, with ok false, when the instances themselves may be others now.
func (w *Warm) again(ctx context.Context, c Changed, before *state.Snapshot) (p *plan.Plan, looked int, diags hcl.Diagnostics, ok bool) {
	r := w.planner
	r.Tree.Root.StopOn(ctx.Done())
	dirty := map[*world.Instance]bool{}
	if c.Snapshot != nil && !w.adopt(c.Snapshot, before, dirty) {
		return nil, 0, nil, false
	}
	if c.Variables != nil && !w.setVariables(c.Variables, dirty) {
		return nil, 0, nil, false
	}
	r.Tree.Root.Forget()
	for _, a := range c.Instances {
		if in := r.Tree.Instance(a); in != nil {
			dirty[in] = true
		}
	}
	if c.All {
		r.Tree.InOrder(r.Tree.Root, func(in *world.Instance) { dirty[in] = true })
	}
	r.Found.Reset()
	looked, ok = w.walk(ctx, dirty)
	if !ok || ctx.Err() != nil {
		w.planner = nil
		return nil, 0, nil, false
	}
	if p, diags = draft.Plan(ctx, r); p == nil {
		w.planner = nil
		return nil, looked, diags, true
	}
	if len(p.Failed) > 0 {
		w.planner = nil
		return nil, looked, nil, false
	}
	return p, looked, diags, true
}

// adopt takes another snapshot. What it has another record of is dirty.
func (w *Warm) adopt(now, before *state.Snapshot, dirty map[*world.Instance]bool) bool {
	r := w.planner
	if before == nil {
		before = &state.Snapshot{}
	}
	if len(r.Moved.List) > 0 || len(now.Operations) > 0 || len(before.Operations) > 0 {
		return false
	}
	for address, rec := range now.Records {
		old, there := before.Records[address]
		if !there || !old.Updated.Equal(rec.Updated) || (old.Hold == nil) != (rec.Hold == nil) {
			w.mark(address, dirty)
		}
		if old.Operation != rec.Operation {
			w.markTriggered(address, dirty)
		}
	}
	for address := range before.Records {
		if _, there := now.Records[address]; !there {
			w.mark(address, dirty)
		}
	}
	r.Records = record.NewLoaded(now)
	return true
}

// markTriggered marks the instances that may be replaced because an operation was carried out on another one.
func (w *Warm) markTriggered(address string, dirty map[*world.Instance]bool) {
	a, err := addr.Parse(address)
	if err != nil {
		return
	}
	for _, in := range w.index.Dependants[a] {
		if len(in.Node.Triggers) > 0 {
			dirty[in] = true
		}
	}
}

func (w *Warm) mark(address string, dirty map[*world.Instance]bool) {
	if a, err := addr.Parse(address); err == nil {
		if in := w.planner.Tree.Instance(a); in != nil {
			dirty[in] = true
		}
	}
}

// setVariables takes other values of variables. What uses one that has changed is dirty.
func (w *Warm) setVariables(now map[string]cty.Value, dirty map[*world.Instance]bool) bool {
	r := w.planner
	before := w.engine.Variables
	w.engine.Variables = now
	r.SetInput(w.engine.input())
	for name, v := range now {
		if old, there := before[name]; there && old.RawEquals(v) {
			continue
		}
		for _, n := range w.index.Users[name] {
			if !r.Tree.SameInstances(n) {
				return false
			}
			for in := range n.All() {
				dirty[in] = true
			}
		}
	}
	return true
}

// walk plans what is dirty, and then what depends on a value that has changed. It returns how many instances were
// looked at, and false when a for_each is made of a value that has changed.
func (w *Warm) walk(ctx context.Context, dirty map[*world.Instance]bool) (int, bool) {
	r := w.planner
	affected := map[*world.Instance]bool{}
	var visit func(in *world.Instance)
	visit = func(in *world.Instance) {
		if !affected[in] {
			affected[in] = true
			for _, d := range w.index.Dependants[in.Addr] {
				visit(d)
			}
		}
	}
	for in := range dirty {
		visit(in)
	}
	var looked atomic.Int64
	var other atomic.Bool
	var mu sync.Mutex
	changed := map[addr.Instance]bool{}
	w.looked = map[addr.Instance]bool{}
	needed := func(in *world.Instance) bool {
		mu.Lock()
		defer mu.Unlock()
		return dirty[in] || slices.ContainsFunc(in.Deps, func(d addr.Instance) bool { return changed[d] })
	}
	walk := graph.New[addr.Instance](ctx, r.Input.Looks(), nil)
	for in := range affected {
		deps := slices.DeleteFunc(slices.Clone(in.Deps), func(d addr.Instance) bool {
			up := r.Tree.Instance(d)
			return up == nil || !affected[up]
		})
		walk.Add(in.Addr, deps, func(ctx context.Context) graph.Outcome {
			if !needed(in) {
				return graph.Done
			}
			looked.Add(1)
			mu.Lock()
			w.looked[in.Addr] = true
			mu.Unlock()
			found := r.Found.About(in)
			was, change := in.Seen, found.Change
			outcome := r.PlanInstance(ctx, found)
			if outcome == graph.Done && !isSettled(was, in.Seen, change, found.Change) {
				mu.Lock()
				changed[in.Addr] = true
				mu.Unlock()
				other.CompareAndSwap(false, w.index.Expanding[in.Addr])
			}
			return outcome
		})
	}
	walk.Wait()
	return int(looked.Load()), !other.Load()
}

// isSettled tells whether those who depend on an instance need not be planned again.
func isSettled(was, now types.Seen, before, after *plan.Change) bool {
	if !was.Equal(now) {
		return false
	}
	return before == nil || after == nil || before.Action == after.Action
}
