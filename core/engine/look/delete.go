package look

import (
	"context"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

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

// PlanDeletion plans the deletion of a recorded instance. why is the reason, for when the plugin gives none. When it cannot be planned, the
// finding has no change, and the errors are kept with it, or reported where they are about the whole plan.
func (r *Planner) PlanDeletion(ctx context.Context, in *Finding, why string) {
	diags := r.planDeletion(ctx, in, why)
	if diags.HasErrors() && !in.misused && r.Fail(ctx, in, diags) {
		return
	}
	r.Found.Report(diags...)
}

func (r *Planner) planDeletion(ctx context.Context, in *Finding, why string) hcl.Diagnostics {
	if diags := r.NodeOfRecord(in); diags.HasErrors() {
		return diags
	}
	if b := r.Input.Declared(in.Addr.Node); b != nil && b.Lifecycle.PreventDestroy {
		in.misused = true
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
		return hcl.Diagnostics{r.Services.Failure(in.Instance, "planning its deletion", err)}
	}
	res, _, diags := r.Services.Plan(ctx, in.Instance, &pluginv1.PlanRequest{Prior: prior, Destroy: true}, cty.NilVal)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.Services.Failure(in.Instance, "planning its deletion", err))
	}
	if c.Claims, c.Causes = nil, []plan.Cause{plan.CauseRemoved}; c.Action != plan.Forget { // the plugin says that nothing is deleted
		c.Action = plan.Delete
	}
	if len(c.Reasons) == 0 {
		c.Reasons = []string{why}
	}
	c.Before = types.PlanValue(rec.Outputs)
	in.Change = c
	r.Services.Emit(event.Event{Type: event.Planned, Address: c.Address, Action: string(c.Action), Message: strings.Join(c.Reasons, "; ")})
	return diags
}
