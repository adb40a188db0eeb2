package plugintest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/engine/types"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

// trial is the test of one type.
type trial struct {
	*suite
	typ                    *pluginv1.Type
	configType, outputType cty.Type
	example                example
	first                  *pluginv1.PlanResult // of the example, once it was planned
	unsteady               bool                 // planned twice, it is not the same
	cannot                 string               // why nothing can be planned
	story                  map[string]outcome   // of the life of one instance, once it was lived
	told                   *pluginv1.Record     // what a host would tell of the instance that was made last
	claims                 []string             // of the plan of the instance that was made last
}

func (s *suite) newTrial(d *pluginv1.Type) (*trial, error) {
	t := &trial{suite: s, typ: d}
	s.options.Examples.use(d)
	err := types.NewCatalogue().Add(name, &pluginv1.DescribeResponse{Types: []*pluginv1.Type{d}})
	if err == nil {
		t.configType, t.outputType, err = valueTypes(d)
	}
	if err != nil {
		t.cannot, t.configType = "davit refuses its description: see the check describe", cty.NilType
		return t, nil //nolint:nilerr // that check says it
	}
	t.example, err = s.options.Examples.of(s, d)
	if t.example.needs != "" {
		t.cannot = "it needs " + t.example.needs
	}
	return t, err
}

// testType runs the checks of one type.
func (s *suite) testType(ctx context.Context, d *pluginv1.Type) error {
	t, err := s.newTrial(d)
	if err != nil {
		return err
	}
	for _, c := range typeChecks {
		if c.kinds != nil && !slices.Contains(c.kinds, d.GetKind()) {
			continue
		}
		o := t.one(ctx, c)
		s.put(c.name, typeName(d), o)
	}
	return nil
}

func (t *trial) one(ctx context.Context, c typeCheck) outcome {
	ctx, cancel := context.WithTimeout(ctx, t.options.Limit)
	defer cancel()
	if t.configType == cty.NilType {
		return skip("%s", t.cannot)
	}
	return c.run(t, ctx)
}

func (t *trial) isPlanned() bool { return slices.Contains(plannedKinds, t.typ.GetKind()) }

func (t *trial) managed() bool { return slices.Contains(managedKinds, t.typ.GetKind()) }

func (t *trial) address() string { return typeName(t.typ) + ".test" }

// encode writes a configuration as davit does.
func (t *trial) encode(v cty.Value, typ cty.Type) *pluginv1.Value {
	out, err := wire.Encode(v, typ)
	if err != nil { // the suite made it to fit
		return nil
	}
	return out
}

func (t *trial) request(config cty.Value) *pluginv1.PlanRequest {
	r := &pluginv1.PlanRequest{Address: t.address(), Kind: t.typ.GetKind(), Type: t.typ.GetName(), Config: t.encode(config, t.configType)}
	if t.typ.GetKind() == "policy" {
		r.Candidates = &pluginv1.Candidates{Tags: t.example.tags}
	}
	return r
}

// plan plans one instance. A plugin that has ended is started first.
func (t *trial) plan(ctx context.Context, r *pluginv1.PlanRequest, onLog func(*pluginv1.Log)) (*pluginv1.PlanResult, error) {
	c, err := t.rig.running(ctx)
	if err != nil {
		return nil, err
	}
	return c.Plan(ctx, r, onLog)
}

// ready plans the example once; it returns false with the reason when it cannot be planned.
func (t *trial) ready(ctx context.Context) (outcome, bool) {
	if t.cannot != "" {
		return skip("%s", t.cannot), false
	}
	if t.first != nil {
		return pass(), true
	}
	const mend = "Answer each request of the stream with exactly one result that carries its id."
	res, err := t.plan(ctx, t.request(t.example.config), nil)
	if err != nil {
		t.cannot = "the configuration cannot be planned: see the check plan"
		return fail(mend, "%v", err), false
	}
	if e := firstError(res.GetDiagnostics()); e != "" {
		if t.example.made {
			t.cannot = fmt.Sprintf("the configuration generated from the schema was refused (%s): write one in %s", short(e), FileNames[0])
			return skip("%s", t.cannot), false
		}
		t.cannot = "the configuration cannot be planned: see the check plan"
		return fail("Write a configuration that works here, or explain with needs = \"...\" what it needs.", "the example was refused: %s", e), false
	}
	if _, o := t.judge(res, t.example.config); o.status != Passed {
		t.cannot = "the configuration cannot be planned: see the check plan"
		return o, false
	}
	t.first = res
	return pass(), true
}

// planned judges the plan of the example.
func (t *trial) planned(ctx context.Context) outcome {
	o, _ := t.ready(ctx)
	return o
}

// again plans the same twice: nothing has changed, so nothing may differ.
func (t *trial) again(ctx context.Context) outcome {
	if o, ok := t.ready(ctx); !ok {
		return notYet(o)
	}
	res, err := t.plan(ctx, t.request(t.example.config), nil)
	const mend = "Planning must have no side effects, and equal inputs must give equal plans: sort the values of maps, and use no times or random values."
	if err != nil {
		return fail(mend, "%v", err)
	}
	if d := t.differs(t.first, res); d != "" {
		t.unsteady = true
		return fail(mend, "planned again with nothing changed, %s", d)
	}
	return pass()
}

// notYet turns the failure of planning the example, which is told once, into a check that does not apply.
func notYet(o outcome) outcome {
	if o.status == Failed {
		return skip("the configuration cannot be planned: see the check plan")
	}
	return o
}

// differs says how two plans differ in what people review; empty if they do not.
func (t *trial) differs(a, b *pluginv1.PlanResult) string {
	switch {
	case firstError(b.GetDiagnostics()) != "":
		return ownError + firstError(b.GetDiagnostics())
	case a.GetAction() != b.GetAction():
		return fmt.Sprintf("the action is %s instead of %s", actionName(b.GetAction()), actionName(a.GetAction()))
	case len(a.GetItems()) != len(b.GetItems()):
		return fmt.Sprintf("it has %d items instead of %d", len(b.GetItems()), len(a.GetItems()))
	case strings.Join(a.GetDecision().GetRanked(), " ") != strings.Join(b.GetDecision().GetRanked(), " "):
		return "the tags are ranked differently"
	}
	for i, x := range a.GetItems() {
		if y := b.GetItems()[i]; x.GetKey() != y.GetKey() || x.GetAction() != y.GetAction() {
			return fmt.Sprintf("item %d is %s %q instead of %s %q", i, actionName(y.GetAction()), y.GetKey(), actionName(x.GetAction()), x.GetKey())
		}
	}
	if t.typ.GetKind() == "policy" {
		return ""
	}
	x, err1 := wire.Decode(a.GetOutputs(), t.outputType)
	y, err2 := wire.Decode(b.GetOutputs(), t.outputType)
	if err1 != nil || err2 != nil || x.RawEquals(y) || x.IsNull() || y.IsNull() {
		return ""
	}
	for n, v := range x.AsValueMap() {
		if w := y.GetAttr(n); !v.RawEquals(w) {
			return fmt.Sprintf("the output %q is %s instead of %s", n, t.show(n, w), t.show(n, v))
		}
	}
	return ""
}

func actionName(a pluginv1.Action) string {
	return strings.ToLower(strings.TrimPrefix(a.String(), "ACTION_"))
}

// show writes an output for people; a sensitive one stays hidden.
func (t *trial) show(name string, v cty.Value) string {
	for _, a := range t.typ.GetOutputs().GetAttributes() {
		if a.GetName() == name && a.GetSensitive() {
			return "(sensitive)"
		}
	}
	if !v.IsWhollyKnown() {
		return "(known after apply)"
	}
	b, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return err.Error()
	}
	return short(string(b))
}

// judge looks at the form of a plan's answer, and returns its outputs.
func (t *trial) judge(res *pluginv1.PlanResult, config cty.Value) (cty.Value, outcome) {
	switch {
	case actionName(res.GetAction()) == "unspecified":
		return cty.NilVal, fail("Return an action: ACTION_NONE for an observed kind.", "the action is not specified")
	case !t.managed() && res.GetAction() != pluginv1.Action_ACTION_NONE:
		return cty.NilVal, fail("An observed kind changes nothing: return ACTION_NONE.", "a %s is planned with the action %s", t.typ.GetKind(), actionName(res.GetAction()))
	}
	if o := judgeItems(res.GetItems()); o.status != Passed {
		return cty.NilVal, o
	}
	if t.typ.GetKind() == "policy" {
		if res.GetDecision() == nil && config.IsWhollyKnown() {
			return cty.NilVal, fail("Return a decision for a policy.", "the answer has no decision")
		}
		return cty.NilVal, pass()
	}
	outputs, err := wire.Decode(res.GetOutputs(), t.outputType)
	switch {
	case err != nil:
		return cty.NilVal, fail("Send outputs in exactly the types that Describe gives.", "the outputs cannot be read: %v", err)
	case outputs.IsNull():
		if config == cty.NilVal {
			return outputs, pass() // a deletion
		}
		return cty.NilVal, fail("Return outputs: unknown ones where they are not known yet.", "the answer has no outputs")
	case !t.managed() && config.IsWhollyKnown() && !outputs.IsWhollyKnown():
		return cty.NilVal, fail("Outputs of an observed kind are known, unless arguments are unknown.", "the configuration is known, but the outputs are not")
	}
	return outputs, pass()
}

func judgeItems(items []*pluginv1.Item) outcome {
	seen := map[string]bool{}
	for _, i := range items {
		switch {
		case i.GetKey() == "" || seen[i.GetKey()]:
			return fail("Give each item of the instance a key of its own.", "two items, or one without a key, have the key %q", i.GetKey())
		case actionName(i.GetAction()) == "unspecified":
			return fail("Give each item an action.", "the item %q has no action", i.GetKey())
		}
		seen[i.GetKey()] = true
		for _, f := range i.GetFields() {
			for _, text := range []string{f.GetBefore(), f.GetAfter()} {
				if text != "" && !json.Valid([]byte(text)) {
					return fail("Write before and after of a field as JSON: a text has quotes.", "the field %q of the item %q has the value %s, which is not JSON", f.GetPath(), i.GetKey(), short(text))
				}
			}
		}
	}
	return pass()
}

func hasError(list []*pluginv1.Diagnostic) bool { return firstError(list) != "" }

// firstError is the text of the first error, with its detail.
func firstError(list []*pluginv1.Diagnostic) string {
	for _, d := range list {
		if d.GetSeverity() != pluginv1.Diagnostic_SEVERITY_WARNING {
			text := d.GetSummary()
			if d.GetDetail() != "" {
				text += ": " + d.GetDetail()
			}
			if text == "" {
				text = "an error without a text"
			}
			return text
		}
	}
	return ""
}
