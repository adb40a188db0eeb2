package input

import (
	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Options says what a plan is to be about.
type Options struct {
	Mode plan.Mode // "": ModeApply
	// Targets limits the plan to these and what they depend on; Excludes leaves these out, with what depends on them. Of a
	// destroy it is the other way round.
	Targets, Excludes []addr.Place
	// Replace are instances that are to be made anew even if nothing about them changes.
	Replace []addr.Place
	// NoRefresh takes what state says of observed things and of what has not changed, without a look at the world.
	NoRefresh bool
	// Rollback brings one instance back to an earlier revision.
	Rollback *Rollback
	// Approves are the places of which a person approves the changes: they must exist. What that means is decided at the gates.
	Approves []addr.Place
	// KeepImages are applications whose arguments that name images stay as they were applied last: the images wait at a gate.
	KeepImages map[string]bool
	// Import are existing objects that instances take over, by address, besides those of import blocks.
	Import map[string]string
}

// Rollback says which instance is brought back to which revision.
type Rollback struct {
	Address  string
	Revision uint64
	Who      string
	Reason   string
}

// Holds tells whether a record is held as the rollback says already.
func (b *Rollback) Holds(rec *state.Record) bool {
	return rec.Hold != nil && rec.Hold.Revision == b.Revision && (b.Reason == "" || rec.Hold.Reason == b.Reason)
}

// PlanMode returns the mode of the plan; ModeApply when none is given.
func (o *Options) PlanMode() plan.Mode {
	if o.Mode == "" {
		return plan.ModeApply
	}
	return o.Mode
}

// Wants tells whether an instance is wanted for its own sake.
func (o *Options) Wants(i addr.Instance) bool { return len(o.Targets) == 0 || Matches(o.Targets, i) }

// LeavesOut tells whether an instance is left out.
func (o *Options) LeavesOut(i addr.Instance) bool { return Matches(o.Excludes, i) }

// Matches tells whether an instance is at one of the places.
func Matches(places []addr.Place, i addr.Instance) bool {
	for _, p := range places {
		if p.Matches(i) {
			return true
		}
	}
	return false
}

// PlaceNames returns places as a person writes them.
func PlaceNames(places []addr.Place) []string {
	var out []string
	for _, p := range places {
		out = append(out, p.String())
	}
	return out
}

// EachPlace calls fn for all that a person has named, and how. What is to be imported is the target as well, and one instance.
func (o *Options) EachPlace(fn func(said string, p addr.Place)) {
	for _, p := range o.Targets {
		if len(o.Import) > 0 {
			p.AllKeys = false
			fn(p.String(), p)
			continue
		}
		fn("-target="+p.String(), p)
	}
	for _, p := range o.Excludes {
		fn("-exclude="+p.String(), p)
	}
	for _, p := range o.Replace {
		fn("-replace="+p.String(), p)
	}
	for _, p := range o.Approves {
		fn("-approve="+p.String(), p)
	}
}
