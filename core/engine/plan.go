package engine

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// newPlanOf returns a planner of a snapshot, with the operations that were cut off and the moves of the stack worked in.
func newPlanOf(in *Input, f *forms, svc *Services, snapshot *state.Snapshot, opts Options) (*Planner, hcl.Diagnostics) {
	if diags := unreadable(snapshot); diags.HasErrors() {
		return nil, diags
	}
	s := recovered(snapshot)
	r := newPlanner(in, f, svc, newLoaded(s), opts)
	diags := r.checkOptions()
	m, more := move(in, s)
	diags = append(diags, more...)
	r.moved, r.records = m, newLoaded(m.snapshot)
	return r, diags
}

// Look observes the world and plans every instance. What it finds is in the planner's findings.
func (r *Planner) Look(ctx context.Context) {
	if r.opts.mode() == plan.ModeDestroy {
		destroyed := r.destroyed()
		r.leaveOutRest(ctx, destroyed)
		r.planDeletions(ctx, destroyed)
		return
	}
	if len(r.opts.Targets) > 0 {
		r.wanted = r.forms.static(r.input.Stack.Module).reach(r.opts.Targets)
	}
	r.tree.walk(ctx, walkOptions{Parallel: r.input.planParallel(), Wanted: r.wanted, Targets: r.opts.targets, Report: r.found.report},
		func(ctx context.Context, in *instance) graph.Outcome { return r.planInstance(ctx, r.found.of(in)) })
	if ctx.Err() != nil {
		r.found.report(diag.Plain("The run was stopped", "Nothing was changed."))
	}
	r.found.report(r.movedAndStill()...)
	if !r.found.hasErrors() {
		r.found.report(r.absent()...)
	}
	if !r.found.hasErrors() {
		r.leaveOutRest(ctx, r.gone())
	}
	r.conclude(ctx)
}

// conclude plans what follows from the instances: the deletions, and the checks of the stack.
func (r *Planner) conclude(ctx context.Context) {
	if r.found.hasErrors() {
		return
	}
	if r.opts.mode() == plan.ModeApply {
		r.planDeletions(ctx, r.gone())
	}
	r.assert()
}

func (r *Planner) planInstance(ctx context.Context, in *Finding) graph.Outcome {
	if r.opts.excludes(in.addr) || r.leaveOut(in.addr) {
		return graph.Skipped
	}
	in.checks, in.warnings = nil, nil
	var diags hcl.Diagnostics
	switch {
	case r.leftAlone(in):
		diags = r.asInState(ctx, in)
	case kinds.IsManaged(in.addr.Kind):
		if diags = r.unrecoverable(in); !diags.HasErrors() {
			diags = r.One(ctx, in, nil)
		}
	default:
		diags = r.observe(ctx, in, nil)
	}
	if kinds.IsManaged(in.addr.Kind) {
		in.config = cty.NilVal
	}
	if diags.HasErrors() {
		r.found.report(diags...)
		return graph.Failed
	}
	in.warnings = diags
	return graph.Done
}

// findings are the errors of a run and its warnings, these in the order of the configuration.
func (r *Planner) findings() hcl.Diagnostics {
	list := slices.Clone(r.found.diags)
	r.inOrder(func(in *Finding) { list = append(list, in.warnings...) })
	return list
}

// gone tells which recorded instances no block stands for any more.
func (r *Planner) gone() func(addr.Instance) bool {
	return func(i addr.Instance) bool {
		return r.opts.targets(i) && !r.opts.excludes(i) && r.finding(i) == nil && !r.unsure(i)
	}
}

// unsure tells whether the instances of a block may be others than those that were found: they are made of something that
// was left out.
func (r *Planner) unsure(i addr.Instance) bool {
	if r.input.declared(i.Node) == nil {
		return false
	}
	if len(r.opts.Excludes)+len(r.found.leftOut) == 0 {
		return false
	}
	needed := r.mayNeed(i)
	for name := range r.found.leftOut {
		if out, err := addr.Parse(name); err == nil && needed[blockName(out)] {
			return true
		}
	}
	return slices.ContainsFunc(r.opts.Excludes, func(p addr.Place) bool { return mayBeAmong(needed, p, i) })
}

// mayBeAmong tells whether the blocks that an instance may need are at a place.
func mayBeAmong(needed map[string]bool, p addr.Place, i addr.Instance) bool {
	if !p.IsModule() {
		return needed[blockName(p.Instance)]
	}
	module := staticModule(p.Module) + "."
	if strings.HasPrefix(blockName(i), module) {
		return false // it is in another instance of the module, and none needs another
	}
	for name := range needed {
		if strings.HasPrefix(name, module) {
			return true
		}
	}
	return false
}

// destroyed tells which recorded instances a destroy is about: all, or the targets and what depends on them, without the excluded
// ones and what they depend on. It notes why.
func (r *Planner) destroyed() func(addr.Instance) bool {
	dependants, needed := map[string][]string{}, map[string][]string{}
	for address, rec := range r.records.Snapshot().Records {
		needed[address] = rec.DependsOn
		for _, d := range rec.DependsOn {
			dependants[d] = append(dependants[d], address)
		}
	}
	doomed, kept := map[string]string{}, map[string]string{}
	all := "everything is to be destroyed"
	if len(r.opts.Excludes) > 0 {
		all = "everything but what is left out is to be destroyed"
	}
	for _, address := range slices.Sorted(maps.Keys(r.records.Snapshot().Records)) {
		i, err := addr.Parse(address)
		switch {
		case err != nil:
		case r.opts.excludes(i):
			kept[address] = ""
		case len(r.opts.Targets) == 0:
			doomed[address] = all
		case r.opts.targets(i):
			doomed[address] = "-target asks for it"
		}
	}
	spread(doomed, dependants, func(from string) string { return "it depends on " + from + ", which is to be destroyed" })
	spread(kept, needed, func(string) string { return "" })
	r.whyDestroyed = doomed
	return func(i addr.Instance) bool {
		address := i.String()
		_, stays := kept[address]
		return doomed[address] != "" && !stays
	}
}

// spread adds what can be reached from those that are in a set, each with what is said of the one that it was reached from.
func spread(set map[string]string, next map[string][]string, say func(from string) string) {
	queue := slices.Sorted(maps.Keys(set))
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for _, to := range next[from] {
			if _, there := set[to]; !there {
				set[to] = say(from)
				queue = append(queue, to)
			}
		}
	}
}

// finish puts the plan together in the order of the configuration, so that the order of the walk does not show.
func (r *Planner) finish() (*plan.Plan, hcl.Diagnostics) {
	p := r.assemble()
	diags := r.findings()
	if diags.HasErrors() {
		return nil, diags
	}
	return p, diags
}

// assemble makes the plan of what is known.
func (r *Planner) assemble() *plan.Plan {
	p := &plan.Plan{
		Format: plan.Format, Davit: r.input.Version, Created: time.Now().UTC().Truncate(time.Second), Mode: r.opts.mode(),
		State: stateRef(r.records.Snapshot()), Config: r.input.Stack.Digest, Files: r.input.Stack.Sums,
		Observations: []plan.Observation{}, Changes: []plan.Change{},
		Targets: texts(r.opts.Targets), Excludes: texts(r.opts.Excludes), Replace: texts(r.opts.Replace), Moves: r.moved.list,
		Damaged: slices.Sorted(maps.Keys(r.found.leftOut)),
	}
	plugins := map[string]bool{}
	r.inOrder(func(in *Finding) {
		switch {
		case in.change != nil && in.change.Action != plan.Delete:
			p.Changes = append(p.Changes, *in.change)
		case in.observation != nil:
			p.Observations = append(p.Observations, *in.observation)
		default:
			return
		}
		p.Checks = append(p.Checks, in.checks...)
		plugins[in.node.typ.Plugin] = true
	})
	deletions := r.deletions()
	p.Changes = append(p.Changes, deletions...)
	for _, d := range deletions {
		plugins[d.Plugin] = true
	}
	for _, name := range slices.Sorted(maps.Keys(plugins)) {
		p.Plugins = append(p.Plugins, r.input.plugin(name))
	}
	if r.opts.mode() == plan.ModeApply && !r.found.diags.HasErrors() {
		if !r.partial() {
			p.Outputs = r.outputs()
		}
		p.Images = r.imageChanges(p)
	}
	p.Checks = append(p.Checks, r.found.checks...)
	p.Variables, p.Secrets = r.input.variables()
	if r.opts.Rollback != nil {
		p.Rollback = r.opts.Rollback.Address
	}
	p.Leftovers = r.leftovers(p.Changes)
	p.Summary = plan.Summarise(p.Changes)
	p.Summary.Delete += len(p.Leftovers)
	if r.opts.mode() == plan.ModeRefresh {
		for i := range p.Changes {
			if !p.Changes[i].AsIs {
				p.Summary.Drift++
			}
		}
	}
	for _, d := range diag.Fold(r.findings()) {
		if d.Severity == hcl.DiagWarning {
			p.Warnings = append(p.Warnings, warning(d))
		}
	}
	return p
}

// inOrder calls fn for what is known of each instance, in the order of the configuration.
func (r *Planner) inOrder(fn func(*Finding)) {
	r.tree.inOrder(r.tree.root, func(in *instance) { fn(r.found.of(in)) })
}

func warning(d *hcl.Diagnostic) plan.Diagnostic {
	w := plan.Diagnostic{Summary: d.Summary, Detail: d.Detail, Address: diag.InfoOf(d).Address}
	if d.Subject != nil {
		w.Where = config.Where(*d.Subject)
	}
	return w
}

// outputs evaluates the stack's outputs. Their errors are reported.
func (r *Planner) outputs() []plan.Output {
	var list []plan.Output
	for _, name := range slices.Sorted(maps.Keys(r.input.Stack.Outputs)) {
		o := r.input.Stack.Outputs[name]
		out := plan.Output{Name: name, Sensitive: o.Sensitive, Before: r.records.Snapshot().Outputs[name]}
		v, diags := r.tree.root.Output(name)
		if diags.HasErrors() {
			r.found.report(diags...)
			continue
		}
		if deep.Marked(v) && !o.Sensitive {
			r.found.report(diag.Errorf(o.Expr.Range(), "A sensitive output", "Output %q shows a sensitive value. Set sensitive = true, or leave the value out.", name))
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
				r.found.report(diag.Errorf(o.Expr.Range(), "An output that cannot be stored", "Output %q: %s", name, err))
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
