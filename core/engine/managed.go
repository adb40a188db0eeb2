package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"golang.org/x/sync/errgroup"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// planManaged has a plugin read the real object, compare, and say what it would do. reviewed
// is the change of a saved plan, or one that had unknown values, that is planned again now.
func (r *Planner) One(ctx context.Context, in *Finding, reviewed *plan.Change) hcl.Diagnostics {
	diags := r.configure(ctx, in)
	if diags.HasErrors() {
		return diags
	}
	diags = append(diags, r.preconditions(in, "before it is planned")...)
	if d := r.notAlone(in); d != nil {
		diags = append(diags, d)
	}
	if diags.HasErrors() {
		return diags
	}
	if r.opts.mode() == plan.ModeRefresh {
		return append(diags, r.planRefresh(ctx, in)...)
	}
	if r.opts.NoRefresh && r.asRecorded(in) {
		return diags
	}
	prior, rec, err := r.prior(in)
	if err != nil {
		return append(diags, r.svc.failure(in.instance, "planning", err))
	}
	id, more := r.importID(in)
	diags = append(diags, more...)
	if rec == nil && id != "" && !diags.HasErrors() {
		prior, more = r.importRecord(ctx, in, id)
		diags = append(diags, more...)
	}
	if diags.HasErrors() {
		return diags
	}
	req := &pluginv1.PlanRequest{Prior: prior}
	if reviewed != nil {
		req.PlannedPrivate = reviewed.Private
	}
	res, outputs, more := r.svc.plan(ctx, in.instance, req, in.config)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.svc.failure(in.instance, "planning", err))
	}
	r.compare(c, in, rec)
	if rec == nil && id != "" {
		c.Import = id
		if c.Action == plan.None {
			c.Action = plan.Adopt
		}
	}
	if r.replaced(in, rec, reviewed, c) {
		outputs = in.node.typ.UnknownOutputs()
	}
	if c.After, err = in.node.typ.StoredOutputs.Value(outputs); err != nil {
		return append(diags, r.svc.failure(in.instance, "planning", err))
	}
	if rec == nil && c.Action == plan.None && c.After.IsKnown() {
		c.Action, c.AsIs, c.Reasons = plan.Adopt, true, []string{"it is there already, as it should be"}
	}
	plain := deep.Unmarked(in.config)
	known := deep.Known(plain)
	c.Deferred = !known && !c.After.IsKnown() && len(c.Items) == 0 && c.Action != plan.Build
	if !known {
		c.WaitsFor = r.waitsFor(in)
	}
	if c.Action != plan.None || c.Deferred {
		c.Arguments, c.Fingerprints = r.arguments(in, c.Address), r.input.Fingerprints.Arguments(in.config)
	}
	if in.node.block.Lifecycle.PreventDestroy && (c.Action == plan.Replace || c.Action == plan.Delete) {
		return append(diags, in.errorf("it must not be destroyed", "The plan would %s it, and its lifecycle block says prevent_destroy. Undo what makes it so, or remove prevent_destroy.", c.Action))
	}
	if rec != nil && c.Action != plan.None {
		c.Before = types.PlanValue(rec.Outputs)
	}
	r.explain(c, rec)
	return append(diags, r.planned(in, c, outputs)...)
}

// planned keeps a change and what others see of the instance.
func (r *Planner) planned(in *Finding, c *plan.Change, outputs cty.Value) hcl.Diagnostics {
	in.change = c
	in.seen = in.node.typ.See(in.config, outputs)
	diags := r.postconditions(in, "after it")
	r.svc.emit(event.Event{Type: event.Planned, Address: c.Address, Action: string(c.Action), Message: strings.Join(c.Reasons, "; ")})
	return diags
}

// compare adds what state knows of an instance to its change.
func (r *Planner) compare(c *plan.Change, in *Finding, rec *state.Record) {
	if rec == nil {
		return
	}
	if rec.Hold != nil {
		c.Hold = &plan.Hold{Revision: rec.Hold.Revision, Who: rec.Hold.Who, Reason: rec.Hold.Reason, Since: rec.Hold.Since}
	}
	if b := r.opts.Rollback; b != nil && b.Address == c.Address && !b.holds(rec) {
		c.Hold = &plan.Hold{Revision: b.Revision, Who: b.Who, Reason: b.Reason}
	}
	c.MovedFrom = r.moved.origin[c.Address]
	if changed := r.input.Fingerprints.Changed(in.config, in.ignored, rec); c.Action == plan.None && len(changed) > 0 {
		c.Action = plan.Update
		c.Reasons = append(c.Reasons, "sensitive "+strings.Join(changed, ", ")+" changed")
	}
}

// notEnded is the reason of what is done about an instance whose record is partial.
const notEnded = "an earlier operation on it did not end"

// explain gives a change a reason if its plugin gave none.
func (r *Planner) explain(c *plan.Change, rec *state.Record) {
	if len(c.Reasons) > 0 || c.Action == plan.None {
		return
	}
	switch {
	case c.Import != "":
		c.Reasons = []string{fmt.Sprintf("it is there already, as %q", c.Import)}
	case c.Deferred:
		c.Reasons = []string{"some of its arguments are known after apply only"}
	case rec == nil:
		c.Reasons = []string{"it is new"}
	case rec.Status == state.StatusPartial:
		c.Reasons = []string{notEnded}
	default:
		c.Reasons = []string{"it differs from its configuration"}
	}
}

func (r *Planner) newChange(in *Finding, res *pluginv1.PlanResult) (*plan.Change, error) {
	action, ok := types.Actions[res.GetAction()]
	if !ok {
		return nil, fmt.Errorf("plugin %q answered with the action %d, which there is not: this is a defect of the plugin", in.node.typ.Plugin, res.GetAction())
	}
	items, err := r.svc.Secrets.Items(res.GetItems())
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", in.node.typ.Plugin, err)
	}
	c := &plan.Change{
		Address: in.addr.String(), Kind: in.addr.Kind, Type: in.addr.Type, Plugin: in.node.typ.Plugin,
		Action: action, Reasons: r.svc.Secrets.MaskAll(res.GetReasons()), Items: items, Private: res.GetPrivate(),
		DependsOn: addresses(in.deps),
	}
	for _, i := range res.GetImages() {
		c.Images = append(c.Images, plan.ImageUse{Name: i.GetName(), Before: i.GetBefore(), After: i.GetAfter(), Unknown: i.GetUnknown()})
	}
	return c, nil
}

// waitsFor finds the managed instances that the unknown values come from: the nearest ones that change.
func (r *Planner) waitsFor(in *Finding) []string {
	found := map[string]bool{}
	seen := map[addr.Instance]bool{}
	var visit func(deps []addr.Instance)
	visit = func(deps []addr.Instance) {
		for _, d := range deps {
			up := r.finding(d)
			if up == nil || seen[d] || up.seen == nil {
				continue
			}
			seen[d] = true
			switch {
			case up.seen.Known():
			case up.change != nil:
				found[d.String()] = true
			default:
				visit(up.deps)
			}
		}
	}
	visit(in.deps)
	return slices.Sorted(maps.Keys(found))
}

// imageChanges tells for each image that changes in an application what is behind it.
func (r *Planner) imageChanges(p *plan.Plan) []plan.ImageChange {
	var list []plan.ImageChange
	for _, c := range p.Changes {
		for _, use := range c.Images {
			if use.Before == use.After && !use.Unknown {
				continue
			}
			ic := plan.ImageChange{Application: c.Address, Name: use.Name, Before: use.Before, After: use.After, Unknown: use.Unknown}
			a, err := addr.Parse(c.Address)
			if err == nil {
				r.addOrigin(&ic, r.finding(a))
			}
			list = append(list, ic)
		}
	}
	return list
}

// addOrigin finds the build that makes an image, and the commits that are new in its source.
func (r *Planner) addOrigin(ic *plan.ImageChange, application *Finding) {
	if application == nil {
		return
	}
	r.tree.upstream(application.instance, func(i *instance) {
		up := r.found.of(i)
		if up.addr.Kind != "build" || up.seen == nil || ic.Build != "" {
			return
		}
		name := types.Text(up.output("repository")) + ":" + types.Text(up.output("tag"))
		if name == ":" || !strings.HasPrefix(ic.After, name) || (len(ic.After) > len(name) && ic.After[len(name)] != '@') {
			return
		}
		ic.Build = up.addr.String()
		r.tree.upstream(i, func(i *instance) {
			source := r.found.of(i)
			if source.addr.Kind == "source" && ic.Source == "" && source.observation != nil {
				ic.Source = source.addr.String()
				ic.From, ic.To = revisionOf(source.observation.Before), revisionOf(&source.observation.Outputs)
				for _, i := range source.observation.Items {
					ic.Commits = append(ic.Commits, plan.Commit{ID: i.Name, Subject: i.Note})
				}
			}
		})
	})
}

func revisionOf(v *plan.Value) string {
	if v == nil {
		return ""
	}
	c, err := v.Cty()
	if err != nil || !c.Type().IsObjectType() || !c.Type().HasAttribute("revision") {
		return ""
	}
	return types.Text(c.GetAttr("revision"))
}

// planDeletions plans the deletion of recorded instances. Those of observed kinds have nothing to delete.
func (r *Planner) planDeletions(ctx context.Context, gone func(addr.Instance) bool) {
	var list []*Finding
	kept := r.keptBack(ctx)
	for _, address := range slices.Sorted(maps.Keys(r.records.Snapshot().Records)) {
		if kept[address] || !kinds.IsManaged(r.records.Snapshot().Records[address].Kind) {
			continue
		}
		a, err := addr.Parse(address)
		if err != nil {
			r.found.report((&instance{}).errorf("a record that cannot be read", "%s", err))
			continue
		}
		if gone(a) {
			list = append(list, &Finding{instance: &instance{addr: a}})
		}
	}
	var wg errgroup.Group
	wg.SetLimit(r.input.planParallel())
	for _, in := range list {
		wg.Go(func() error {
			r.found.report(r.planDeletion(ctx, in)...)
			return nil
		})
	}
	_ = wg.Wait() // what failed is reported
	for _, in := range list {
		if in.change != nil {
			r.found.deleted = append(r.found.deleted, in)
		}
	}
}

// recorded makes the node of a record of which the block may be gone.
func (r *Planner) recorded(in *Finding) hcl.Diagnostics {
	t := r.input.Types.Find(in.addr.Node)
	if t == nil {
		return hcl.Diagnostics{in.errorf("no plugin to delete it", "State has a record of it, and no plugin provides %s %q. Add the plugin to required_plugins again.", in.addr.Kind, in.addr.Type)}
	}
	if in.node = r.tree.node(in.addr.Node); in.node == nil {
		in.node = &node{form: &form{typ: t}, addr: in.addr.Node}
	}
	return nil
}

func (r *Planner) planDeletion(ctx context.Context, in *Finding) hcl.Diagnostics {
	if diags := r.recorded(in); diags.HasErrors() {
		return diags
	}
	if b := r.input.declared(in.addr.Node); b != nil && b.Lifecycle.PreventDestroy {
		return hcl.Diagnostics{in.errorf("it must not be destroyed", "The plan would delete it, and its lifecycle block says prevent_destroy.")}
	}
	rec := r.records.Snapshot().Records[in.addr.String()]
	if r.input.forgets(in.addr) {
		in.change = &plan.Change{
			Address: in.addr.String(), Kind: rec.Kind, Type: rec.Type, Plugin: rec.Plugin, Action: plan.Forget,
			Reasons: []string{"a removed block says that it is to stay"},
		}
		return nil
	}
	prior, _, err := r.prior(in)
	if err != nil {
		return hcl.Diagnostics{r.svc.failure(in.instance, "planning its deletion", err)}
	}
	res, _, diags := r.svc.plan(ctx, in.instance, &pluginv1.PlanRequest{Prior: prior, Destroy: true}, cty.NilVal)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.svc.failure(in.instance, "planning its deletion", err))
	}
	c.Action = plan.Delete
	if len(c.Reasons) == 0 {
		c.Reasons = []string{r.whyDeleted(in.addr)}
	}
	c.Before = types.PlanValue(rec.Outputs)
	in.change = c
	r.svc.emit(event.Event{Type: event.Planned, Address: c.Address, Action: string(c.Action), Message: strings.Join(c.Reasons, "; ")})
	return diags
}

func (r *Planner) whyDeleted(a addr.Instance) string {
	switch {
	case r.opts.mode() == plan.ModeDestroy:
		return r.whyDestroyed[a.String()]
	case r.input.declared(a.Node) == nil:
		return "its block is not in the stack any more"
	}
	return "its block does not expand to this instance any more"
}

// deletions orders the deletions: what depends on something goes before it, and so does the
// change of a dependant that stays.
func (r *Planner) deletions() []plan.Change {
	dependants := map[string][]string{}
	for address, rec := range r.records.Snapshot().Records {
		if kinds.IsManaged(rec.Kind) {
			for _, d := range rec.DependsOn {
				dependants[d] = append(dependants[d], address)
			}
		}
	}
	var list []plan.Change
	for _, in := range r.found.deleted {
		c := *in.change
		c.DependsOn = dependants[c.Address]
		slices.Sort(c.DependsOn)
		list = append(list, c)
	}
	return list
}
