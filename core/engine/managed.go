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
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// planManaged has a plugin read the real object, compare, and say what it would do. reviewed
// is the change of a saved plan, or one that had unknown values, that is planned again now.
func (r *run) planManaged(ctx context.Context, in *instance, reviewed *plan.Change) hcl.Diagnostics {
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
		return append(diags, r.failure(in, "planning", err))
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
	res, outputs, more := r.call(ctx, in, req, in.config)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.failure(in, "planning", err))
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
		return append(diags, r.failure(in, "planning", err))
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
		c.Arguments, c.Fingerprints = r.arguments(in, c.Address), secret.Fingerprints(r.Fingerprint).Arguments(in.config)
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
func (r *run) planned(in *instance, c *plan.Change, outputs cty.Value) hcl.Diagnostics {
	in.change = c
	in.seen = in.node.typ.See(in.config, outputs)
	diags := r.postconditions(in, "after it")
	r.emit(event.Event{Type: event.Planned, Address: c.Address, Action: string(c.Action), Message: strings.Join(c.Reasons, "; ")})
	return diags
}

// compare adds what state knows of an instance to its change.
func (r *run) compare(c *plan.Change, in *instance, rec *state.Record) {
	if rec == nil {
		return
	}
	if rec.Hold != nil {
		c.Hold = &plan.Hold{Revision: rec.Hold.Revision, Who: rec.Hold.Who, Reason: rec.Hold.Reason, Since: rec.Hold.Since}
	}
	if b := r.opts.Rollback; b != nil && b.Address == c.Address && !b.holds(rec) {
		c.Hold = &plan.Hold{Revision: b.Revision, Who: b.Who, Reason: b.Reason}
	}
	c.MovedFrom = r.movedFrom[c.Address]
	if changed := secret.Fingerprints(r.Fingerprint).Changed(in.config, in.ignored, rec); c.Action == plan.None && len(changed) > 0 {
		c.Action = plan.Update
		c.Reasons = append(c.Reasons, "sensitive "+strings.Join(changed, ", ")+" changed")
	}
}

// notEnded is the reason of what is done about an instance whose record is partial.
const notEnded = "an earlier operation on it did not end"

// explain gives a change a reason if its plugin gave none.
func (r *run) explain(c *plan.Change, rec *state.Record) {
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

func (r *run) newChange(in *instance, res *pluginv1.PlanResult) (*plan.Change, error) {
	action, ok := types.Actions[res.GetAction()]
	if !ok {
		return nil, fmt.Errorf("plugin %q answered with the action %d, which there is not: this is a defect of the plugin", in.node.typ.Plugin, res.GetAction())
	}
	items, err := r.secrets.Items(res.GetItems())
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", in.node.typ.Plugin, err)
	}
	c := &plan.Change{
		Address: in.addr.String(), Kind: in.addr.Kind, Type: in.addr.Type, Plugin: in.node.typ.Plugin,
		Action: action, Reasons: r.secrets.MaskAll(res.GetReasons()), Items: items, Private: res.GetPrivate(),
		DependsOn: addresses(in.deps),
	}
	for _, i := range res.GetImages() {
		c.Images = append(c.Images, plan.ImageUse{Name: i.GetName(), Before: i.GetBefore(), After: i.GetAfter(), Unknown: i.GetUnknown()})
	}
	return c, nil
}

// waitsFor finds the managed instances that the unknown values come from: the nearest ones that change.
func (r *run) waitsFor(in *instance) []string {
	found := map[string]bool{}
	seen := map[addr.Instance]bool{}
	var visit func(deps []addr.Instance)
	visit = func(deps []addr.Instance) {
		for _, d := range deps {
			up := r.instance(d)
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

// upstream calls visit for every instance that in depends on, directly or not, once.
func (r *run) upstream(in *instance, visit func(*instance)) {
	seen := map[addr.Instance]bool{}
	var walk func(*instance)
	walk = func(in *instance) {
		for _, d := range in.deps {
			up := r.instance(d)
			if up == nil || seen[d] {
				continue
			}
			seen[d] = true
			visit(up)
			walk(up)
		}
	}
	walk(in)
}

// managedUpstream are the nearest managed instances that in needs, for the order in which deletions go.
func (r *run) managedUpstream(in *instance) []string {
	found := map[string]bool{}
	seen := map[addr.Instance]bool{}
	var walk func(*instance)
	walk = func(in *instance) {
		for _, d := range in.deps {
			switch up := r.instance(d); {
			case kinds.IsManaged(d.Kind):
				found[d.String()] = true
			case up != nil && !seen[d]:
				seen[d] = true
				walk(up)
			}
		}
	}
	walk(in)
	return slices.Sorted(maps.Keys(found))
}

// imageChanges tells for each image that changes in an application what is behind it.
func (r *run) imageChanges(p *plan.Plan) []plan.ImageChange {
	var list []plan.ImageChange
	for _, c := range p.Changes {
		for _, use := range c.Images {
			if use.Before == use.After && !use.Unknown {
				continue
			}
			ic := plan.ImageChange{Application: c.Address, Name: use.Name, Before: use.Before, After: use.After, Unknown: use.Unknown}
			a, err := addr.Parse(c.Address)
			if err == nil {
				r.addOrigin(&ic, r.instance(a))
			}
			list = append(list, ic)
		}
	}
	return list
}

// addOrigin finds the build that makes an image, and the commits that are new in its source.
func (r *run) addOrigin(ic *plan.ImageChange, application *instance) {
	if application == nil {
		return
	}
	r.upstream(application, func(up *instance) {
		if up.addr.Kind != "build" || up.seen == nil || ic.Build != "" {
			return
		}
		name := types.Text(up.output("repository")) + ":" + types.Text(up.output("tag"))
		if name == ":" || !strings.HasPrefix(ic.After, name) || (len(ic.After) > len(name) && ic.After[len(name)] != '@') {
			return
		}
		ic.Build = up.addr.String()
		r.upstream(up, func(source *instance) {
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
func (r *run) planDeletions(ctx context.Context, gone func(addr.Instance) bool) {
	var list []*instance
	kept := r.keptBack(ctx)
	for _, address := range slices.Sorted(maps.Keys(r.snapshot.Records)) {
		if kept[address] || !kinds.IsManaged(r.snapshot.Records[address].Kind) {
			continue
		}
		a, err := addr.Parse(address)
		if err != nil {
			r.report((&instance{}).errorf("a record that cannot be read", "%s", err))
			continue
		}
		if gone(a) {
			list = append(list, &instance{addr: a})
		}
	}
	var wg errgroup.Group
	wg.SetLimit(r.planParallel())
	for _, in := range list {
		wg.Go(func() error {
			r.report(r.planDeletion(ctx, in)...)
			return nil
		})
	}
	_ = wg.Wait() // what failed is reported
	for _, in := range list {
		if in.change != nil {
			r.deleted = append(r.deleted, in)
		}
	}
}

// recorded makes the node of a record of which the block may be gone.
func (r *run) recorded(in *instance) hcl.Diagnostics {
	t := r.Types.Find(in.addr.Node)
	if t == nil {
		return hcl.Diagnostics{in.errorf("no plugin to delete it", "State has a record of it, and no plugin provides %s %q. Add the plugin to required_plugins again.", in.addr.Kind, in.addr.Type)}
	}
	if in.node = r.node(in.addr.Node); in.node == nil {
		in.node = &node{form: &form{typ: t}, addr: in.addr.Node}
	}
	return nil
}

func (r *run) planDeletion(ctx context.Context, in *instance) hcl.Diagnostics {
	if diags := r.recorded(in); diags.HasErrors() {
		return diags
	}
	if b := r.declared(in.addr.Node); b != nil && b.Lifecycle.PreventDestroy {
		return hcl.Diagnostics{in.errorf("it must not be destroyed", "The plan would delete it, and its lifecycle block says prevent_destroy.")}
	}
	rec := r.snapshot.Records[in.addr.String()]
	if r.forgets(in.addr) {
		in.change = &plan.Change{
			Address: in.addr.String(), Kind: rec.Kind, Type: rec.Type, Plugin: rec.Plugin, Action: plan.Forget,
			Reasons: []string{"a removed block says that it is to stay"},
		}
		return nil
	}
	prior, _, err := r.prior(in)
	if err != nil {
		return hcl.Diagnostics{r.failure(in, "planning its deletion", err)}
	}
	res, _, diags := r.call(ctx, in, &pluginv1.PlanRequest{Prior: prior, Destroy: true}, cty.NilVal)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.failure(in, "planning its deletion", err))
	}
	c.Action = plan.Delete
	if len(c.Reasons) == 0 {
		c.Reasons = []string{r.whyDeleted(in.addr)}
	}
	c.Before = types.PlanValue(rec.Outputs)
	in.change = c
	r.emit(event.Event{Type: event.Planned, Address: c.Address, Action: string(c.Action), Message: strings.Join(c.Reasons, "; ")})
	return diags
}

func (r *run) whyDeleted(a addr.Instance) string {
	switch {
	case r.opts.mode() == plan.ModeDestroy:
		return r.whyDestroyed[a.String()]
	case r.declared(a.Node) == nil:
		return "its block is not in the stack any more"
	}
	return "its block does not expand to this instance any more"
}

// declared finds the block of a node in the configuration, nil if there is none.
func (r *run) declared(n addr.Node) *config.Block {
	m := r.Stack.Module
	steps, err := n.Module.Steps()
	if err != nil {
		return nil
	}
	for _, s := range steps {
		call := m.Calls[s.Name]
		if call == nil || call.Module == nil {
			return nil
		}
		m = call.Module
	}
	return m.Blocks[n.In("")]
}

// deletions orders the deletions: what depends on something goes before it, and so does the
// change of a dependant that stays.
func (r *run) deletions() []plan.Change {
	dependants := map[string][]string{}
	for address, rec := range r.snapshot.Records {
		if kinds.IsManaged(rec.Kind) {
			for _, d := range rec.DependsOn {
				dependants[d] = append(dependants[d], address)
			}
		}
	}
	var list []plan.Change
	for _, in := range r.deleted {
		c := *in.change
		c.DependsOn = dependants[c.Address]
		slices.Sort(c.DependsOn)
		list = append(list, c)
	}
	return list
}
