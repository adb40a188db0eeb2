package look

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// One has a plugin read the real object, compare, and say what it would do. reviewed
// is the change of a saved plan, or one that had unknown values, that is planned again now.
func (r *Planner) One(ctx context.Context, in *Finding, reviewed *plan.Change) hcl.Diagnostics {
	kind, ok := contracts[in.Addr.Kind].(managed)
	if !ok {
		return hcl.Diagnostics{unknownKind(in)}
	}
	diags := r.Configure(ctx, in)
	if diags.HasErrors() {
		in.misused = len(in.Deps) == 0 // nothing of the world is in its arguments
		return diags
	}
	diags = append(diags, r.Preconditions(in, "before it is planned")...)
	if d := r.notAlone(in); d != nil {
		diags = append(diags, d)
	}
	if diags.HasErrors() {
		return diags
	}
	if r.Options.PlanMode() == plan.ModeRefresh {
		return append(diags, r.planRefresh(ctx, in)...)
	}
	trig, more := r.triggersOf(in)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return diags
	}
	if r.Options.NoRefresh && len(trig.Reasons) == 0 && r.asRecorded(in, trig) {
		return diags
	}
	prior, rec, err := r.Prior(in)
	if err != nil {
		return append(diags, r.Services.Failure(in.Instance, "planning", err))
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
	req := &pluginv1.PlanRequest{Prior: prior, PartialTexts: partialTexts(in)}
	if reviewed != nil {
		req.PlannedPrivate = reviewed.Private
	}
	res, outputs, more := r.Services.Plan(ctx, in.Instance, req, in.Config)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return diags
	}
	c, err := r.newChange(in, res)
	if err != nil {
		return append(diags, r.Services.Failure(in.Instance, "planning", err))
	}
	r.compare(c, in, rec)
	if rec == nil && id != "" {
		c.Import = id
		if c.Action == plan.None {
			c.Action = plan.Adopt
		}
	}
	if r.replaced(ctx, in, rec, reviewed, c, trig.Reasons) {
		outputs = in.Node.Type.UnknownOutputs()
	}
	if c.After, err = in.Node.Type.StoredOutputs.Value(outputs); err != nil {
		return append(diags, r.Services.Failure(in.Instance, "planning", err))
	}
	if rec == nil && c.Action == plan.None && c.After.IsKnown() {
		c.Action, c.AsIs, c.Reasons, c.Causes = plan.Adopt, true, nil, nil
	}
	plain := deep.Unmarked(in.Config)
	known := deep.Known(plain)
	c.Deferred = !known && !c.After.IsKnown() && kind.deferred(c)
	if !known {
		c.WaitsFor = r.waitsFor(in)
	}
	if c.Action != plan.None || c.Deferred {
		c.Arguments, c.Fingerprints = r.Arguments(in, c.Address), r.Input.Fingerprints.Arguments(in.Config)
	}
	if in.Node.Block.Lifecycle.PreventDestroy && (c.Action == plan.Replace || c.Action == plan.Delete) {
		return append(diags, in.Errorf("it must not be destroyed", "The plan would %s it, but its lifecycle block has prevent_destroy. Undo the change, or remove prevent_destroy.", c.Action))
	}
	if rec != nil && c.Action != plan.None {
		c.Before = types.PlanValue(rec.Outputs)
	}
	if reviewed == nil {
		c.Record = r.recordOnly(in, c, rec, trig, req, res)
	} else {
		c.Record = reviewed.Record
	}
	r.explain(in, c, rec)
	return append(diags, r.planned(in, c, outputs)...)
}

// planned keeps a change and what others see of the instance.
func (r *Planner) planned(in *Finding, c *plan.Change, outputs cty.Value) hcl.Diagnostics {
	in.Change = c
	in.Seen = in.Node.Type.See(in.Config, outputs)
	diags := r.Postconditions(in, "after it")
	r.Services.Emit(event.Event{Type: event.Planned, Address: c.Address, Action: string(c.Action), Message: strings.Join(c.Reasons, "; ")})
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
	if b := r.Options.Rollback; b != nil && b.Address == c.Address && !b.Holds(rec) {
		c.Hold = &plan.Hold{Revision: b.Revision, Who: b.Who, Reason: b.Reason}
	}
	c.MovedFrom = r.Moved.Origin[c.Address]
	if changed := r.Input.Fingerprints.Changed(in.Config, in.ignored, rec); c.Action == plan.None && len(changed) > 0 {
		c.Action = plan.Update
		c.Reasons = append(c.Reasons, "sensitive "+strings.Join(changed, ", ")+" changed")
		c.Causes = append(c.Causes, plan.CauseConfig)
	}
}

// NotEnded is the reason of what is done about an instance whose record is partial.
const NotEnded = "an earlier operation on it did not end"

// explain gives a change the causes that only the core knows, and a reason if its plugin gave none.
func (r *Planner) explain(in *Finding, c *plan.Change, rec *state.Record) {
	if len(c.Record) > 0 {
		c.Causes = []plan.Cause{plan.CauseState}
	}
	if c.Action == plan.None && !c.Deferred && !c.Holds() {
		return
	}
	cause, reason := r.causeOf(in, c, rec)
	if len(c.Causes) == 0 {
		c.Causes = []plan.Cause{cause}
	}
	for _, own := range []struct {
		holds bool
		cause plan.Cause
	}{{c.TwoSteps, plan.CauseReplaced}, {rec != nil && rec.Status == state.StatusPartial, plan.CauseRetry}, {c.Holds(), plan.CauseRollback}} {
		if own.holds && !slices.Contains(c.Causes, own.cause) {
			c.Causes = append(c.Causes, own.cause)
		}
	}
	if len(c.Reasons) == 0 && c.Action != plan.None {
		c.Reasons = []string{reason}
	}
}

// causeOf returns the cause of a change whose plugin gives none, and the reason in words.
func (r *Planner) causeOf(in *Finding, c *plan.Change, rec *state.Record) (plan.Cause, string) {
	switch {
	case c.Import != "":
		return plan.CauseState, fmt.Sprintf("it exists already, as %q", c.Import)
	case c.AsIs:
		return plan.CauseState, "it exists already, as it should be"
	case c.Deferred && rec == nil:
		return plan.CauseNew, "some of its arguments are known only after apply"
	case c.Deferred:
		return plan.CauseConfig, "some of its arguments are known only after apply"
	case rec == nil:
		return plan.CauseNew, "it is new"
	case rec.Status == state.StatusPartial, c.Action == plan.Create && record.BeingDeleted(r.Records.Snapshot(), c.Address):
		return plan.CauseRetry, NotEnded
	case c.Action == plan.Create:
		return plan.CauseDrift, "it was deleted outside of davit"
	case c.Holds():
		return plan.CauseRollback, fmt.Sprintf("it goes back to revision %d", c.Hold.Revision)
	}
	if names := r.changedArguments(in, rec); len(names) > 0 {
		return plan.CauseConfig, "arguments changed: " + strings.Join(names, ", ")
	}
	if c.TwoSteps && len(c.Items) == 0 {
		return plan.CauseReplaced, "it is made again"
	}
	return plan.CauseDrift, "it differs from its configuration"
}

// changedArguments returns the names of the arguments that are not what was applied last, sorted. Sensitive ones are told by their
// fingerprints.
func (r *Planner) changedArguments(in *Finding, rec *state.Record) []string {
	before, err := types.Decode(rec.Config)
	if err != nil || before == cty.NilVal || !before.Type().IsObjectType() {
		return nil
	}
	before = types.Fit(before, in.Node.Type.ConfigType)
	now := in.Node.Type.PluginConfig(in.Config)
	var names []string
	for name := range now.Type().AttributeTypes() {
		v := now.GetAttr(name)
		if deep.Marked(v) || !before.Type().HasAttribute(name) {
			continue
		}
		if !v.RawEquals(before.GetAttr(name)) {
			names = append(names, name)
		}
	}
	names = append(names, r.Input.Fingerprints.Changed(in.Config, in.ignored, rec)...)
	slices.Sort(names)
	return slices.Compact(names)
}

func (r *Planner) newChange(in *Finding, res *pluginv1.PlanResult) (*plan.Change, error) {
	action, ok := types.Actions[res.GetAction()]
	if !ok {
		return nil, fmt.Errorf("plugin %q answered with the action %d, which does not exist: this is a defect in the plugin", in.Node.Type.Plugin, res.GetAction())
	}
	items, err := r.Services.Secrets.Items(res.GetItems())
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", in.Node.Type.Plugin, err)
	}
	c := &plan.Change{
		Address: in.Addr.String(), Kind: in.Addr.Kind, Type: in.Addr.Type, Plugin: in.Node.Type.Plugin,
		Action: action, Reasons: r.Services.Secrets.MaskAll(res.GetReasons()), Items: items, Private: res.GetPrivate(),
		DependsOn: world.Addresses(in.Deps), Claims: sortedSet(res.GetClaims()), Kept: in.kept,
	}
	if c.Causes, err = types.Causes(res.GetCauses()); err != nil {
		return nil, fmt.Errorf("plugin %q: %w", in.Node.Type.Plugin, err)
	}
	for _, i := range res.GetImages() {
		c.Images = append(c.Images, plan.ImageUse{Name: i.GetName(), Before: i.GetBefore(), After: i.GetAfter(), Unknown: i.GetUnknown()})
	}
	return c, nil
}

// sortedSet returns the texts of a list sorted, each once.
func sortedSet(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// waitsFor finds the managed instances that the unknown values come from: the nearest ones that change.
func (r *Planner) waitsFor(in *Finding) []string {
	found := map[string]bool{}
	seen := map[addr.Instance]bool{}
	var visit func(deps []addr.Instance)
	visit = func(deps []addr.Instance) {
		for _, d := range deps {
			up := r.Finding(d)
			if up == nil || seen[d] || up.Seen == nil {
				continue
			}
			seen[d] = true
			switch {
			case up.Observation != nil && len(up.Observation.ReadAfter) > 0:
				for _, address := range up.Observation.ReadAfter {
					found[address] = true
				}
			case up.Seen.Known():
			case up.Change != nil:
				found[d.String()] = true
			default:
				visit(up.Deps)
			}
		}
	}
	visit(in.Deps)
	return slices.Sorted(maps.Keys(found))
}

// partialTexts returns the known pieces of those arguments of an instance that are unknown texts.
func partialTexts(in *Finding) []*pluginv1.PartialText {
	if in.Config == cty.NilVal || deep.Known(deep.Unmarked(in.Config)) {
		return nil
	}
	texts := in.Node.Type.Schema.Partials(in.Node.Block.Body, in.Node.Scope.Evaluator(in.Node.References, in.Each), in.Config)
	list := make([]*pluginv1.PartialText, 0, len(texts))
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		list = append(list, &pluginv1.PartialText{Attribute: name, Known: texts[name]})
	}
	return list
}
