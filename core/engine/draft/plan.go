package draft

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/service"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/plan"
)

// drafter makes one plan of what a planner has found.
type drafter struct {
	planner *look.Planner
	input   *input.Input
	forms   *world.Forms
	tree    *world.Tree
	found   *look.Findings
	svc     *service.Services
	records record.Records
	opts    input.Options

	doomed       map[string]bool   // recorded instances that the plan is to delete, by address: also those that are kept back
	deleted      []*look.Finding   // the recorded instances whose deletion is planned
	whyDestroyed map[string]string // by address: why a destroy deletes an instance
	checks       []plan.Check      // of the check blocks
	others       others            // what a partial plan leaves out
}

// Plan plans what follows from the instances that a planner has looked at, and puts the plan together in the order of the configuration,
// so that the order of the walk does not show. The errors of instances that cannot be planned are returned with the plan of the others;
// there is no plan on other errors.
func Plan(ctx context.Context, r *look.Planner) (*plan.Plan, hcl.Diagnostics) {
	d := &drafter{planner: r, input: r.Input, forms: r.Forms, tree: r.Tree, found: r.Found, svc: r.Services, records: r.Records, opts: r.Options}
	d.conclude(ctx)
	p := d.assemble(ctx)
	diags := r.Diagnostics()
	p.Warnings = warnings(diags)
	isBroken := diags.HasErrors()
	diags = append(diags, d.failedDiagnostics()...)
	if isBroken {
		return nil, diags
	}
	return p, diags
}

// collect puts what is known of the instances into a plan.
func (d *drafter) collect(p *plan.Plan) {
	n := len(d.deleted)
	for _, in := range d.planner.Ordered() {
		if in.Change != nil {
			n++
		}
	}
	p.Changes, p.Observations, p.Checks, p.Plugins = make([]plan.Change, 0, n), []plan.Observation{}, nil, nil
	plugins := map[string]bool{}
	d.planner.InOrder(func(in *look.Finding) {
		switch {
		case in.Change != nil && in.Change.Action != plan.Delete:
			p.Changes = append(p.Changes, *in.Change)
		case in.Observation != nil:
			p.Observations = append(p.Observations, *in.Observation)
		default:
			return
		}
		p.Checks = append(p.Checks, in.Checks...)
		plugins[in.Node.Type.Plugin] = true
	})
	deletions := d.deletions()
	p.Changes = append(p.Changes, deletions...)
	for _, deleted := range deletions {
		plugins[deleted.Plugin] = true
	}
	for _, name := range slices.Sorted(maps.Keys(plugins)) {
		p.Plugins = append(p.Plugins, d.input.Plugin(name))
	}
}

// assemble makes the plan of what is known.
func (d *drafter) assemble(ctx context.Context) *plan.Plan {
	p := &plan.Plan{
		Format: plan.Format, Davit: d.input.Version, Created: time.Now().UTC().Truncate(time.Second), Mode: d.opts.PlanMode(),
		State: record.StateRef(d.records.Snapshot()), Config: d.input.Stack.Digest, Files: d.input.Stack.Sums,
		Targets: input.PlaceNames(d.opts.Targets), Excludes: input.PlaceNames(d.opts.Excludes), Replace: input.PlaceNames(d.opts.Replace), Moves: d.planner.Moved.List,
		Damaged: slices.Sorted(maps.Keys(d.found.LeftOut())),
	}
	d.settleOwners(ctx, p)
	p.Failed = d.failures()
	if d.opts.PlanMode() == plan.ModeApply && !d.found.Diagnostics().HasErrors() {
		p.Outputs = d.outputs()
		p.Images = d.imageChanges(p)
	}
	if d.opts.PlanMode() == plan.ModeDestroy && !d.partial() {
		p.Outputs = goneOutputs(d.records.Snapshot())
	}
	p.Checks = append(p.Checks, d.checks...)
	p.Variables, p.Secrets = d.input.PlannedVariables()
	if d.opts.Rollback != nil {
		p.Rollback = d.opts.Rollback.Address
	}
	p.Leftovers = record.Leftovers(d.records.Snapshot(), &d.opts, d.partial(), p.Changes)
	p.Steps = d.steps(p)
	p.Summary = plan.Summarise(p.Changes)
	p.Summary.Delete += len(p.Leftovers)
	if d.opts.PlanMode() == plan.ModeRefresh {
		for i := range p.Changes {
			if !p.Changes[i].AsIs {
				p.Summary.Drift++
			}
		}
	}
	return p
}

// warnings returns the warnings of a list as a plan keeps them.
func warnings(diags hcl.Diagnostics) []plan.Diagnostic {
	var list []plan.Diagnostic
	for _, found := range diag.Fold(diags) {
		if found.Severity == hcl.DiagWarning {
			list = append(list, warning(found))
		}
	}
	return list
}

// warning returns a diagnostic as a plan keeps it.
func warning(d *hcl.Diagnostic) plan.Diagnostic {
	w := plan.Diagnostic{Summary: d.Summary, Detail: d.Detail, Address: diag.InfoOf(d).Address}
	if d.Subject != nil {
		w.Where = config.Where(*d.Subject)
	}
	return w
}
