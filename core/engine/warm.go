package engine

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Warm is an engine that remembers what it has seen and planned: it plans again by looking only at what
// has changed and at what depends on a value that is another one now. It is not for concurrent use.
type Warm struct {
	engine   *Engine
	opts     Options
	snapshot *state.Snapshot // as it was given

	run        *run // nil: the next plan is a cold one
	dependants map[addr.Instance][]*instance
	expanding  map[addr.Instance]bool // instances that a for_each or count is made of
	users      map[string][]*node     // nodes by the variables that they use
}

// Changed says what is not as it was at the last plan.
type Changed struct {
	// Variables are the values of all variables; nil: unchanged.
	Variables map[string]cty.Value
	// Instances are to be looked at again: something happened to what they observe.
	Instances []addr.Instance
	// Snapshot is the state as it is now; nil: unchanged.
	Snapshot *state.Snapshot
}

// NewWarm returns an engine that has seen nothing yet.
func NewWarm(e *Engine, opts Options) *Warm {
	return &Warm{engine: e, opts: opts, snapshot: &state.Snapshot{}}
}

// Plan makes a plan as Engine.Plan does, and tells how many instances it looked at for it. The plan is not sealed
// yet: Apply and Save do that.
func (w *Warm) Plan(ctx context.Context, c Changed) (p *plan.Plan, looked int, diags hcl.Diagnostics) {
	before := w.snapshot
	if c.Snapshot != nil {
		w.snapshot = c.Snapshot
	}
	if w.run != nil && len(w.snapshot.Damaged) == 0 && len(w.run.snapshot.Damaged) == 0 {
		if p, looked, diags, ok := w.again(ctx, c, before); ok {
			return p, looked, diags
		}
	}
	if c.Variables != nil {
		w.engine.Variables = c.Variables
	}
	return w.cold(ctx)
}

// cold plans everything.
func (w *Warm) cold(ctx context.Context) (*plan.Plan, int, hcl.Diagnostics) {
	w.run, w.dependants, w.users = nil, nil, nil
	r, diags := w.engine.look(ctx, w.snapshot, w.opts)
	if diags.HasErrors() {
		return nil, 0, diags
	}
	p := r.assemble()
	if diags = r.findings(); diags.HasErrors() {
		return nil, 0, diags
	}
	w.run = r
	w.index()
	return p, len(p.Changes) + len(p.Observations), diags
}

// index notes who depends on whom.
func (w *Warm) index() {
	w.dependants, w.expanding, w.users = map[addr.Instance][]*instance{}, map[addr.Instance]bool{}, map[string][]*node{}
	for _, n := range w.run.nodes {
		for in := range n.all() {
			for _, d := range in.deps {
				w.dependants[d] = append(w.dependants[d], in)
			}
		}
		expansion, _ := w.run.dependencies(n, n.expansion, eval.Each{})
		for _, d := range expansion {
			w.expanding[d] = true
		}
		for _, v := range w.variables(n) {
			w.users[v] = append(w.users[v], n)
		}
	}
}

// variables are the variables that a block uses, for its instances as well.
func (w *Warm) variables(n *node) []string {
	list := n.scope.Variables(slices.Concat(n.own, n.dependsOn, n.triggers, n.form.expansion))
	for s := n.scope; s.Parent != nil; s = s.Parent {
		for _, x := range []hcl.Expression{s.Call.ForEach, s.Call.Count} {
			list = append(list, s.Parent.Variables(eval.References(x))...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// again plans what has changed. It gives up, with ok false, when the instances themselves may be others now.
func (w *Warm) again(ctx context.Context, c Changed, before *state.Snapshot) (p *plan.Plan, looked int, diags hcl.Diagnostics, ok bool) {
	r := w.run
	dirty := map[*instance]bool{}
	if c.Snapshot != nil && !w.adopt(c.Snapshot, before, dirty) {
		return nil, 0, nil, false
	}
	if c.Variables != nil && !w.setVariables(c.Variables, dirty) {
		return nil, 0, nil, false
	}
	r.root.Forget()
	for _, a := range c.Instances {
		if in := r.instance(a); in != nil {
			dirty[in] = true
		}
	}
	r.diags, r.checks, r.deleted = nil, nil, nil
	looked, ok = w.walk(ctx, dirty)
	if !ok || ctx.Err() != nil {
		w.run = nil
		return nil, 0, nil, false
	}
	if !r.diags.HasErrors() {
		if r.opts.mode() == plan.ModeApply {
			r.planDeletions(ctx, r.gone())
		}
		r.assert()
	}
	p = r.assemble()
	if diags = r.findings(); diags.HasErrors() {
		w.run = nil
		return nil, looked, diags, true
	}
	return p, looked, diags, true
}

// adopt takes another snapshot. What it has another record of is dirty.
func (w *Warm) adopt(now, before *state.Snapshot, dirty map[*instance]bool) bool {
	r := w.run
	if before == nil {
		before = &state.Snapshot{}
	}
	if len(r.moves) > 0 || len(now.Operations) > 0 || len(before.Operations) > 0 {
		return false
	}
	for address, rec := range now.Records {
		if old, there := before.Records[address]; !there || !old.Updated.Equal(rec.Updated) || (old.Hold == nil) != (rec.Hold == nil) {
			w.mark(address, dirty)
		}
	}
	for address := range before.Records {
		if _, there := now.Records[address]; !there {
			w.mark(address, dirty)
		}
	}
	r.snapshot = now
	return true
}

func (w *Warm) mark(address string, dirty map[*instance]bool) {
	if a, err := addr.Parse(address); err == nil {
		if in := w.run.instance(a); in != nil {
			dirty[in] = true
		}
	}
}

// setVariables takes other values of variables. What uses one that has changed is dirty.
func (w *Warm) setVariables(now map[string]cty.Value, dirty map[*instance]bool) bool {
	r := w.run
	before := w.engine.Variables
	w.engine.Variables = now
	for _, v := range now {
		r.secrets.AddFrom(v)
	}
	r.root.SetVariables(now)
	r.root.Forget()
	for name, v := range now {
		if old, there := before[name]; there && old.RawEquals(v) {
			continue
		}
		for _, n := range w.users[name] {
			if !w.sameInstances(n) {
				return false
			}
			for in := range n.all() {
				dirty[in] = true
			}
		}
	}
	return true
}

// sameInstances expands a block again. It tells whether its instances are the same and depend on the same ones, and keeps
// what each of them sees.
func (w *Warm) sameInstances(n *node) bool {
	if len(n.scope.Path) > 0 {
		for s := n.scope; s.Parent != nil; s = s.Parent {
			if s.Call.ForEach != nil || s.Call.Count != nil {
				return false // the module's instances may be others
			}
		}
	}
	list, diags := n.scope.Expand(n.addr.String(), n.block.ForEach, n.block.Count)
	if diags.HasErrors() || len(list) != n.count() {
		return false
	}
	for _, each := range list {
		in := n.at(each.Key)
		if in == nil {
			return false
		}
		in.each = each
		if deps, diags := w.run.instanceDependencies(n, each); diags.HasErrors() || !slices.Equal(deps, in.deps) {
			return false
		}
	}
	return true
}

// walk plans what is dirty, and then what depends on a value that has changed. It returns how many instances were
// looked at, and false when a for_each is made of a value that has changed.
func (w *Warm) walk(ctx context.Context, dirty map[*instance]bool) (int, bool) {
	r := w.run
	affected := map[*instance]bool{}
	var visit func(in *instance)
	visit = func(in *instance) {
		if !affected[in] {
			affected[in] = true
			for _, d := range w.dependants[in.addr] {
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
	needed := func(in *instance) bool {
		mu.Lock()
		defer mu.Unlock()
		return dirty[in] || slices.ContainsFunc(in.deps, func(d addr.Instance) bool { return changed[d] })
	}
	walk := graph.New[addr.Instance](ctx, r.planParallel(), nil)
	for in := range affected {
		deps := slices.DeleteFunc(slices.Clone(in.deps), func(d addr.Instance) bool {
			up := r.instance(d)
			return up == nil || !affected[up]
		})
		walk.Add(in.addr, deps, func(ctx context.Context) graph.Outcome {
			if !needed(in) {
				return graph.Done
			}
			looked.Add(1)
			was, change := in.seen, in.change
			outcome := r.planInstance(ctx, in)
			if outcome == graph.Done && !same(was, in.seen, change, in.change) {
				mu.Lock()
				changed[in.addr] = true
				mu.Unlock()
				other.CompareAndSwap(false, w.expanding[in.addr])
			}
			return outcome
		})
	}
	walk.Wait()
	return int(looked.Load()), !other.Load()
}

// same tells whether those who depend on an instance need not be planned again.
func same(was, now types.Seen, before, after *plan.Change) bool {
	if !was.Equal(now) {
		return false
	}
	return before == nil || after == nil || before.Action == after.Action
}
