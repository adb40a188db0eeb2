package draft

import (
	"context"
	"maps"
	"slices"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/plan"
)

// leaveOutRest leaves out the damaged ones that the plan has not come to: those without a block, and in a destroy all.
func (d *drafter) leaveOutRest(ctx context.Context, wanted func(addr.Instance) bool) {
	for _, name := range slices.Sorted(maps.Keys(d.planner.Moved.Damaged)) {
		i, err := addr.Parse(name)
		if err != nil || d.opts.LeavesOut(i) {
			continue
		}
		needed := slices.ContainsFunc(d.neededBy(ctx, name), func(address string) bool {
			up, err := addr.Parse(address)
			return err == nil && d.opts.PlanMode() == plan.ModeDestroy && wanted(up)
		})
		if needed || d.opts.Wants(i) {
			d.planner.LeaveOut(i)
		}
	}
}

// keptBack are the instances that must not be deleted, since something may need them whose record is damaged, or that cannot be planned.
func (d *drafter) keptBack(ctx context.Context) map[string]bool {
	kept, needs := map[string]bool{}, d.recordedNeeds()
	for name := range d.found.LeftOut() {
		reach(d.neededBy(ctx, name), needs, kept)
	}
	blocked := d.blocked()
	for _, f := range d.found.Failed() {
		reach(needs[f.Place.Instance.String()], needs, kept)
	}
	for _, b := range blocked {
		reach(needs[b.address.String()], needs, kept)
	}
	return kept
}

// reach adds addresses to a set, with everything that their records need.
func reach(list []string, needs map[string][]string, into map[string]bool) {
	for _, address := range list {
		if !into[address] {
			into[address] = true
			reach(needs[address], needs, into)
		}
	}
}

// neededBy are the managed instances that one whose record is damaged needs: as its history tells or, without one, its block.
func (d *drafter) neededBy(ctx context.Context, address string) []string {
	if d.input.History != nil {
		if list, err := d.input.History(ctx, address); err == nil && len(list) > 0 {
			return list[0].Record.DependsOn
		}
	}
	at, err := addr.Parse(address)
	if err != nil || d.input.Declared(at.Node) == nil {
		return nil
	}
	var list []string
	needed := d.mayNeed(at)
	for other := range d.records.Snapshot().Records {
		if i, err := addr.Parse(other); err == nil && needed[world.BlockName(i)] {
			list = append(list, other)
		}
	}
	return list
}

// mayNeed are the names of the blocks that an instance may need, as they are written: keys are not looked at.
func (d *drafter) mayNeed(i addr.Instance) map[string]bool {
	reached := d.forms.Static(d.input.Stack.Module).Reach([]addr.Place{{Instance: i}})
	delete(reached, world.BlockName(i))
	return reached
}
