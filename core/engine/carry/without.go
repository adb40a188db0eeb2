package carry

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/order"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// without are the builds that failed in this run, and the instances that go on without what they were to make: images, policies and
// applications behind them are planned again, and get the rest of what was reviewed. It may be used concurrently.
type without struct {
	mu     sync.Mutex
	failed map[string]bool        // builds, by address: others see an earlier result
	behind map[string][]string    // by address: the failed builds that an instance goes on without
	held   map[addr.Instance]bool // sources of failed builds: their commits are still to come
}

// builds returns the failed builds that an instance goes on without, sorted.
func (w *without) builds(address string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.behind[address]
}

// holds tells whether a source leads to a build that failed.
func (w *without) holds(source addr.Instance) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held[source]
}

// add notes a build that failed, and the sources that it was to be made of.
func (w *without) add(build string, kept bool, sources []addr.Instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed == nil {
		w.failed, w.behind, w.held = map[string]bool{}, map[string][]string{}, map[addr.Instance]bool{}
	}
	w.failed[build] = kept
	for _, s := range sources {
		w.held[s] = true
	}
}

// find notes which failed builds an instance goes on without. It returns false if it cannot: it needs a result that there is not.
func (w *without) find(in *look.Finding) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.failed) == 0 {
		return true
	}
	found, goesOn := map[string]bool{}, true
	for _, d := range in.Deps {
		if kept, failed := w.failed[d.String()]; failed {
			found[d.String()] = true
			goesOn = goesOn && (kept || in.Addr.Kind == kinds.Image)
		}
		for _, b := range w.behind[d.String()] {
			found[b] = true
		}
	}
	if len(found) > 0 {
		w.behind[in.Addr.String()] = slices.Sorted(maps.Keys(found))
	}
	return goesOn
}

// keeps tells whether an instance is a build that failed and has an earlier result.
func (w *without) keeps(address string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed[address]
}

// touches tells whether an instance is a build that failed, or goes on without one.
func (w *without) touches(address string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, failed := w.failed[address]
	return failed || len(w.behind[address]) > 0
}

// goesOn tells whether an instance can be worked on although builds that it depends on may have failed.
func (a *applying) goesOn(in *look.Finding) bool {
	return a.planner.LeftAlone(in) || a.without.find(in)
}

// failBuild lets the dependants of a build go on without it when it failed. It returns the outcome for them.
func (a *applying) failBuild(ctx context.Context, in *look.Finding, c *plan.Change, outcome graph.Outcome) graph.Outcome {
	if outcome != graph.Failed || in.Addr.Kind != kinds.Build || a.plan.Mode != plan.ModeApply || a.plan.Rollback != "" || a.soft.Err() != nil {
		return outcome
	}
	var sources []addr.Instance
	a.tree.Upstream(in.Instance, func(up *world.Instance) {
		if up.Addr.Kind == kinds.Source {
			sources = append(sources, up.Addr)
		}
	})
	a.without.add(c.Address, a.planner.FailBuild(ctx, in, c), sources)
	return graph.Done
}

// stopped ends an instance that needs the result of a build that failed and never had one.
func (a *applying) stopped(ctx context.Context, in *look.Finding, c *plan.Change) graph.Outcome {
	if c == nil || in.Addr.Kind != kinds.Build {
		return graph.Skipped
	}
	a.skipped(order.MakeID(c.Address))
	return a.failBuild(ctx, in, c, graph.Failed)
}

// waitsForFailed tells whether a deletion waits for a build that failed, or for something that went on without one and may still use what
// is to be deleted.
func (a *applying) waitsForFailed(t *task) bool {
	return t.remove && slices.ContainsFunc(t.waits, func(id string) bool {
		up := a.tasks[id]
		return up != nil && !up.remove && up.address != t.address && a.without.touches(up.address)
	})
}

// lacksTag tells whether a policy has nothing to choose without a build that failed.
func lacksTag(diags hcl.Diagnostics) bool {
	return slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return diag.InfoOf(d).Code == look.CodeWithoutBuild })
}

// withoutBuilt returns the reviewed arguments of a change and those of now without the ones that come from a build that failed. Where the
// change shows items, the items are compared instead; elsewhere such an argument may only stay what was applied last.
func (a *applying) withoutBuilt(in *look.Finding, c *plan.Change, now []plan.Field) (reviewed, rest []plan.Field) {
	built := map[string]bool{}
	isBuilt := func(f plan.Field) bool {
		name, _, _ := strings.Cut(f.Path, ".")
		name, _, _ = strings.Cut(name, "[")
		if _, known := built[name]; !known {
			built[name] = a.isBuilt(in, name)
		}
		return built[name]
	}
	if len(c.Items) > 0 {
		return slices.DeleteFunc(slices.Clone(c.Arguments), isBuilt), slices.DeleteFunc(slices.Clone(now), isBuilt)
	}
	return slices.DeleteFunc(slices.Clone(c.Arguments), func(f plan.Field) bool {
		return isBuilt(f) && !slices.ContainsFunc(now, func(n plan.Field) bool { return n.Path == f.Path })
	}), now
}

// isBuilt tells whether an argument of an instance comes from a build that failed.
func (a *applying) isBuilt(in *look.Finding, argument string) bool {
	body, ok := in.Node.Block.Body.(*hclsyntax.Body)
	if !ok {
		return true
	}
	needs, _ := in.Node.Scope.Needs(referencesOf(body, argument))
	deps, _ := a.tree.Dependencies(in.Node, needs, in.Each)
	return slices.ContainsFunc(deps, func(d addr.Instance) bool { return a.without.touches(d.String()) })
}

// referencesOf returns the references of an argument, which may be an attribute or nested blocks.
func referencesOf(body *hclsyntax.Body, argument string) []eval.Ref {
	var refs []eval.Ref
	if attr := body.Attributes[argument]; attr != nil {
		refs = eval.References(attr.Expr)
	}
	for _, b := range body.Blocks {
		if b.Type == argument || b.Type == "dynamic" && slices.Contains(b.Labels, argument) {
			_ = hclsyntax.VisitAll(b.Body, func(n hclsyntax.Node) hcl.Diagnostics {
				if attr, ok := n.(*hclsyntax.Attribute); ok {
					refs = append(refs, eval.References(attr.Expr)...)
				}
				return nil
			})
		}
	}
	return refs
}

// kept gives a build that the plan has left out its last result. Its arguments may depend on something that is not in the plan.
func (a *applying) kept(in *look.Finding, c *plan.Change) hcl.Diagnostics {
	outputs, err := in.Node.Type.StoredOutputs.Cty(c.After)
	if err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "reading the plan", err)}
	}
	config, diags := a.svc.Decode(in.Instance)
	if diags.HasErrors() {
		config = cty.NilVal
	}
	in.Seen = in.Node.Type.See(config, types.Fit(outputs, in.Node.Type.OutputType))
	return nil
}
