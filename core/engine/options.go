package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
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

// holds tells whether a record is held as the rollback says already.
func (b *Rollback) holds(rec *state.Record) bool {
	return rec.Hold != nil && rec.Hold.Revision == b.Revision && (b.Reason == "" || rec.Hold.Reason == b.Reason)
}

func (o *Options) mode() plan.Mode {
	if o.Mode == "" {
		return plan.ModeApply
	}
	return o.Mode
}

// targets tells whether an instance is wanted for its own sake.
func (o *Options) targets(i addr.Instance) bool { return len(o.Targets) == 0 || matches(o.Targets, i) }

// excludes tells whether an instance is left out.
func (o *Options) excludes(i addr.Instance) bool { return matches(o.Excludes, i) }

// partial tells whether a plan is about a part of the stack only.
func (r *Planner) partial() bool {
	return len(r.opts.Targets)+len(r.opts.Excludes)+len(r.found.leftOut) > 0
}

func matches(places []addr.Place, i addr.Instance) bool {
	for _, p := range places {
		if p.Matches(i) {
			return true
		}
	}
	return false
}

func texts(places []addr.Place) []string {
	var out []string
	for _, p := range places {
		out = append(out, p.String())
	}
	return out
}

// checkOptions finds places that mean nothing in the stack and in state.
func (r *Planner) checkOptions() hcl.Diagnostics {
	var diags hcl.Diagnostics
	r.opts.places(func(said string, p addr.Place) {
		if !r.input.declares(p) && !r.hasRecord(p) {
			diags = append(diags, diag.Plain("Nothing of that name", fmt.Sprintf("%s: neither the stack nor state has it.%s", said, r.input.suggestPlace(p))))
		}
	})
	return diags
}

// places calls fn for all that a person has named, and how. What is to be imported is the target as well, and one instance.
func (o *Options) places(fn func(said string, p addr.Place)) {
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
}

// absent finds places with keys that neither the stack nor state has, once everything that is wanted is expanded.
func (r *Planner) absent() hcl.Diagnostics {
	var diags hcl.Diagnostics
	r.opts.places(func(said string, p addr.Place) {
		if why := r.lacks(p); why != "" && !r.hasRecord(p) {
			diags = append(diags, diag.Plain("Nothing of that name", said+": "+why))
		}
	})
	return diags
}

// lacks says which instance a place names that its block, or the call of a module, does not have. It returns "" if there is none, and
// if that cannot be told.
func (r *Planner) lacks(p addr.Place) string {
	steps, _ := p.Module.Steps()
	scope := r.tree.root
	for i, s := range steps {
		children := scope.Children(s.Name)
		if children == nil || (i == len(steps)-1 && p.IsModule() && s.Key.IsNone()) {
			return ""
		}
		next := slices.IndexFunc(children, func(c *eval.Scope) bool { return c.Each.Key == s.Key })
		if next < 0 {
			keys := make([]addr.Key, len(children))
			for i, c := range children {
				keys[i] = c.Each.Key
			}
			return noInstance(string(scope.Path.Child(s.Name, addr.Key{})), s.Key, keys)
		}
		scope = children[next]
	}
	if p.IsModule() || p.AllKeys || r.tree.node(p.Node) == nil {
		return ""
	}
	keys, expanded := r.tree.Keys(p.Node)
	if slices.Contains(keys, p.Key) || (!expanded && p.Key.IsNone()) || (expanded && len(keys) == 0 && len(r.opts.Excludes)+len(r.found.leftOut) > 0) {
		return ""
	}
	return noInstance(p.Node.String(), p.Key, keys)
}

func noInstance(of string, key addr.Key, keys []addr.Key) string {
	if key.IsNone() {
		return of + " has several instances: say which one is meant."
	}
	return fmt.Sprintf("%s has no instance %s, and neither has state.%s", of, key, nearestKey(key, keys))
}

// hasRecord tells whether state has something at a place.
func (r *Planner) hasRecord(p addr.Place) bool {
	for _, address := range slices.AppendSeq(slices.Clone(r.records.Snapshot().Damaged), maps.Keys(r.records.Snapshot().Records)) {
		if i, err := addr.Parse(address); err == nil && p.Matches(i) {
			return true
		}
	}
	return false
}
