package look

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Configure evaluates an instance's arguments: its block's, or those of the revision that it is held at.
func (r *Planner) Configure(ctx context.Context, in *Finding) hcl.Diagnostics {
	config, diags := r.svc.Decode(in.Instance)
	if diags.HasErrors() {
		return diags
	}
	in.Config = config
	rec, recorded := r.Records.Snapshot().Records[in.Addr.String()]
	held := uint64(0)
	if in.Change != nil && in.Change.Hold != nil {
		held = in.Change.Hold.Revision // at apply: as it was reviewed
	} else if b := r.opts.Rollback; b != nil && b.Address == in.Addr.String() {
		held = b.Revision
	} else if recorded && rec.Hold != nil {
		held = rec.Hold.Revision
	}
	if held > 0 {
		return append(diags, r.configureHeld(ctx, in, held)...)
	}
	if recorded {
		diags = append(diags, r.ignoreChanges(in, &rec)...)
	}
	return diags
}

// ignoreChanges gives arguments whose changes are ignored the value that was applied last.
func (r *Planner) ignoreChanges(in *Finding, rec *state.Record) hcl.Diagnostics {
	l := in.Node.Block.Lifecycle
	if !l.IgnoreAll && len(l.Ignore) == 0 {
		return nil
	}
	before, err := types.Decode(rec.Config)
	if err != nil || before == cty.NilVal {
		return nil
	}
	before = types.Fit(before, in.Node.Type.ConfigType)
	in.ignored = ignoredSecrets(in.Config, rec, l)
	if l.IgnoreAll {
		in.Config = overlay(in.Config, before)
		return nil
	}
	attrs := in.Config.AsValueMap()
	for _, t := range l.Ignore {
		first, ok := t[0].(hcl.TraverseAttr)
		if !ok || !before.Type().HasAttribute(first.Name) {
			continue
		}
		old := before.GetAttr(first.Name)
		v, err := withOld(attrs[first.Name], old, t[1:])
		if err != nil {
			return hcl.Diagnostics{diag.Errorf(t.SourceRange(), "ignore_changes cannot be followed", "%s: %s", in.Addr, err)}
		}
		attrs[first.Name] = v
	}
	in.Config = cty.ObjectVal(attrs)
	return nil
}

// ignoredSecrets are the paths of sensitive arguments that were applied, and whose changes are ignored.
func ignoredSecrets(now cty.Value, rec *state.Record, l config.Lifecycle) map[string]bool {
	ignored := map[string]bool{}
	secret.Parts(now, func(path string, _ cty.Value) {
		if rec.Fingerprints[path] != "" && (l.IgnoreAll || slices.ContainsFunc(l.Ignore, func(t hcl.Traversal) bool { return isWithin(path, t) })) {
			ignored[path] = true
		}
	})
	return ignored
}

// isWithin tells whether a path leads to what is named, or to a part of it.
func isWithin(path string, named hcl.Traversal) bool {
	var of cty.Path
	for _, step := range named {
		switch step := step.(type) {
		case hcl.TraverseAttr:
			of = of.GetAttr(step.Name)
		case hcl.TraverseIndex:
			of = of.Index(step.Key)
		default:
			return false
		}
	}
	rest, ok := strings.CutPrefix(path, plan.PathString(of))
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// overlay is a configuration with the values of an earlier one, but for what is sensitive and so not in state.
func overlay(now, before cty.Value) cty.Value {
	attrs := now.AsValueMap()
	for name := range attrs {
		if before.Type().HasAttribute(name) {
			attrs[name] = withSecretsOf(attrs[name], before.GetAttr(name))
		}
	}
	return cty.ObjectVal(attrs)
}

// withSecretsOf is an earlier value with what is sensitive now in its place: state does not have that. Elements of lists are told by their index.
func withSecretsOf(now, before cty.Value) cty.Value {
	switch {
	case now.IsMarked():
		return now
	case !deep.Marked(now), before.IsNull(), !before.IsKnown(), !now.Type().Equals(before.Type()):
		return before
	case now.Type().IsListType() || now.Type().IsTupleType():
		is, was := now.AsValueSlice(), before.AsValueSlice()
		for i := range min(len(is), len(was)) {
			was[i] = withSecretsOf(is[i], was[i])
		}
		return listLike(before, was)
	case now.Type().IsMapType() || now.Type().IsObjectType():
		is, was := now.AsValueMap(), before.AsValueMap()
		for name := range was {
			if v, there := is[name]; there {
				was[name] = withSecretsOf(v, was[name])
			}
		}
		return mapLike(before, was)
	}
	return before
}

// listLike is a list or a tuple, as another value is, of other elements.
func listLike(v cty.Value, elements []cty.Value) cty.Value {
	switch {
	case len(elements) == 0:
		return v
	case v.Type().IsTupleType():
		return cty.TupleVal(elements)
	}
	return cty.ListVal(elements)
}

// mapLike is a map or an object, as another value is, of other elements.
func mapLike(v cty.Value, elements map[string]cty.Value) cty.Value {
	switch {
	case v.Type().IsObjectType():
		return cty.ObjectVal(elements)
	case len(elements) == 0:
		return cty.MapValEmpty(v.Type().ElementType())
	}
	return cty.MapVal(elements)
}

// withOld is a value with the old one at a path in it.
func withOld(now, old cty.Value, path hcl.Traversal) (cty.Value, error) {
	if len(path) == 0 || now.IsMarked() {
		return withSecretsOf(now, old), nil
	}
	if now.IsNull() || !now.IsKnown() || old.IsNull() || !now.CanIterateElements() {
		return now, nil
	}
	var key cty.Value
	switch step := path[0].(type) {
	case hcl.TraverseAttr:
		key = cty.StringVal(step.Name)
	case hcl.TraverseIndex:
		key = step.Key
	default:
		return now, fmt.Errorf("a splat cannot be ignored")
	}
	if key.Type() != cty.String || (!now.Type().IsMapType() && !now.Type().IsObjectType()) {
		return now, fmt.Errorf("only attributes and keys of maps can be named")
	}
	elements := now.AsValueMap()
	if elements == nil {
		elements = map[string]cty.Value{}
	}
	oldElements := old.AsValueMap()
	name := key.AsString()
	before, had := oldElements[name]
	after, has := elements[name]
	switch {
	case had && has:
		v, err := withOld(after, before, path[1:])
		if err != nil {
			return now, err
		}
		elements[name] = v
	case had && now.Type().IsMapType():
		elements[name] = before
	case has && now.Type().IsMapType():
		delete(elements, name)
	}
	return mapLike(now, elements), nil
}

// asRecorded plans an instance without its plugin, if it is what state says: for -refresh=false.
func (r *Planner) asRecorded(in *Finding) bool {
	rec, ok := r.Records.Snapshot().Records[in.Addr.String()]
	if !ok || rec.Status != state.StatusOK || record.BeingDeleted(r.Records.Snapshot(), rec.Address) || len(rec.Outputs) == 0 || r.opts.Rollback != nil || input.Matches(r.opts.Replace, in.Addr) {
		return false
	}
	config, err := types.Encode(in.Node.Type.PluginConfig(in.Config))
	if err != nil || !bytes.Equal(types.CompactJSON(config), types.CompactJSON(rec.Config)) || len(r.Input.Fingerprints.Changed(in.Config, in.ignored, &rec)) > 0 {
		return false
	}
	v := types.PlanValue(rec.Outputs)
	if v == nil || len(v.Sensitive) > 0 {
		return false // its plugin is asked for what state does not hold
	}
	outputs, err := v.Cty()
	if err != nil {
		return false
	}
	outputs = types.Fit(outputs, in.Node.Type.OutputType)
	c := &plan.Change{Address: in.Addr.String(), Kind: in.Addr.Kind, Type: in.Addr.Type, Plugin: in.Node.Type.Plugin, Action: plan.None, DependsOn: world.Addresses(in.Deps), Claims: rec.Claims}
	if c.After, err = plan.NewValue(outputs); err != nil {
		return false
	}
	r.compare(c, in, &rec)
	r.planned(in, c, outputs)
	return true
}

// Arguments returns the arguments of an instance that are not what was applied last, and all that are set for one that is new. They are
// compared with the state that the plan is made against, whatever this run has written since.
func (r *Planner) Arguments(in *Finding, address string) []plan.Field {
	var before *state.Record
	if rec, ok := r.Records.Snapshot().Records[address]; ok {
		before = &rec
	}
	return record.ChangedArguments(in.Node.Type, before, in.Config, r.Input.Fingerprints.Arguments(in.Config), in.ignored)
}
