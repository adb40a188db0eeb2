package look

import (
	"context"
	"maps"
	"slices"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/plan"
)

// leaveOut notes that a plan does without an instance, because its record is damaged. It tells whether that is so.
func (r *Planner) leaveOut(i addr.Instance) bool {
	name, is := r.Moved.Damaged[i.String()]
	if !is || r.opts.Import[i.String()] != "" {
		return false
	}
	r.Found.mu.Lock()
	defer r.Found.mu.Unlock()
	if r.Found.leftOut == nil {
		r.Found.leftOut = map[string]bool{}
	}
	r.Found.leftOut[name] = true
	return true
}

// leaveOutRest leaves out the damaged ones that the plan has not come to: those without a block, and in a destroy all.
func (r *Planner) leaveOutRest(ctx context.Context, wanted func(addr.Instance) bool) {
	for _, name := range slices.Sorted(maps.Keys(r.Moved.Damaged)) {
		i, err := addr.Parse(name)
		if err != nil || r.opts.LeavesOut(i) {
			continue
		}
		needed := slices.ContainsFunc(r.neededBy(ctx, name), func(address string) bool {
			up, err := addr.Parse(address)
			return err == nil && r.opts.PlanMode() == plan.ModeDestroy && wanted(up)
		})
		if needed || r.opts.Wants(i) {
			r.leaveOut(i)
		}
	}
}

// keptBack are the instances that must not be deleted, since something may need them whose record is damaged, or that cannot be planned.
func (r *Planner) keptBack(ctx context.Context) map[string]bool {
	kept := map[string]bool{}
	var visit func(list []string)
	visit = func(list []string) {
		for _, address := range list {
			if !kept[address] {
				kept[address] = true
				visit(r.Records.Snapshot().Records[address].DependsOn)
			}
		}
	}
	for name := range r.Found.leftOut {
		visit(r.neededBy(ctx, name))
	}
	for _, list := range r.dependenciesOfFailed() {
		visit(list)
	}
	return kept
}

// neededBy are the managed instances that one whose record is damaged needs: as its history tells or, without one, its block.
func (r *Planner) neededBy(ctx context.Context, address string) []string {
	if r.Input.History != nil {
		if list, err := r.Input.History(ctx, address); err == nil && len(list) > 0 {
			return list[0].Record.DependsOn
		}
	}
	at, err := addr.Parse(address)
	if err != nil || r.Input.Declared(at.Node) == nil {
		return nil
	}
	var list []string
	needed := r.mayNeed(at)
	for other := range r.Records.Snapshot().Records {
		if i, err := addr.Parse(other); err == nil && needed[world.BlockName(i)] {
			list = append(list, other)
		}
	}
	return list
}

// mayNeed are the names of the blocks that an instance may need, as they are written: keys are not looked at.
func (r *Planner) mayNeed(i addr.Instance) map[string]bool {
	reached := r.Forms.Static(r.Input.Stack.Module).Reach([]addr.Place{{Instance: i}})
	delete(reached, world.BlockName(i))
	return reached
}
