package engine

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
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// preconditions checks what is to hold before anything is done about an instance.
func (r *Planner) preconditions(in *Finding, when string) hcl.Diagnostics {
	return r.conditions(in, in.node.block.Lifecycle.Pre, when, cty.NilVal)
}

// postconditions checks what is to hold for an instance that is done: self is what others see of it.
func (r *Planner) postconditions(in *Finding, when string) hcl.Diagnostics {
	rules := in.node.block.Lifecycle.Post
	if len(rules) == 0 {
		return nil
	}
	return r.conditions(in, rules, when, in.value())
}

// conditions checks conditions of an instance. Those that cannot be told yet are noted in the plan and checked again at apply.
func (r *Planner) conditions(in *Finding, rules []config.Condition, when string, self cty.Value) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, rule := range rules {
		res := in.node.scope.Check(rule, in.each, self)
		diags = append(diags, res.Diagnostics...)
		switch res.Status {
		case eval.Failed:
			d := diag.Errorf(rule.Condition.Range(), in.addr.String()+": a condition does not hold", "%s", r.svc.Secrets.Mask(res.Message))
			d.Extra = diag.Info{Address: in.addr.String(), Code: "condition", Hint: "This is checked " + when + "."}
			diags = append(diags, d)
		case eval.Unknown:
			in.checks = append(in.checks, plan.Check{Address: in.addr.String(), Status: string(eval.Unknown), Message: "the condition at " + config.Where(rule.Range) + " is checked at apply"})
		case eval.Passed:
		}
	}
	return diags
}

// assert checks the check blocks. What does not hold is a warning.
func (r *Planner) assert() {
	var visit func(s *eval.Scope)
	visit = func(s *eval.Scope) {
		for _, c := range s.Module.Checks {
			r.assertOne(s, c)
		}
		for _, name := range s.Module.CallOrder {
			for _, child := range s.Children(name) {
				visit(child)
			}
		}
	}
	if !r.partial() {
		visit(r.tree.root)
	}
}

func (r *Planner) assertOne(s *eval.Scope, c *config.Check) {
	address := "check." + c.Name
	if s.Path != "" {
		address = string(s.Path) + "." + address
	}
	out := plan.Check{Address: address, Status: string(eval.Passed)}
	for _, rule := range c.Asserts {
		res := s.Check(rule, eval.Each{}, cty.NilVal)
		switch {
		case res.Diagnostics.HasErrors():
			r.found.report(diag.AsWarnings(res.Diagnostics)...)
			out.Status = string(eval.Failed)
			out.Message = res.Diagnostics[0].Summary
		case res.Status == eval.Failed:
			out.Status, out.Message = string(eval.Failed), r.svc.Secrets.Mask(res.Message)
			w := diag.Errorf(rule.Condition.Range(), address+": the check does not hold", "%s", out.Message)
			w.Severity, w.Extra = hcl.DiagWarning, diag.Info{Address: address, Code: "check"}
			r.found.report(w)
		case res.Status == eval.Unknown && out.Status == string(eval.Passed):
			out.Status = string(eval.Unknown)
		}
	}
	r.found.mu.Lock()
	defer r.found.mu.Unlock()
	r.found.checks = append(r.found.checks, out)
}

// configure evaluates an instance's arguments: its block's, or those of the revision that it is held at.
func (r *Planner) configure(ctx context.Context, in *Finding) hcl.Diagnostics {
	config, diags := r.svc.decode(in.instance)
	if diags.HasErrors() {
		return diags
	}
	in.config = config
	rec, recorded := r.records.Snapshot().Records[in.addr.String()]
	held := uint64(0)
	if in.change != nil && in.change.Hold != nil {
		held = in.change.Hold.Revision // at apply: as it was reviewed
	} else if b := r.opts.Rollback; b != nil && b.Address == in.addr.String() {
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
	l := in.node.block.Lifecycle
	if !l.IgnoreAll && len(l.Ignore) == 0 {
		return nil
	}
	before, err := types.Decode(rec.Config)
	if err != nil || before == cty.NilVal {
		return nil
	}
	before = types.Fit(before, in.node.typ.ConfigType)
	in.ignored = ignoredSecrets(in.config, rec, l)
	if l.IgnoreAll {
		in.config = overlay(in.config, before)
		return nil
	}
	attrs := in.config.AsValueMap()
	for _, t := range l.Ignore {
		first, ok := t[0].(hcl.TraverseAttr)
		if !ok || !before.Type().HasAttribute(first.Name) {
			continue
		}
		old := before.GetAttr(first.Name)
		v, err := withOld(attrs[first.Name], old, t[1:])
		if err != nil {
			return hcl.Diagnostics{diag.Errorf(t.SourceRange(), "ignore_changes cannot be followed", "%s: %s", in.addr, err)}
		}
		attrs[first.Name] = v
	}
	in.config = cty.ObjectVal(attrs)
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

// replaced tells whether an instance is made anew because the person or the configuration says so, and notes it in the change.
func (r *Planner) replaced(in *Finding, rec *state.Record, reviewed, c *plan.Change) bool {
	if reviewed != nil {
		c.TwoSteps, c.CreateFirst = reviewed.TwoSteps, reviewed.CreateFirst
		if c.TwoSteps {
			c.Action, c.Reasons = plan.Replace, reviewed.Reasons
		}
		return c.TwoSteps
	}
	if rec == nil || c.Action == plan.Replace {
		return false
	}
	why := ""
	if matches(r.opts.Replace, in.addr) {
		why = "-replace asks for it"
	} else if r.goesOn(in, rec) {
		why = notEnded
	} else if c.Action != plan.Create { // what is gone is made anew anyway
		why = r.triggered(in)
	}
	if why == "" {
		return false
	}
	c.Action, c.TwoSteps, c.CreateFirst = plan.Replace, true, in.node.block.Lifecycle.CreateBeforeDestroy
	c.Reasons = append([]string{why}, c.Reasons...)
	return true
}

// triggered says which change of something else makes an instance anew, or nothing.
func (r *Planner) triggered(in *Finding) string {
	for _, x := range in.node.block.Lifecycle.ReplaceTriggeredBy {
		for _, ref := range eval.References(x) {
			needs, _ := in.node.scope.Needs([]eval.Ref{ref})
			list, _ := r.tree.dependencies(in.node, needs, in.each)
			for _, a := range list {
				if up := r.finding(a); up != nil && r.differs(up, ref) {
					return "replace_triggered_by: " + a.String() + " changes"
				}
			}
		}
	}
	return ""
}

// differs tells whether what a reference names of an instance is not what state has.
func (r *Planner) differs(up *Finding, ref eval.Ref) bool {
	if ref.Node.Kind == "" || len(ref.Rest) == 0 {
		if up.change != nil {
			return up.change.Action != plan.None
		}
		return up.observation != nil && (up.observation.Before == nil || !sameValue(up.observation.Before, &up.observation.Outputs))
	}
	rec, ok := r.records.Snapshot().Records[up.addr.String()]
	if !ok {
		return true
	}
	outputs, err1 := types.Decode(rec.Outputs)
	config, err2 := types.Decode(rec.Config)
	if err1 != nil || err2 != nil || outputs == cty.NilVal {
		return true
	}
	was, d1 := ref.Rest.TraverseRel(up.node.typ.Object(up.addr.String(), up.node.typ.See(config, outputs)))
	now, d2 := ref.Rest.TraverseRel(up.value())
	if d1.HasErrors() || d2.HasErrors() {
		return true
	}
	now, _ = now.UnmarkDeep()
	return !now.IsWhollyKnown() || !now.RawEquals(was)
}

func sameValue(a, b *plan.Value) bool {
	return bytes.Equal(a.Value, b.Value) && slices.Equal(a.Unknown, b.Unknown)
}

// asRecorded plans an instance without its plugin, if it is what state says: for -refresh=false.
func (r *Planner) asRecorded(in *Finding) bool {
	rec, ok := r.records.Snapshot().Records[in.addr.String()]
	if !ok || rec.Status != state.StatusOK || beingDeleted(r.records.Snapshot(), rec.Address) || len(rec.Outputs) == 0 || r.opts.Rollback != nil || matches(r.opts.Replace, in.addr) {
		return false
	}
	config, err := types.Encode(in.node.typ.PluginConfig(in.config))
	if err != nil || !bytes.Equal(types.CompactJSON(config), types.CompactJSON(rec.Config)) || len(r.input.Fingerprints.Changed(in.config, in.ignored, &rec)) > 0 {
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
	outputs = types.Fit(outputs, in.node.typ.OutputType)
	c := &plan.Change{Address: in.addr.String(), Kind: in.addr.Kind, Type: in.addr.Type, Plugin: in.node.typ.Plugin, Action: plan.None, DependsOn: addresses(in.deps)}
	if c.After, err = plan.NewValue(outputs); err != nil {
		return false
	}
	r.compare(c, in, &rec)
	r.planned(in, c, outputs)
	return true
}
