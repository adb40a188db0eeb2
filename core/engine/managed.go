package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// planManaged has a plugin read the real object, compare, and say what it would do. reviewed
// is the change of a saved plan, or one that had unknown values, that is planned again now.
func (r *run) planManaged(ctx context.Context, in *instance, reviewed *plan.Change) hcl.Diagnostics {
	config, diags := r.decode(in)
	if diags.HasErrors() {
		return diags
	}
	in.config = config
	prior, rec, err := r.prior(in.addr, in.node.typ)
	if err != nil {
		return append(diags, r.failure(in, "planning", err))
	}
	req := &pluginv1.PlanRequest{Prior: prior}
	if reviewed != nil {
		req.PlannedPrivate = reviewed.Private
	}
	res, outputs, more := r.call(ctx, in, req, config)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.failure(in, "planning", err))
	}
	if rec != nil {
		if before, err := storedValue(rec.Outputs); err == nil && before != cty.NilVal {
			c.Before, _ = plan.NewValue(before)
		}
	}
	if c.After, err = plan.NewValue(outputs); err != nil {
		return append(diags, r.failure(in, "planning", err))
	}
	plain, _ := config.UnmarkDeep()
	c.Deferred = !plain.IsWhollyKnown() && !c.After.IsKnown() && len(c.Items) == 0 && c.Action != plan.Build
	if !plain.IsWhollyKnown() {
		c.WaitsFor = r.waitsFor(in)
	}
	if in.node.block.Lifecycle.PreventDestroy && (c.Action == plan.Replace || c.Action == plan.Delete) {
		return append(diags, in.errorf("it must not be destroyed", "The plan would %s it, and its lifecycle block says prevent_destroy. Undo what makes it so, or remove prevent_destroy.", c.Action))
	}
	in.change = c
	in.value = in.node.typ.value(in.addr, config, outputs)
	r.emit(event.Event{Type: event.Planned, Address: c.Address, Action: string(c.Action), Message: strings.Join(c.Reasons, "; ")})
	return diags
}

func (r *run) newChange(in *instance, res *pluginv1.PlanResult) (*plan.Change, error) {
	action, ok := actions[res.GetAction()]
	if !ok {
		return nil, fmt.Errorf("plugin %q answered with the action %d, which there is not: this is a defect of the plugin", in.node.typ.plugin, res.GetAction())
	}
	items, err := r.items(res.GetItems())
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", in.node.typ.plugin, err)
	}
	c := &plan.Change{
		Address: in.addr.String(), Kind: in.addr.Kind, Type: in.addr.Type, Plugin: in.node.typ.plugin,
		Action: action, Reasons: r.reasons(res.GetReasons()), Items: items, Private: res.GetPrivate(),
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
			if up == nil || seen[d] || up.value == cty.NilVal {
				continue
			}
			seen[d] = true
			plain, _ := up.value.UnmarkDeep()
			switch {
			case plain.IsWhollyKnown():
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

// managedUpstream are the managed instances that in needs, for the order in which deletions go.
func (r *run) managedUpstream(in *instance) []string {
	var list []string
	r.upstream(in, func(up *instance) {
		if managed(up.addr.Kind) {
			list = append(list, up.addr.String())
		}
	})
	slices.Sort(list)
	return list
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
		if up.addr.Kind != "build" || up.value == cty.NilVal || ic.Build != "" {
			return
		}
		name := stringOf(up.value.GetAttr("repository")) + ":" + stringOf(up.value.GetAttr("tag"))
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
	return stringOf(c.GetAttr("revision"))
}

// planDeletions plans the deletion of recorded instances. Those of observed kinds have nothing to delete.
func (r *run) planDeletions(ctx context.Context, gone func(address string) bool) {
	for _, address := range slices.Sorted(maps.Keys(r.snapshot.Records)) {
		rec := r.snapshot.Records[address]
		if !managed(rec.Kind) || !gone(address) {
			continue
		}
		r.report(r.planDeletion(ctx, address)...)
	}
}

func (r *run) planDeletion(ctx context.Context, address string) hcl.Diagnostics {
	a, err := addr.Parse(address)
	if err != nil {
		return hcl.Diagnostics{(&instance{}).errorf("a record that cannot be read", "%s", err)}
	}
	n := r.nodes[a.Node]
	t := r.Types.of(a.Node)
	if t == nil {
		return hcl.Diagnostics{(&instance{addr: a}).errorf("no plugin to delete it", "State has a record of it, and no plugin provides %s %q. Add the plugin to required_plugins again.", a.Kind, a.Type)}
	}
	if n == nil {
		n = &node{typ: t, instances: map[addr.Key]*instance{}}
		r.mu.Lock()
		r.nodes[a.Node] = n
		r.mu.Unlock()
	}
	in := &instance{addr: a, node: n}
	if n.block != nil && n.block.Lifecycle.PreventDestroy {
		return hcl.Diagnostics{in.errorf("it must not be destroyed", "The plan would delete it, and its lifecycle block says prevent_destroy.")}
	}
	prior, _, err := r.prior(a, t)
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
	rec := r.snapshot.Records[address]
	if before, err := storedValue(rec.Outputs); err == nil && before != cty.NilVal {
		c.Before, _ = plan.NewValue(before)
	}
	in.change = c
	r.deleted = append(r.deleted, in)
	r.emit(event.Event{Type: event.Planned, Address: c.Address, Action: string(c.Action), Message: strings.Join(c.Reasons, "; ")})
	return diags
}

// deletions orders the deletions: what depends on something goes before it, and so does the
// change of a dependant that stays.
func (r *run) deletions() []plan.Change {
	var list []plan.Change
	for _, in := range r.deleted {
		c := *in.change
		c.DependsOn = nil
		for address, rec := range r.snapshot.Records {
			if slices.Contains(rec.DependsOn, c.Address) && managed(rec.Kind) {
				c.DependsOn = append(c.DependsOn, address)
			}
		}
		slices.Sort(c.DependsOn)
		list = append(list, c)
	}
	return list
}
