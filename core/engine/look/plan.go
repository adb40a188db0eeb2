package look

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/service"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// New returns a planner of a snapshot, with the operations that were cut off and the moves of the stack worked in.
func New(in *input.Input, f *world.Forms, svc *service.Services, snapshot *state.Snapshot, opts input.Options) (*Planner, hcl.Diagnostics) {
	if diags := record.Unreadable(snapshot); diags.HasErrors() {
		return nil, diags
	}
	s := record.Recovered(snapshot)
	r := NewPlanner(in, f, svc, record.NewLoaded(s), opts)
	diags := r.checkOptions()
	m, more := record.Move(in, s)
	diags = append(diags, more...)
	r.Moved, r.Records = m, record.NewLoaded(m.Snapshot)
	return r, diags
}

// Look observes the world and plans every instance. What it finds is in the planner's findings.
func (r *Planner) Look(ctx context.Context) {
	if r.opts.PlanMode() == plan.ModeDestroy {
		destroyed := r.destroyed()
		r.leaveOutRest(ctx, destroyed)
		r.planDeletions(ctx, destroyed)
		return
	}
	if len(r.opts.Targets) > 0 {
		r.wanted = r.Forms.Static(r.Input.Stack.Module).Reach(r.opts.Targets)
	}
	r.Tree.Walk(ctx, world.WalkOptions{Parallel: r.Input.Looks(), Wanted: r.wanted, Targets: r.opts.Wants, Report: r.Found.Report, Fail: r.FailExpansion},
		func(ctx context.Context, in *world.Instance) graph.Outcome {
			return r.PlanInstance(ctx, r.Found.About(in))
		})
	if ctx.Err() != nil {
		r.Found.Report(diag.Plain("The run was stopped", "Nothing was changed."))
	}
	r.Found.Report(r.movedAndStill()...)
	if !r.Found.HasErrors() {
		r.Found.Report(r.absent()...)
	}
	if !r.Found.HasErrors() {
		r.leaveOutRest(ctx, r.gone())
	}
	r.Conclude(ctx)
}

// Conclude plans what follows from the instances: the deletions, and the checks of the stack.
func (r *Planner) Conclude(ctx context.Context) {
	if r.Found.HasErrors() {
		return
	}
	if r.opts.PlanMode() == plan.ModeApply {
		r.planDeletions(ctx, r.gone())
		r.lookAtOthers(ctx)
	}
	r.assert()
}

// PlanInstance observes or plans one instance. What it finds is in the finding.
func (r *Planner) PlanInstance(ctx context.Context, in *Finding) graph.Outcome {
	if r.opts.LeavesOut(in.Addr) && r.keepsResult(ctx, in) {
		return graph.Done
	}
	if r.opts.LeavesOut(in.Addr) || r.leaveOut(in.Addr) {
		return graph.Skipped
	}
	in.checks, in.warnings, in.misused = nil, nil, false
	var diags hcl.Diagnostics
	switch {
	case r.LeftAlone(in):
		diags = r.AsInState(ctx, in)
	default:
		c, ok := contracts[in.Addr.Kind]
		if !ok {
			diags, in.misused = hcl.Diagnostics{unknownKind(in)}, true
			break
		}
		diags = c.plan(ctx, r, in)
	}
	if kinds.IsManaged(in.Addr.Kind) {
		in.Config = cty.NilVal
	}
	if diags.HasErrors() {
		if r.isolates(ctx) && !in.misused {
			r.fail(in, diags)
			if r.keepsResult(ctx, in) {
				return graph.Done
			}
		} else {
			r.Found.Report(diags...)
		}
		return graph.Failed
	}
	in.warnings = diags
	return graph.Done
}

// Findings are the errors of a run and its warnings, these in the order of the configuration.
func (r *Planner) Findings() hcl.Diagnostics {
	list := slices.Clone(r.Found.diags)
	r.InOrder(func(in *Finding) { list = append(list, in.warnings...) })
	return list
}

// gone tells which recorded instances no block stands for any more.
func (r *Planner) gone() func(addr.Instance) bool {
	return func(i addr.Instance) bool {
		return r.opts.Wants(i) && !r.opts.LeavesOut(i) && r.Finding(i) == nil && !r.unsure(i)
	}
}

// unsure tells whether the instances of a block may be others than those that were found: they are made of something that
// was left out.
func (r *Planner) unsure(i addr.Instance) bool {
	if r.Input.Declared(i.Node) == nil {
		return false
	}
	if len(r.opts.Excludes)+len(r.Found.leftOut)+len(r.Found.failed) == 0 {
		return false
	}
	needed := r.mayNeed(i)
	b := blockedInstance{address: i, needed: needed}
	if slices.ContainsFunc(r.Found.failed, func(f failure) bool { return b.needs(f.place) }) {
		return true
	}
	for name := range r.Found.leftOut {
		if out, err := addr.Parse(name); err == nil && needed[world.BlockName(out)] {
			return true
		}
	}
	return slices.ContainsFunc(r.opts.Excludes, func(p addr.Place) bool { return mayBeAmong(needed, p, i) })
}

// mayBeAmong tells whether the blocks that an instance may need are at a place.
func mayBeAmong(needed map[string]bool, p addr.Place, i addr.Instance) bool {
	if !p.IsModule() {
		return needed[world.BlockName(p.Instance)]
	}
	module := world.StaticModule(p.Module) + "."
	if strings.HasPrefix(world.BlockName(i), module) {
		return false // it is in another instance of the module, and none needs another
	}
	for name := range needed {
		if strings.HasPrefix(name, module) {
			return true
		}
	}
	return false
}

// destroyed tells which recorded instances a destroy is about, and notes why.
func (r *Planner) destroyed() func(addr.Instance) bool {
	doomed, is := record.Destroyed(r.Records.Snapshot(), r.recordedNeeds(), &r.opts)
	r.whyDestroyed = doomed
	return is
}

// Plan puts the plan together in the order of the configuration, so that the order of the walk does not show. The errors of instances that
// cannot be planned are returned with the plan of the others; there is no plan on other errors.
func (r *Planner) Plan() (*plan.Plan, hcl.Diagnostics) {
	p := r.Assemble()
	diags := r.Findings()
	failed := diags.HasErrors()
	diags = append(diags, r.Failures()...)
	if failed {
		return nil, diags
	}
	return p, diags
}

// Assemble makes the plan of what is known.
func (r *Planner) Assemble() *plan.Plan {
	p := &plan.Plan{
		Format: plan.Format, Davit: r.Input.Version, Created: time.Now().UTC().Truncate(time.Second), Mode: r.opts.PlanMode(),
		State: record.StateRef(r.Records.Snapshot()), Config: r.Input.Stack.Digest, Files: r.Input.Stack.Sums,
		Observations: []plan.Observation{}, Changes: []plan.Change{},
		Targets: input.PlaceNames(r.opts.Targets), Excludes: input.PlaceNames(r.opts.Excludes), Replace: input.PlaceNames(r.opts.Replace), Moves: r.Moved.List,
		Damaged: slices.Sorted(maps.Keys(r.Found.leftOut)), Failed: r.failures(),
	}
	plugins := map[string]bool{}
	r.InOrder(func(in *Finding) {
		switch {
		case in.Change != nil && in.Change.Action != plan.Delete:
			p.Changes = append(p.Changes, *in.Change)
		case in.Observation != nil:
			p.Observations = append(p.Observations, *in.Observation)
		default:
			return
		}
		p.Checks = append(p.Checks, in.checks...)
		plugins[in.Node.Type.Plugin] = true
	})
	deletions := r.deletions()
	p.Changes = append(p.Changes, deletions...)
	r.settleOwners(p)
	for _, d := range deletions {
		plugins[d.Plugin] = true
	}
	for _, name := range slices.Sorted(maps.Keys(plugins)) {
		p.Plugins = append(p.Plugins, r.Input.Plugin(name))
	}
	if r.opts.PlanMode() == plan.ModeApply && !r.Found.diags.HasErrors() {
		if !r.partial() {
			p.Outputs = r.Outputs()
		}
		p.Images = r.imageChanges(p)
	}
	p.Checks = append(p.Checks, r.Found.checks...)
	p.Variables, p.Secrets = r.Input.PlannedVariables()
	if r.opts.Rollback != nil {
		p.Rollback = r.opts.Rollback.Address
	}
	p.Leftovers = record.Leftovers(r.Records.Snapshot(), &r.opts, r.partial(), p.Changes)
	p.Steps = r.steps(p)
	p.Summary = plan.Summarise(p.Changes)
	p.Summary.Delete += len(p.Leftovers)
	if r.opts.PlanMode() == plan.ModeRefresh {
		for i := range p.Changes {
			if !p.Changes[i].AsIs {
				p.Summary.Drift++
			}
		}
	}
	for _, d := range diag.Fold(r.Findings()) {
		if d.Severity == hcl.DiagWarning {
			p.Warnings = append(p.Warnings, warning(d))
		}
	}
	return p
}

// InOrder calls fn for what is known of each instance, in the order of the configuration.
func (r *Planner) InOrder(fn func(*Finding)) {
	r.Tree.InOrder(r.Tree.Root, func(in *world.Instance) { fn(r.Found.About(in)) })
}

// Outputs evaluates the stack's outputs. Their errors are reported.
func (r *Planner) Outputs() []plan.Output {
	var list []plan.Output
	for _, name := range slices.Sorted(maps.Keys(r.Input.Stack.Outputs)) {
		o := r.Input.Stack.Outputs[name]
		out := plan.Output{Name: name, Sensitive: o.Sensitive, Before: r.Records.Snapshot().Outputs[name]}
		v, diags := r.Tree.Root.Output(name)
		if diags.HasErrors() {
			r.Found.Report(diags...)
			continue
		}
		if deep.Marked(v) && !o.Sensitive {
			r.Found.Report(diag.Errorf(o.Expr.Range(), "Sensitive output", "Output %q contains a sensitive value. Set sensitive = true, or remove the value.", name))
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
				r.Found.Report(diag.Errorf(o.Expr.Range(), "Output cannot be stored", "Output %q: %s", name, err))
				continue
			}
			out.Value = b
		}
		list = append(list, out)
	}
	return list
}
