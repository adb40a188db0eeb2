package draft

import (
	"maps"
	"slices"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// recordedNeeds returns what the managed records depend on, by address. In a destroy, nothing is evaluated: a record of a block that is
// still declared depends as well on what the block refers to now, as far as its record has nothing of that block.
func (d *drafter) recordedNeeds() map[string][]string {
	records := d.records.Snapshot().Records
	needs := make(map[string][]string, len(records))
	for address, rec := range records {
		if kinds.IsManaged(rec.Kind) {
			needs[address] = rec.DependsOn
		}
	}
	if d.opts.PlanMode() != plan.ModeDestroy {
		return needs
	}
	static := d.forms.Static(d.input.Stack.Module)
	byBlock := map[string][]addr.Instance{}
	for address := range needs {
		if i, err := addr.Parse(address); err == nil {
			byBlock[world.BlockName(i)] = append(byBlock[world.BlockName(i)], i)
		}
	}
	for address, recorded := range maps.Clone(needs) {
		i, err := addr.Parse(address)
		if err != nil || d.input.Declared(i.Node) == nil {
			continue
		}
		known := map[string]bool{}
		for _, d := range recorded {
			if up, err := addr.Parse(d); err == nil {
				known[world.BlockName(up)] = true
			}
		}
		list := slices.Clone(recorded)
		for _, block := range static.ManagedNeeds(world.BlockName(i)) {
			if !known[block] {
				list = append(list, nearest(i, byBlock[block])...)
			}
		}
		needs[address] = list
	}
	return needs
}

// nearest returns the instances of a block that another instance means: the one with its key, else all.
func nearest(i addr.Instance, list []addr.Instance) []string {
	var all []string
	for _, other := range list {
		if other.Key == i.Key && other.Module == i.Module && !i.Key.IsNone() {
			return []string{other.String()}
		}
		all = append(all, other.String())
	}
	slices.Sort(all)
	return all
}
