package look

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
)

// checkOptions finds places that mean nothing in the stack and in state.
func (r *Planner) checkOptions() hcl.Diagnostics {
	var diags hcl.Diagnostics
	r.Options.EachPlace(func(said string, p addr.Place) {
		if !r.Input.Declares(p) && !record.HasPlace(r.Records.Snapshot(), p) {
			diags = append(diags, diag.Plain("Unknown address", fmt.Sprintf("%s: it is neither in the stack nor in the state.%s", said, r.Input.SuggestPlace(p))))
		}
	})
	return diags
}

// absent finds places with keys that neither the stack nor state has, once everything that is wanted is expanded.
func (r *Planner) absent() hcl.Diagnostics {
	var diags hcl.Diagnostics
	r.Options.EachPlace(func(said string, p addr.Place) {
		if why := r.lacks(p); why != "" && !record.HasPlace(r.Records.Snapshot(), p) {
			diags = append(diags, diag.Plain("Unknown address", said+": "+why))
		}
	})
	return diags
}

// lacks says which instance a place names that its block, or the call of a module, does not have. It returns "" if there is none, and
// if that cannot be told.
func (r *Planner) lacks(p addr.Place) string {
	steps, _ := p.Module.Steps()
	scope := r.Tree.Root
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
	if p.IsModule() || p.AllKeys || r.Tree.Node(p.Node) == nil {
		return ""
	}
	keys, expanded := r.Tree.Keys(p.Node)
	if slices.Contains(keys, p.Key) || (!expanded && p.Key.IsNone()) || (expanded && len(keys) == 0 && len(r.Options.Excludes)+len(r.Found.leftOut)+len(r.Found.failed) > 0) {
		return ""
	}
	return noInstance(p.Node.String(), p.Key, keys)
}

func noInstance(of string, key addr.Key, keys []addr.Key) string {
	if key.IsNone() {
		return of + " has several instances: name one of them."
	}
	return fmt.Sprintf("%s has no instance %s, and the state has no record of it.%s", of, key, world.NearestKey(key, keys))
}
