package look

import (
	"context"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
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

// Look observes the world and plans every instance of the stack. What it finds is in the planner's findings. A destroy is about records
// only: it has nothing to look at.
func (r *Planner) Look(ctx context.Context) {
	if r.Options.PlanMode() == plan.ModeDestroy {
		return
	}
	if len(r.Options.Targets) > 0 {
		r.wanted = r.Forms.Static(r.Input.Stack.Module).Reach(r.Options.Targets)
	}
	r.Tree.Walk(ctx, world.WalkOptions{Parallel: r.Input.Looks(), Wanted: r.wanted, Targets: r.Options.Wants, Report: r.Found.Report, Fail: r.FailExpansion, Always: isBuild},
		func(ctx context.Context, in *world.Instance) graph.Outcome {
			return r.PlanInstance(ctx, r.Found.About(in))
		})
	r.isExpanded = true
	if ctx.Err() != nil {
		r.Found.Report(diag.Plain("The run was stopped", "Nothing was changed."))
	}
	r.Found.Report(r.movedAndStill()...)
	if !r.Found.HasErrors() {
		r.Found.Report(r.absent()...)
	}
}

// PlanInstance observes or plans one instance. What it finds is in the finding.
func (r *Planner) PlanInstance(ctx context.Context, in *Finding) graph.Outcome {
	if r.Options.LeavesOut(in.Addr) && r.keepsResult(ctx, in) {
		return graph.Done
	}
	if r.Options.LeavesOut(in.Addr) || r.LeaveOut(in.Addr) {
		return graph.Skipped
	}
	if isBuild(in.Addr) && r.lacksValue(in) {
		if r.isBehindFailure(in) && r.keepsResult(ctx, in) {
			return graph.Done
		}
		return graph.Skipped
	}
	in.Change, in.Checks, in.Warnings, in.kept, in.misused = nil, nil, nil, nil, false
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
		if in.misused || !r.Fail(ctx, in, diags) {
			r.Found.Report(diags...)
			return graph.Failed
		}
		if r.keepsResult(ctx, in) || r.keepsRecord(in) {
			return graph.Done
		}
		return graph.Failed
	}
	in.Warnings = diags
	return graph.Done
}

func isBuild(a addr.Instance) bool { return a.Kind == kinds.Build }

// lacksValue tells whether something that an instance depends on has no value: it failed, or it was left out.
func (r *Planner) lacksValue(in *Finding) bool {
	return slices.ContainsFunc(in.Deps, func(d addr.Instance) bool {
		up := r.Finding(d)
		return up == nil || up.Seen == nil
	})
}

// isBehindFailure tells whether all that an instance lacks is missing because of instances that cannot be planned.
func (r *Planner) isBehindFailure(in *Finding) bool {
	failed := map[addr.Instance]bool{}
	for _, f := range r.Found.Failed() {
		failed[f.Place.Instance] = true
	}
	found := false
	r.Tree.Upstream(in.Instance, func(up *world.Instance) { found = found || failed[up.Addr] })
	return found
}

// Diagnostics returns the errors of a run and its warnings, these in the order of the configuration.
func (r *Planner) Diagnostics() hcl.Diagnostics {
	list := slices.Clone(r.Found.Diagnostics())
	r.InOrder(func(in *Finding) { list = append(list, in.Warnings...) })
	return append(list, r.Input.GateWarnings()...)
}

// InOrder calls fn for what is known of each instance, in the order of the configuration.
func (r *Planner) InOrder(fn func(*Finding)) {
	for _, in := range r.Ordered() {
		fn(in)
	}
}

// Ordered returns what is known of each instance, in the order of the configuration. After Look no instances are added: the list is made
// once.
func (r *Planner) Ordered() []*Finding {
	if r.ordered != nil {
		return r.ordered
	}
	var list []*Finding
	r.Tree.InOrder(r.Tree.Root, func(in *world.Instance) { list = append(list, r.Found.About(in)) })
	if r.isExpanded {
		r.ordered = list
	}
	return list
}
