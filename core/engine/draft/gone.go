package draft

import (
	"slices"
	"strings"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/world"
)

// partial tells whether a plan is about a part of the stack only.
func (d *drafter) partial() bool {
	return len(d.opts.Targets)+len(d.opts.Excludes)+len(d.found.LeftOut())+len(d.found.Failed()) > 0
}

// gone tells which recorded instances no block stands for any more.
func (d *drafter) gone() func(addr.Instance) bool {
	return func(i addr.Instance) bool {
		return d.opts.Wants(i) && !d.opts.LeavesOut(i) && d.planner.Finding(i) == nil && !d.unsure(i)
	}
}

// unsure tells whether the instances of a block may be others than those that were found: they are made of something that
// was left out.
func (d *drafter) unsure(i addr.Instance) bool {
	if d.input.Declared(i.Node) == nil {
		return false
	}
	if len(d.opts.Excludes)+len(d.found.LeftOut())+len(d.found.Failed()) == 0 {
		return false
	}
	needed := d.mayNeed(i)
	b := blockedInstance{address: i, needed: needed}
	if slices.ContainsFunc(d.found.Failed(), func(f look.Failure) bool { return b.needs(f.Place) }) {
		return true
	}
	for name := range d.found.LeftOut() {
		if out, err := addr.Parse(name); err == nil && needed[world.BlockName(out)] {
			return true
		}
	}
	return slices.ContainsFunc(d.opts.Excludes, func(p addr.Place) bool { return mayBeAmong(needed, p, i) })
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
func (d *drafter) destroyed() func(addr.Instance) bool {
	doomed, is := record.Destroyed(d.records.Snapshot(), d.recordedNeeds(), &d.opts)
	d.whyDestroyed = doomed
	return is
}
