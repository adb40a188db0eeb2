package plugintest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

const mendUnknown = "An unknown argument is not an error. Plan the outputs that do not depend on it, and leave the others unknown; or return that the instance is planned at apply: all outputs unknown."

// unknowns plans the example with arguments that are not known yet: each of those that it has, and all of them.
func (t *trial) unknowns(ctx context.Context) outcome {
	values := t.example.config.AsValueMap()
	var names []string
	for _, a := range t.typ.GetConfig().GetAttributes() {
		if v, ok := values[a.GetName()]; ok && !v.IsNull() {
			names = append(names, a.GetName())
		}
	}
	if len(names) == 0 {
		return skip("the configuration has no arguments")
	}
	slices.Sort(names)
	sets := [][]string{names}
	planned := pass()
	if o, ok := t.ready(ctx); !ok {
		if planned = notYet(o); t.example.needs == "" && !t.example.made {
			return planned
		}
		// What needs a server is planned without it when nothing is known; with a part of it, it cannot be.
	} else if len(names) > 1 {
		for _, n := range names {
			sets = append(sets, []string{n})
		}
	}
	for _, set := range sets {
		if o := t.unknown(ctx, set, planned.status == Passed); o.status != Passed {
			o.seen = strings.Join(set, ", ") + " not known: " + o.seen
			return o
		}
	}
	return pass()
}

func (t *trial) unknown(ctx context.Context, names []string, compare bool) outcome {
	values := t.example.config.AsValueMap()
	for _, n := range names {
		values[n] = notKnown(values[n])
	}
	config := cty.ObjectVal(values)
	res, err := t.plan(ctx, t.request(config), nil)
	if err != nil {
		return fail(mendUnknown, "%v", err)
	}
	if e := firstError(res.GetDiagnostics()); e != "" {
		return fail(mendUnknown, "%s", e)
	}
	outputs, o := t.judge(res, config)
	if o.status != Passed || t.typ.GetKind() == "policy" || !compare {
		return o
	}
	if outputs.IsNull() {
		return fail(mendUnknown, "the answer has no outputs")
	}
	// What was planned before everything was known must still hold when it is.
	known, err := wire.Decode(t.first.GetOutputs(), t.outputType)
	if err != nil || known.IsNull() {
		return pass() // the check "plan" says it
	}
	for n, later := range known.AsValueMap() {
		if now := outputs.GetAttr(n); !wire.Includes(now, later) && later.IsWhollyKnown() {
			return fail("Leave an output unknown if it depends on an unknown argument; give its known prefix if it has one.",
				"the output %q is planned as %s, but becomes %s when the argument is known", n, t.show(n, now), t.show(n, later))
		}
	}
	return pass()
}

// notKnown is an unknown that is not null, and whose beginning is known if v is a text.
func notKnown(v cty.Value) cty.Value {
	u := cty.UnknownVal(v.Type()).RefineNotNull()
	if v.Type() == cty.String && len(v.AsString()) > 2 {
		return cty.UnknownVal(cty.String).Refine().NotNull().StringPrefix(v.AsString()[:2]).NewValue()
	}
	return u
}

// paths looks whether errors say which argument they are about.
func (t *trial) paths(ctx context.Context) outcome {
	const mend = "Give each error about an argument its path, so that davit shows the line: in Go, sdk.Errorf(sdk.At(\"url\"), ...)."
	if len(t.example.invalid) == 0 {
		return skip("the examples have no invalid configuration")
	}
	for i, config := range t.example.invalid {
		found, err := t.refuse(ctx, config)
		if err != nil {
			return fail(mend, "%v", err)
		}
		if len(found) == 0 {
			return fail("Check the configuration in Validate, or while planning.", "invalid configuration %d was accepted", i+1)
		}
		for _, d := range found {
			switch {
			case d.GetSummary() == "":
				return fail("Give each error a summary, one line: what is wrong with what.", "an error has no summary")
			case len(d.GetPath()) == 0:
				return fail(mend, "the error %q has no path", short(d.GetSummary()))
			}
			if bad := wrongPath(t.configType, d.GetPath()); bad != "" {
				return fail(mend, "the error %q has a path that does not exist: %s", short(d.GetSummary()), bad)
			}
		}
	}
	return pass()
}

// refuse returns the errors about a configuration: those of Validate, else those of Plan.
func (t *trial) refuse(ctx context.Context, config cty.Value) ([]*pluginv1.Diagnostic, error) {
	c, err := t.rig.running(ctx)
	if err != nil {
		return nil, err
	}
	v, err := c.Validate(ctx, &pluginv1.ValidateRequest{Kind: t.typ.GetKind(), Type: t.typ.GetName(), Config: t.encode(config, t.configType)})
	if err != nil {
		return nil, err
	}
	if list := errorsOf(v.GetDiagnostics()); len(list) > 0 || !t.isPlanned() {
		return list, nil
	}
	res, err := t.plan(ctx, t.request(config), nil)
	return errorsOf(res.GetDiagnostics()), err
}

func errorsOf(list []*pluginv1.Diagnostic) []*pluginv1.Diagnostic {
	return slices.DeleteFunc(slices.Clone(list), func(d *pluginv1.Diagnostic) bool { return d.GetSeverity() == pluginv1.Diagnostic_SEVERITY_WARNING })
}

// wrongPath says where a path leaves the configuration's type; empty if it does not.
func wrongPath(t cty.Type, path []*pluginv1.PathStep) string {
	for i, s := range path {
		switch step := s.GetStep().(type) {
		case *pluginv1.PathStep_Attribute:
			if !t.IsObjectType() || !t.HasAttribute(step.Attribute) {
				return fmt.Sprintf("step %d is the attribute %q, which does not exist", i+1, step.Attribute)
			}
			t = t.AttributeType(step.Attribute)
		case *pluginv1.PathStep_Key:
			if !t.IsMapType() {
				return fmt.Sprintf("step %d is the key %q, but the value is not a map", i+1, step.Key)
			}
			t = t.ElementType()
		case *pluginv1.PathStep_Index:
			if !t.IsListType() && !t.IsSetType() {
				return fmt.Sprintf("step %d is the index %d, but the value is not a list", i+1, step.Index)
			}
			t = t.ElementType()
		default:
			return fmt.Sprintf("step %d is empty", i+1)
		}
	}
	return ""
}

// largeValue is the size in bytes of the large value.
const largeValue = 16 << 20

// large sends 16 MB: as an argument to Validate, and as private bytes to Plan.
func (t *trial) large(ctx context.Context) outcome {
	const mend = "Set the message limit of the gRPC server to 256 MB: its default is 4 MB."
	c, err := t.rig.running(ctx)
	if err != nil {
		return fail(mend, "%v", err)
	}
	values := t.example.config.AsValueMap()
	for _, a := range t.typ.GetConfig().GetAttributes() {
		if typ, err := ctyjson.UnmarshalType(a.GetType()); err != nil || typ != cty.String {
			continue
		}
		values[a.GetName()] = cty.StringVal(strings.Repeat("x", largeValue))
		r := &pluginv1.ValidateRequest{Kind: t.typ.GetKind(), Type: t.typ.GetName(), Config: t.encode(cty.ObjectVal(values), t.configType)}
		if _, err := c.Validate(ctx, r); err != nil {
			return fail(mend, "Validate with 16 MB in %s: %v", a.GetName(), err)
		}
		break
	}
	if !t.isPlanned() {
		return t.alive(ctx, mend)
	}
	r := t.request(t.example.config)
	r.PlannedPrivate = make([]byte, largeValue)
	if _, err := t.plan(ctx, r, nil); err != nil {
		return fail(mend, "Plan with 16 MB of private bytes: %v", err)
	}
	return t.alive(ctx, mend)
}
