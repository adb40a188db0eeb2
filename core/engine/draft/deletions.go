package draft

import (
	"context"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/order"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// conclude plans what follows from the instances: the deletions, and the checks of the stack.
func (d *drafter) conclude(ctx context.Context) {
	if d.opts.PlanMode() == plan.ModeDestroy {
		destroyed := d.destroyed()
		d.leaveOutRest(ctx, destroyed)
		d.planDeletions(ctx, destroyed)
		return
	}
	if d.found.HasErrors() {
		return
	}
	d.leaveOutRest(ctx, d.gone())
	if d.opts.PlanMode() == plan.ModeApply {
		d.planDeletions(ctx, d.gone())
		d.lookAtOthers(ctx)
	}
	d.assert()
}

// planDeletions plans the deletion of recorded instances. Those of observed kinds have nothing to delete.
func (d *drafter) planDeletions(ctx context.Context, gone func(addr.Instance) bool) {
	var list []*look.Finding
	kept := d.keptBack(ctx)
	d.doomed = map[string]bool{}
	for _, address := range slices.Sorted(maps.Keys(d.records.Snapshot().Records)) {
		if !kinds.IsManaged(d.records.Snapshot().Records[address].Kind) {
			continue
		}
		a, err := addr.Parse(address)
		if err != nil {
			d.found.Report((&world.Instance{}).Errorf("the record cannot be read", "%s", err))
			continue
		}
		if !gone(a) {
			continue
		}
		if d.doomed[address] = true; !kept[address] {
			list = append(list, &look.Finding{Instance: &world.Instance{Addr: a}})
		}
	}
	var wg errgroup.Group
	wg.SetLimit(d.input.Looks())
	for _, in := range list {
		wg.Go(func() error {
			d.planner.PlanDeletion(ctx, in, d.whyDeleted(in.Addr))
			return nil
		})
	}
	_ = wg.Wait() // what failed is reported
	for _, in := range list {
		if in.Change != nil {
			d.deleted = append(d.deleted, in)
		}
	}
	d.keepNeeded(ctx)
}

// keepNeeded takes deletions back of what an instance needs that cannot be planned: it stays, and so does what it stands on.
func (d *drafter) keepNeeded(ctx context.Context) {
	if len(d.found.Failed()) == 0 {
		return
	}
	kept := d.keptBack(ctx)
	d.deleted = slices.DeleteFunc(d.deleted, func(in *look.Finding) bool { return kept[in.Addr.String()] })
}

// whyDeleted returns the reason of a deletion.
func (d *drafter) whyDeleted(a addr.Instance) string {
	switch {
	case d.opts.PlanMode() == plan.ModeDestroy:
		return d.whyDestroyed[a.String()]
	case d.input.Declared(a.Node) == nil:
		return "its block was removed from the stack"
	}
	return "its block no longer expands to this instance"
}

// deletions returns the planned deletions. What they depend on is what their records say.
func (d *drafter) deletions() []plan.Change {
	list := make([]plan.Change, len(d.deleted))
	for i, in := range d.deleted {
		list[i] = *in.Change
		list[i].DependsOn = d.records.Snapshot().Records[in.Change.Address].DependsOn
	}
	return list
}

// steps returns the order of the work. A refresh has none.
func (d *drafter) steps(p *plan.Plan) []plan.Step {
	works := len(p.Leftovers) > 0 || slices.ContainsFunc(p.Changes, func(c plan.Change) bool { return c.Works() })
	if p.Mode == plan.ModeRefresh || !works {
		return nil
	}
	return order.Steps(p, d.recordedNeeds())
}
