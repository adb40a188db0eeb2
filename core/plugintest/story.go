package plugintest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

// The chapters of an instance's life: checks that follow one upon the other.
const (
	chapterLate    = "too late"
	chapterApply   = "apply"
	chapterEmpty   = "empty plan"
	chapterChange  = "change"
	chapterDestroy = "destroy"
)

func (t *trial) late(ctx context.Context) outcome      { return t.chapter(ctx, chapterLate) }
func (t *trial) applied(ctx context.Context) outcome   { return t.chapter(ctx, chapterApply) }
func (t *trial) emptied(ctx context.Context) outcome   { return t.chapter(ctx, chapterEmpty) }
func (t *trial) changedBy(ctx context.Context) outcome { return t.chapter(ctx, chapterChange) }
func (t *trial) destroyed(ctx context.Context) outcome { return t.chapter(ctx, chapterDestroy) }

// chapter returns how a chapter went; the first call lives the whole life.
func (t *trial) chapter(ctx context.Context, what string) outcome {
	if o, ok := t.ready(ctx); !ok {
		return notYet(o)
	}
	if t.story == nil {
		t.story = map[string]outcome{}
		t.live(ctx)
	}
	if o, ok := t.story[what]; ok {
		return o
	}
	return skip("an earlier check of the instance failed")
}

const mendEmpty = "Plan must find the object that Apply has made, and return ACTION_NONE if it is as configured: compare the object with the configuration, not two configurations."

// live does not create an instance, then does, plans it again, changes it, plans it again, and deletes it twice.
func (t *trial) live(ctx context.Context) {
	t.story[chapterLate] = t.tooLate(ctx)
	record := t.make(ctx, chapterApply, t.example.config, nil)
	if record == nil {
		return
	}
	last := record
	defer func() { t.remove(ctx, last) }()
	t.story[chapterEmpty] = t.empty(ctx, t.example.config)
	if t.story[chapterApply].status == Failed || t.story[chapterEmpty].status == Failed {
		t.story[chapterChange] = skip("the object differs from the plan: see the checks apply and empty plan")
		return
	}
	if t.example.changed == cty.NilVal {
		t.story[chapterChange] = skip("the examples have no changed configuration")
		return
	}
	if after := t.make(ctx, chapterChange, t.example.changed, record); after != nil {
		last = after
		if o := t.empty(ctx, t.example.changed); o.status == Failed {
			t.story[chapterChange] = o
		}
	}
}

// tooLate asks for an operation that was to begin long ago.
func (t *trial) tooLate(ctx context.Context) outcome {
	const mend = "Compare begin_before_unix_ms with the clock before an Apply begins. If it has passed, end the call with the status ABORTED and do nothing."
	var planned [2]*pluginv1.PlanResult
	for i := range planned {
		res, err := t.plan(ctx, t.request(t.example.config), nil)
		if err != nil || hasError(res.GetDiagnostics()) {
			return skip("it cannot be planned: see the check plan")
		}
		planned[i] = res
		if i > 0 {
			break
		}
		op := t.operation(t.example.config, res, nil)
		op.BeginBeforeUnixMs = 1
		if res, err := t.apply(ctx, op, nil); err == nil && !hasError(res.GetDiagnostics()) {
			if made, _ := t.judgeResult(res, nil, t.example.config, cty.UnknownVal(t.outputType)); made != nil {
				t.remove(ctx, made)
			}
			return fail(mend, "an operation with a start limit in 1970 was carried out")
		}
	}
	if was, is := planned[0].GetAction(), planned[1].GetAction(); was != is {
		return fail(mend, "an operation with a start limit in 1970 had an effect: the plan was %s and is %s", actionName(was), actionName(is))
	}
	return pass()
}

// make plans and applies a configuration, and returns what state would keep; nil if it went wrong.
func (t *trial) make(ctx context.Context, chapter string, config cty.Value, prior *pluginv1.Record) *pluginv1.Record {
	r := t.request(config)
	r.Prior = prior
	planned, err := t.plan(ctx, r, nil)
	if err != nil {
		t.story[chapter] = fail("See the check plan.", "%v", err)
		return nil
	}
	if e := firstError(planned.GetDiagnostics()); e != "" {
		t.story[chapter] = fail("Give a configuration that works.", "it cannot be planned: %s", e)
		return nil
	}
	outputs, o := t.judge(planned, config)
	if o.status == Passed {
		o = judgeWords(planned)
	}
	t.claims = planned.GetClaims()
	switch {
	case o.status != Passed:
		t.story[chapter] = o
		return nil
	case planned.GetAction() == pluginv1.Action_ACTION_NONE && prior == nil:
		t.story[chapter] = fail("Plan ACTION_CREATE (ACTION_BUILD for a build, ACTION_ADOPT for an existing object) if the state has no record of the instance.", "the state has no record of the instance, but its plan is empty")
		return nil
	case planned.GetAction() == pluginv1.Action_ACTION_NONE:
		t.story[chapter] = fail("Compare the object with the new configuration.", "the configuration has changed, but the plan is empty")
		return nil
	case planned.GetAction() == pluginv1.Action_ACTION_DELETE:
		t.story[chapter] = fail("Plan ACTION_DELETE only when destroy is set.", "a deletion is planned without a request")
		return nil
	}
	res, err := t.apply(ctx, t.operation(config, planned, prior), nil)
	record, o := t.judgeResult(res, err, config, outputs)
	t.story[chapter] = o
	return record
}

func (t *trial) operation(config cty.Value, planned *pluginv1.PlanResult, prior *pluginv1.Record) *pluginv1.ApplyRequest {
	return &pluginv1.ApplyRequest{
		Operation: "op-" + t.address(), Address: t.address(), Kind: t.typ.GetKind(), Type: t.typ.GetName(), Action: planned.GetAction(),
		Config: t.encode(config, t.configType), Prior: prior, Planned: planned.GetOutputs(), PlannedPrivate: planned.GetPrivate(),
	}
}

func (t *trial) apply(ctx context.Context, r *pluginv1.ApplyRequest, on func(*pluginv1.ApplyResponse) error) (*pluginv1.ApplyResult, error) {
	c, err := t.rig.running(ctx)
	if err != nil {
		return nil, err
	}
	if on == nil {
		on = func(*pluginv1.ApplyResponse) error { return nil }
	}
	return c.Apply(ctx, r, on)
}

// judgeResult compares a result with what was planned. With a result there is a record, whatever is wrong with it.
func (t *trial) judgeResult(res *pluginv1.ApplyResult, err error, config, planned cty.Value) (*pluginv1.Record, outcome) {
	const mend = "Apply carries out the plan: its outputs are the planned ones, with known values for the unknown ones."
	if err != nil {
		return nil, fail("End the stream of an Apply with exactly one result.", "%v", err)
	}
	if e := firstError(res.GetDiagnostics()); e != "" {
		return nil, fail("Give a configuration that can be applied here.", "it cannot be applied: %s", e)
	}
	outputs, err := wire.Decode(res.GetOutputs(), t.outputType)
	switch {
	case err != nil:
		return nil, fail("Send outputs in exactly the types that Describe gives.", "the outputs cannot be read: %v", err)
	case outputs.IsNull():
		return nil, fail(mend, "the result has no outputs")
	}
	record := t.record(config, outputs, res.GetPrivate())
	t.told = t.unchanged(config, outputs, res.GetPrivate())
	if d := t.departs(planned, outputs); d != "" {
		return record, fail(mend, "%s", d)
	}
	return record, pass()
}

// departs says what of the result is not what was planned; empty if all of it is.
func (t *trial) departs(planned, outputs cty.Value) string {
	for n, got := range outputs.AsValueMap() {
		if !got.IsWhollyKnown() {
			return fmt.Sprintf("after apply, the output %q is still unknown", n)
		}
	}
	d := wire.Departs(planned, outputs)
	if d == nil {
		return ""
	}
	text := t.show(d.Output, d.Planned)
	if p := wire.Prefix(d.Planned); p != "" {
		text = fmt.Sprintf("a text that begins with %q", p)
	}
	return fmt.Sprintf("the output %q was planned as %s but is %s", d.Output, text, t.show(d.Output, d.Got))
}

// unchanged is what a host tells of a record while the configuration is the same: state does not hold the sensitive arguments, and the
// sensitive outputs that are one of them, but the host knows that they have not changed.
func (t *trial) unchanged(config, outputs cty.Value, private []byte) *pluginv1.Record {
	stripped := withoutSecrets(t.typ.GetConfig(), config)
	var secrets []cty.Value
	_ = cty.Walk(config, func(p cty.Path, v cty.Value) (bool, error) {
		kept, err := p.Apply(stripped)
		if err != nil || v.IsNull() || !kept.IsNull() {
			return err == nil && !kept.IsNull(), nil
		}
		secrets = append(secrets, v)
		return false, nil
	})
	values := withoutSecrets(t.typ.GetOutputs(), outputs).AsValueMap()
	for name, v := range outputs.AsValueMap() {
		if slices.ContainsFunc(secrets, v.RawEquals) {
			values[name] = v
		}
	}
	return &pluginv1.Record{Config: t.encode(config, t.configType), Outputs: t.encode(cty.ObjectVal(values), t.outputType), Private: private}
}

// record is what state would keep: sensitive attributes are null in it.
func (t *trial) record(config, outputs cty.Value, private []byte) *pluginv1.Record {
	return &pluginv1.Record{
		Config:  t.encode(withoutSecrets(t.typ.GetConfig(), config), t.configType),
		Outputs: t.encode(withoutSecrets(t.typ.GetOutputs(), outputs), t.outputType), Private: private,
	}
}

func withoutSecrets(b *pluginv1.Block, v cty.Value) cty.Value {
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	values := v.AsValueMap()
	for _, a := range b.GetAttributes() {
		if x, ok := values[a.GetName()]; ok && a.GetSensitive() {
			values[a.GetName()] = cty.NullVal(x.Type())
		}
	}
	for _, n := range b.GetBlocks() {
		x := values[n.GetName()]
		switch {
		case x == cty.NilVal || x.IsNull() || !x.IsKnown():
		case x.Type().IsListType() && x.LengthInt() > 0:
			list := x.AsValueSlice()
			for i := range list {
				list[i] = withoutSecrets(n.GetBlock(), list[i])
			}
			values[n.GetName()] = cty.ListVal(list)
		case x.Type().IsObjectType():
			values[n.GetName()] = withoutSecrets(n.GetBlock(), x)
		}
	}
	return cty.ObjectVal(values)
}

// empty plans what was just applied: there is nothing to do.
func (t *trial) empty(ctx context.Context, config cty.Value) outcome {
	r := t.request(config)
	r.Prior = t.told
	res, err := t.plan(ctx, r, nil)
	switch {
	case err != nil:
		return fail(mendEmpty, "%v", err)
	case hasError(res.GetDiagnostics()):
		return fail(mendEmpty, "planned again after its apply: %s", firstError(res.GetDiagnostics()))
	case res.GetAction() != pluginv1.Action_ACTION_NONE:
		why := ""
		if len(res.GetReasons()) > 0 {
			why = " (" + short(strings.Join(res.GetReasons(), "; ")) + ")"
		}
		return fail(mendEmpty, "planned again after its apply, the action is %s%s", actionName(res.GetAction()), why)
	}
	return judgeStable(t.claims, res.GetClaims())
}

// remove deletes the instance, and then once more: what is gone already is a success.
func (t *trial) remove(ctx context.Context, record *pluginv1.Record) {
	const mend = "With destroy set, plan ACTION_DELETE, or ACTION_FORGET if nothing is deleted. The deletion of an object that does not exist succeeds."
	o := pass()
	for _, again := range []string{"", "a second time, as after a crash, "} {
		r := &pluginv1.PlanRequest{Address: t.address(), Kind: t.typ.GetKind(), Type: t.typ.GetName(), Prior: record, Destroy: true}
		planned, err := t.plan(ctx, r, nil)
		switch {
		case err != nil:
			o = fail(mend, "%sits deletion cannot be planned: %v", again, err)
		case hasError(planned.GetDiagnostics()):
			o = fail(mend, "%sits deletion cannot be planned: %s", again, firstError(planned.GetDiagnostics()))
		case planned.GetAction() == pluginv1.Action_ACTION_FORGET: // nothing is deleted, so there is nothing to apply
			continue
		case planned.GetAction() != pluginv1.Action_ACTION_DELETE && (again == "" || planned.GetAction() != pluginv1.Action_ACTION_NONE):
			o = fail(mend, "%sits deletion is planned with the action %s", again, actionName(planned.GetAction()))
		}
		if o.status == Failed {
			break
		}
		op := t.operation(t.example.config, planned, record)
		op.Config, op.Action = nil, pluginv1.Action_ACTION_DELETE // the block is gone
		res, err := t.apply(ctx, op, nil)
		if err != nil {
			o = fail(mend, "%sit cannot be deleted: %v", again, err)
		} else if e := firstError(res.GetDiagnostics()); e != "" {
			o = fail(mend, "%sit cannot be deleted: %s", again, e)
		}
		if o.status == Failed {
			break
		}
	}
	t.story[chapterDestroy] = o
}
