package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// task is what the walk of a plan works on: the expansion of a block, or one instance.
type task struct {
	addr.Instance
	prepare, expand bool
}

// Plan observes the world and says what an apply would do. On errors there is no plan, and
// all errors that could be found are returned.
func (e *Engine) Plan(ctx context.Context, snapshot *state.Snapshot, mode plan.Mode) (*plan.Plan, hcl.Diagnostics) {
	snapshot = recovered(snapshot)
	if mode == plan.ModeDestroy {
		r := newRun(e, snapshot)
		r.planDeletions(ctx, func(string) bool { return true })
		return r.finish(mode)
	}
	if diags := e.check(); diags.HasErrors() {
		return nil, diags
	}
	r := newRun(e, snapshot)
	w := graph.New[task](ctx, planParallel, nil)
	for _, n := range e.Stack.Order {
		r.addExpansion(w, r.nodes[n])
	}
	w.Wait()
	if ctx.Err() != nil {
		r.report(diag.Plain("The run was stopped", "Nothing was changed."))
	}
	if !r.diags.HasErrors() {
		r.planDeletions(ctx, func(a string) bool { return !r.has(a) })
	}
	return r.finish(mode)
}

// addExpansion adds the task that makes a block's instances. It waits for what for_each or
// count needs, and for the expansion of every block that is referred to: then each
// instance's own dependencies can be told exactly.
func (r *run) addExpansion(w *graph.Walk[task], n *node) {
	var deps []task
	seen := map[task]bool{}
	add := func(t task) {
		if !seen[t] {
			seen[t] = true
			deps = append(deps, t)
		}
	}
	for _, ref := range n.refs {
		add(task{Instance: addr.Instance{Node: ref.Node}, expand: true})
	}
	for _, ref := range n.expansion {
		add(task{Instance: addr.Instance{Node: ref.Node}, expand: true})
	}
	expansion := task{Instance: addr.Instance{Node: n.block.Addr}, expand: true}
	if len(n.expansion) == 0 {
		w.Add(expansion, deps, func(context.Context) graph.Outcome { return r.expand(w, n) })
		return
	}
	// Which instances for_each needs can be told when those blocks are expanded.
	w.Add(task{Instance: expansion.Instance, prepare: true}, deps, func(context.Context) graph.Outcome {
		instances, diags := r.dependencies(&node{block: n.block, typ: n.typ, refs: n.expansion}, eval.Each{})
		if diags.HasErrors() {
			r.report(diags...)
			return graph.Failed
		}
		w.Add(expansion, tasksOf(instances), func(context.Context) graph.Outcome { return r.expand(w, n) })
		return graph.Done
	})
}

func tasksOf(list []addr.Instance) []task {
	out := make([]task, len(list))
	for i, a := range list {
		out[i] = task{Instance: a}
	}
	return out
}

// expand makes the instances of a block and adds a task for each.
func (r *run) expand(w *graph.Walk[task], n *node) graph.Outcome {
	each, diags := r.scope.Expand(n.block)
	if diags.HasErrors() {
		for _, d := range diags {
			d.EvalContext = nil
		}
		r.report(diags...)
		return graph.Failed
	}
	outcome := graph.Done
	for _, e := range each {
		in := &instance{addr: addr.Instance{Node: n.block.Addr, Key: e.Key}, node: n, each: e}
		n.add(in)
	}
	for _, e := range each {
		in := r.instance(addr.Instance{Node: n.block.Addr, Key: e.Key})
		deps, more := r.dependencies(n, e)
		if more.HasErrors() {
			r.report(more...)
			outcome = graph.Failed
			continue
		}
		in.deps = deps
		w.Add(task{Instance: in.addr}, tasksOf(deps), func(ctx context.Context) graph.Outcome {
			return r.planInstance(ctx, in)
		})
	}
	return outcome
}

func (r *run) planInstance(ctx context.Context, in *instance) graph.Outcome {
	var diags hcl.Diagnostics
	if managed(in.addr.Kind) {
		diags = r.planManaged(ctx, in, nil)
	} else {
		diags = r.observe(ctx, in, nil)
	}
	r.report(diags...)
	if diags.HasErrors() {
		return graph.Failed
	}
	return graph.Done
}

func (r *run) has(address string) bool {
	a, err := addr.Parse(address)
	return err == nil && r.instance(a) != nil
}

// finish puts the plan together in the order of the configuration, so that the order of the walk does not show.
func (r *run) finish(mode plan.Mode) (*plan.Plan, hcl.Diagnostics) {
	p := &plan.Plan{
		Format: plan.Format, Davit: r.Version, Created: time.Now().UTC().Truncate(time.Second), Mode: mode,
		State: plan.StateRef{Lineage: r.snapshot.Lineage, Serial: r.snapshot.Serial}, Config: r.Stack.Digest,
		Observations: []plan.Observation{}, Changes: []plan.Change{}, Variables: map[string]json.RawMessage{},
	}
	plugins := map[string]bool{}
	for _, n := range r.Stack.Order {
		for _, in := range r.nodes[n].sorted() {
			switch {
			case in.change != nil && in.node.block != nil && in.change.Action != plan.Delete:
				p.Changes = append(p.Changes, *in.change)
			case in.observation != nil:
				p.Observations = append(p.Observations, *in.observation)
			default:
				continue
			}
			plugins[in.node.typ.plugin] = true
		}
	}
	deletions := r.deletions()
	p.Changes = append(p.Changes, deletions...)
	for _, d := range deletions {
		plugins[d.Plugin] = true
	}
	for _, name := range slices.Sorted(maps.Keys(plugins)) {
		p.Plugins = append(p.Plugins, plan.Plugin{Name: name, Version: r.Version})
	}
	if mode == plan.ModeApply && !r.diags.HasErrors() {
		p.Outputs = r.outputs()
		p.Images = r.imageChanges(p)
	}
	r.addVariables(p)
	p.Summary = plan.Summarise(p.Changes)
	for _, d := range r.diags {
		if d.Severity == hcl.DiagWarning {
			p.Warnings = append(p.Warnings, warning(d))
		}
	}
	if r.diags.HasErrors() {
		return nil, r.diags
	}
	if err := p.Seal(); err != nil {
		return nil, append(r.diags, diag.Plain("The plan cannot be written down", err.Error()))
	}
	return p, r.diags
}

func warning(d *hcl.Diagnostic) plan.Diagnostic {
	w := plan.Diagnostic{Summary: d.Summary, Detail: d.Detail, Address: diag.InfoOf(d).Address}
	if d.Subject != nil {
		w.Where = config.Where(*d.Subject)
	}
	return w
}

// sorted returns the instances in the order of their keys.
func (n *node) sorted() []*instance {
	n.mu.RLock()
	defer n.mu.RUnlock()
	list := slices.Collect(maps.Values(n.instances))
	slices.SortFunc(list, func(a, b *instance) int { return addr.Compare(a.addr, b.addr) })
	return list
}

func (r *run) addVariables(p *plan.Plan) {
	for name, v := range r.Variables {
		if v.ContainsMarked() || !v.IsWhollyKnown() {
			continue
		}
		if b, err := ctyjson.Marshal(v, v.Type()); err == nil {
			p.Variables[name] = b
		}
	}
}

// outputs evaluates the stack's outputs. Their errors are reported.
func (r *run) outputs() []plan.Output {
	var list []plan.Output
	for _, name := range slices.Sorted(maps.Keys(r.Stack.Outputs)) {
		o := r.Stack.Outputs[name]
		out := plan.Output{Name: name, Sensitive: o.Sensitive, Before: r.snapshot.Outputs[name]}
		ctx, diags := r.scope.Context(eval.References(o.Expr), eval.Each{})
		v := cty.DynamicVal
		if !diags.HasErrors() {
			var more hcl.Diagnostics
			v, more = o.Expr.Value(ctx)
			for _, d := range more {
				d.EvalContext = nil
			}
			diags = append(diags, more...)
		}
		if diags.HasErrors() {
			r.report(diags...)
			continue
		}
		if v.ContainsMarked() && !o.Sensitive {
			r.report(diag.Errorf(o.Expr.Range(), "A sensitive output", "Output %q shows a sensitive value. Set sensitive = true, or leave the value out.", name))
			continue
		}
		plain, _ := v.UnmarkDeep()
		switch {
		case o.Sensitive:
		case !plain.IsWhollyKnown():
			out.Unknown = true
		default:
			b, err := ctyjson.Marshal(plain, plain.Type())
			if err != nil {
				r.report(diag.Errorf(o.Expr.Range(), "An output that cannot be stored", "Output %q: %s", name, err))
				continue
			}
			out.Value = b
		}
		list = append(list, out)
	}
	return list
}

func outputsOf(list []plan.Output) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, o := range list {
		if !o.Sensitive && !o.Unknown {
			out[o.Name] = o.Value
		}
	}
	return out
}

// errorf is a diagnostic of an instance's block.
func (in *instance) errorf(summary, format string, args ...any) *hcl.Diagnostic {
	d := diag.Plain(in.addr.String()+": "+summary, fmt.Sprintf(format, args...))
	if in.node != nil && in.node.block != nil {
		d.Subject = in.node.block.Range.Ptr()
	}
	d.Extra = diag.Info{Address: in.addr.String()}
	return d
}
