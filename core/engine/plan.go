package engine

import (
	"context"
	"encoding/json"
	"fmt"
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
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Plan observes the world and says what an apply would do. On errors there is no plan, and
// all errors that could be found are returned. The plan is sealed by who keeps or shows its digest.
func (e *Engine) Plan(ctx context.Context, snapshot *state.Snapshot, opts Options) (*plan.Plan, hcl.Diagnostics) {
	r, diags := e.look(ctx, snapshot, opts)
	if diags.HasErrors() {
		return nil, diags
	}
	return r.finish()
}

// look does all of a plan but to write it down.
func (e *Engine) look(ctx context.Context, snapshot *state.Snapshot, opts Options) (*run, hcl.Diagnostics) {
	if opts.mode() != plan.ModeDestroy {
		if diags := e.check(); diags.HasErrors() {
			return nil, diags
		}
	}
	if diags := unreadable(snapshot); diags.HasErrors() {
		return nil, diags
	}
	r := newRun(e, recovered(snapshot), opts)
	if diags := append(r.checkOptions(), r.move()...); diags.HasErrors() {
		return nil, diags
	}
	if opts.mode() == plan.ModeDestroy {
		destroyed := r.destroyed()
		r.leaveOutRest(ctx, destroyed)
		r.planDeletions(ctx, destroyed)
		return r, nil
	}
	if len(opts.Targets) > 0 {
		r.wanted = e.static().reach(opts.Targets)
	}
	p := &planter{run: r, walk: graph.New[task](ctx, r.planParallel(), nil), do: r.planInstance}
	p.plant()
	p.walk.Wait()
	if ctx.Err() != nil {
		r.report(diag.Plain("The run was stopped", "Nothing was changed."))
	}
	r.report(r.movedAndStill()...)
	if !r.diags.HasErrors() {
		r.report(r.absent()...)
	}
	if !r.diags.HasErrors() {
		r.leaveOutRest(ctx, r.gone())
		if opts.mode() == plan.ModeApply {
			r.planDeletions(ctx, r.gone())
		}
		r.assert()
	}
	return r, nil
}

func (r *run) planInstance(ctx context.Context, in *instance) graph.Outcome {
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
			diags = r.planManaged(ctx, in, nil)
		}
	default:
		diags = r.observe(ctx, in, nil)
	}
	if kinds.IsManaged(in.addr.Kind) {
		in.config = cty.NilVal
	}
	if diags.HasErrors() {
		r.report(diags...)
		return graph.Failed
	}
	in.warnings = diags
	return graph.Done
}

// findings are the errors of a run and its warnings, these in the order of the configuration.
func (r *run) findings() hcl.Diagnostics {
	list := slices.Clone(r.diags)
	r.inOrder(r.root, func(in *instance) { list = append(list, in.warnings...) })
	return list
}

// gone tells which recorded instances no block stands for any more.
func (r *run) gone() func(addr.Instance) bool {
	return func(i addr.Instance) bool {
		return r.opts.targets(i) && !r.opts.excludes(i) && r.instance(i) == nil && !r.unsure(i)
	}
}

// unsure tells whether the instances of a block may be others than those that were found: they are made of something that
// was left out.
func (r *run) unsure(i addr.Instance) bool {
	if r.declared(i.Node) == nil {
		return false
	}
	if len(r.opts.Excludes)+len(r.leftOut) == 0 {
		return false
	}
	needed := r.mayNeed(i)
	for name := range r.leftOut {
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
func (r *run) destroyed() func(addr.Instance) bool {
	dependants, needed := map[string][]string{}, map[string][]string{}
	for address, rec := range r.snapshot.Records {
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
	for _, address := range slices.Sorted(maps.Keys(r.snapshot.Records)) {
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
func (r *run) finish() (*plan.Plan, hcl.Diagnostics) {
	p := r.assemble()
	diags := r.findings()
	if diags.HasErrors() {
		return nil, diags
	}
	return p, diags
}

// assemble makes the plan of what is known.
func (r *run) assemble() *plan.Plan {
	p := &plan.Plan{
		Format: plan.Format, Davit: r.Version, Created: time.Now().UTC().Truncate(time.Second), Mode: r.opts.mode(),
		State: stateRef(r.snapshot), Config: r.Stack.Digest, Files: r.Stack.Sums,
		Observations: []plan.Observation{}, Changes: []plan.Change{},
		Targets: texts(r.opts.Targets), Excludes: texts(r.opts.Excludes), Replace: texts(r.opts.Replace), Moves: r.moves,
		Damaged: slices.Sorted(maps.Keys(r.leftOut)),
	}
	plugins := map[string]bool{}
	r.inOrder(r.root, func(in *instance) {
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
		p.Plugins = append(p.Plugins, r.plugin(name))
	}
	if r.opts.mode() == plan.ModeApply && !r.diags.HasErrors() {
		if !r.partial() {
			p.Outputs = r.outputs()
		}
		p.Images = r.imageChanges(p)
	}
	p.Checks = append(p.Checks, r.checks...)
	p.Variables, p.Secrets = r.variables()
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

// inOrder calls fn for the instances of a module instance and of those that it calls, in the order of the configuration.
func (r *run) inOrder(s *eval.Scope, fn func(*instance)) {
	for _, n := range s.Module.Order {
		if node := r.node(n.In(s.Path)); node != nil {
			for _, in := range node.sorted() {
				fn(in)
			}
		}
	}
	for _, name := range s.Module.CallOrder {
		children := s.Children(name)
		slices.SortFunc(children, func(a, b *eval.Scope) int { return addr.CompareKeys(a.Each.Key, b.Each.Key) })
		for _, child := range children {
			r.inOrder(child, fn)
		}
	}
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
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.only != nil && n.ordered == nil {
		n.ordered = []*instance{n.only}
	}
	if len(n.ordered) < len(n.several) {
		n.ordered = slices.Collect(maps.Values(n.several))
		slices.SortFunc(n.ordered, func(a, b *instance) int { return addr.CompareKeys(a.addr.Key, b.addr.Key) })
	}
	return n.ordered
}

// outputs evaluates the stack's outputs. Their errors are reported.
func (r *run) outputs() []plan.Output {
	var list []plan.Output
	for _, name := range slices.Sorted(maps.Keys(r.Stack.Outputs)) {
		o := r.Stack.Outputs[name]
		out := plan.Output{Name: name, Sensitive: o.Sensitive, Before: r.snapshot.Outputs[name]}
		v, diags := r.root.Output(name)
		if diags.HasErrors() {
			r.report(diags...)
			continue
		}
		if deep.Marked(v) && !o.Sensitive {
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
