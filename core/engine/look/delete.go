package look

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sync/errgroup"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/order"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// planDeletions plans the deletion of recorded instances. Those of observed kinds have nothing to delete.
func (r *Planner) planDeletions(ctx context.Context, gone func(addr.Instance) bool) {
	var list []*Finding
	kept := r.keptBack(ctx)
	for _, address := range slices.Sorted(maps.Keys(r.Records.Snapshot().Records)) {
		if kept[address] || !kinds.IsManaged(r.Records.Snapshot().Records[address].Kind) {
			continue
		}
		a, err := addr.Parse(address)
		if err != nil {
			r.Found.Report((&world.Instance{}).Errorf("the record cannot be read", "%s", err))
			continue
		}
		if gone(a) {
			list = append(list, &Finding{Instance: &world.Instance{Addr: a}})
		}
	}
	var wg errgroup.Group
	wg.SetLimit(r.Input.Looks())
	for _, in := range list {
		wg.Go(func() error {
			r.Found.Report(r.planDeletion(ctx, in)...)
			return nil
		})
	}
	_ = wg.Wait() // what failed is reported
	for _, in := range list {
		if in.Change != nil {
			r.Found.deleted = append(r.Found.deleted, in)
		}
	}
}

// NodeOfRecord makes the node of a record of which the block may be gone.
func (r *Planner) NodeOfRecord(in *Finding) hcl.Diagnostics {
	t := r.Input.Types.Find(in.Addr.Node)
	if t == nil {
		return hcl.Diagnostics{in.Errorf("its plugin is missing", "The state has a record of it, but no plugin provides %s %q. Add the plugin to required_plugins again, to delete it.", in.Addr.Kind, in.Addr.Type)}
	}
	if in.Node = r.Tree.Node(in.Addr.Node); in.Node == nil {
		in.Node = &world.Node{Form: &world.Form{Type: t}, Addr: in.Addr.Node}
	}
	return nil
}

func (r *Planner) planDeletion(ctx context.Context, in *Finding) hcl.Diagnostics {
	if diags := r.NodeOfRecord(in); diags.HasErrors() {
		return diags
	}
	if b := r.Input.Declared(in.Addr.Node); b != nil && b.Lifecycle.PreventDestroy {
		return hcl.Diagnostics{in.Errorf("it must not be destroyed", "The plan would delete it, but its lifecycle block has prevent_destroy.")}
	}
	rec := r.Records.Snapshot().Records[in.Addr.String()]
	if r.Input.Forgets(in.Addr) {
		in.Change = &plan.Change{
			Address: in.Addr.String(), Kind: rec.Kind, Type: rec.Type, Plugin: rec.Plugin, Action: plan.Forget,
			Reasons: []string{"a removed block says that it stays"}, Causes: []plan.Cause{plan.CauseRemoved},
		}
		return nil
	}
	prior, _, err := r.Prior(in)
	if err != nil {
		return hcl.Diagnostics{r.svc.Failure(in.Instance, "planning its deletion", err)}
	}
	res, _, diags := r.svc.Plan(ctx, in.Instance, &pluginv1.PlanRequest{Prior: prior, Destroy: true}, cty.NilVal)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.svc.Failure(in.Instance, "planning its deletion", err))
	}
	if c.Claims, c.Causes = nil, []plan.Cause{plan.CauseRemoved}; c.Action != plan.Forget { // the plugin says that nothing is deleted
		c.Action = plan.Delete
	}
	if len(c.Reasons) == 0 {
		c.Reasons = []string{r.whyDeleted(in.Addr)}
	}
	c.Before = types.PlanValue(rec.Outputs)
	in.Change = c
	r.svc.Emit(event.Event{Type: event.Planned, Address: c.Address, Action: string(c.Action), Message: strings.Join(c.Reasons, "; ")})
	return diags
}

func (r *Planner) whyDeleted(a addr.Instance) string {
	switch {
	case r.opts.PlanMode() == plan.ModeDestroy:
		return r.whyDestroyed[a.String()]
	case r.Input.Declared(a.Node) == nil:
		return "its block was removed from the stack"
	}
	return "its block no longer expands to this instance"
}

// deletions returns the planned deletions. What they depend on is what their records say.
func (r *Planner) deletions() []plan.Change {
	list := make([]plan.Change, len(r.Found.deleted))
	for i, in := range r.Found.deleted {
		list[i] = *in.Change
		list[i].DependsOn = r.Records.Snapshot().Records[in.Change.Address].DependsOn
	}
	return list
}

// steps returns the order of the work. A refresh has none.
func (r *Planner) steps(p *plan.Plan) []plan.Step {
	works := len(p.Leftovers) > 0 || slices.ContainsFunc(p.Changes, func(c plan.Change) bool { return c.Works() })
	if p.Mode == plan.ModeRefresh || !works {
		return nil
	}
	return order.Steps(p, r.recordedNeeds())
}
