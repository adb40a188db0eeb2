package plugintest

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

// planted is what sensitive arguments get that the example leaves empty.
const planted = "planted-Secret/8c1f+2d"

// leastSecret is how many bytes a secret needs to be found without finding it everywhere.
const leastSecret = 6

// secrets plants a secret in each sensitive argument and looks for it in all that the plugin says.
func (t *trial) secrets(ctx context.Context) outcome {
	const mend = "Keep sensitive arguments out of logs, errors, items, reasons, private bytes and outputs that are not sensitive. Errors of libraries may contain URLs with passwords."
	values := t.example.config.AsValueMap()
	needles := plant(t.typ.GetConfig(), values)
	if len(needles) == 0 {
		return skip("the type has no sensitive string argument")
	}
	s := &search{needles: needles, typ: t.typ, outputs: t.outputType}
	before := len(t.rig.lines(&t.rig.output))
	config := cty.ObjectVal(values)
	if err := t.tempt(ctx, s, config); err != nil {
		s.text("an error", err.Error())
	}
	t.rig.close() // what it has printed has arrived then
	for _, line := range t.rig.lines(&t.rig.output)[before:] {
		s.text("its standard error or output", line)
	}
	if s.found != "" {
		return fail(mend, "%s", s.found)
	}
	return pass()
}

// tempt validates, plans, applies and deletes with the secrets, whatever comes of it.
func (t *trial) tempt(ctx context.Context, s *search, config cty.Value) error {
	c, err := t.rig.running(ctx)
	if err != nil {
		return err
	}
	v, err := c.Validate(ctx, &pluginv1.ValidateRequest{Kind: t.typ.GetKind(), Type: t.typ.GetName(), Config: t.encode(config, t.configType)})
	if err != nil {
		return err
	}
	s.message("the answer of Validate", v, nil)
	if !t.isPlanned() {
		n, err := t.notify(ctx, config, event("secrets", "applied"))
		if err == nil {
			s.message("the answer of Notify", n, nil)
		}
		return err
	}
	res, err := t.plan(ctx, t.request(config), func(l *pluginv1.Log) { s.text("a log line of Plan", l.GetLine()) })
	if err != nil {
		return err
	}
	s.message("the plan", res, res.GetOutputs())
	s.bytes("the plan's private bytes", res.GetPrivate())
	if !t.managed() || hasError(res.GetDiagnostics()) || t.cannot != "" || res.GetAction() == pluginv1.Action_ACTION_NONE {
		return nil
	}
	made, err := t.apply(ctx, t.operation(config, res, nil), func(m *pluginv1.ApplyResponse) error {
		s.message("a progress message of Apply", m, nil)
		s.message("a checkpoint", &pluginv1.ApplyResponse{}, m.GetCheckpoint().GetOutputs())
		s.bytes("a checkpoint's private bytes", m.GetCheckpoint().GetPrivate())
		return nil
	})
	if err != nil {
		return err
	}
	s.message("the result", made, made.GetOutputs())
	s.bytes("the result's private bytes", made.GetPrivate())
	if made.GetOutputs() != nil {
		outputs, err := wire.Decode(made.GetOutputs(), t.outputType)
		if err == nil && !outputs.IsNull() && outputs.IsWhollyKnown() {
			t.clean(ctx, t.record(config, outputs, made.GetPrivate()))
		}
	}
	return nil
}

// plant fills sensitive texts that are empty, and returns all secrets.
func plant(b *pluginv1.Block, values map[string]cty.Value) []string {
	var needles []string
	for _, a := range b.GetAttributes() {
		v, ok := values[a.GetName()]
		if !a.GetSensitive() || !ok {
			continue
		}
		switch {
		case v.Type() == cty.String && v.IsNull():
			values[a.GetName()] = cty.StringVal(planted)
			needles = append(needles, planted)
		case v.Type().IsMapType() && v.Type().ElementType() == cty.String && v.IsNull():
			values[a.GetName()] = cty.MapVal(map[string]cty.Value{"key": cty.StringVal(planted)})
			needles = append(needles, planted)
		default:
			needles = append(needles, textsIn(v)...)
		}
	}
	for _, n := range b.GetBlocks() {
		v, ok := values[n.GetName()]
		switch {
		case !ok || v.IsNull():
		case v.Type().IsObjectType():
			inner := v.AsValueMap()
			needles = append(needles, plant(n.GetBlock(), inner)...)
			values[n.GetName()] = cty.ObjectVal(inner)
		case v.LengthInt() > 0:
			list := v.AsValueSlice()
			for i := range list {
				inner := list[i].AsValueMap()
				needles = append(needles, plant(n.GetBlock(), inner)...)
				list[i] = cty.ObjectVal(inner)
			}
			values[n.GetName()] = cty.ListVal(list)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(needles)))
}

func textsIn(v cty.Value) []string {
	var list []string
	_ = cty.Walk(v, func(_ cty.Path, x cty.Value) (bool, error) {
		if x.Type() == cty.String && x.IsKnown() && !x.IsNull() && len(x.AsString()) >= leastSecret {
			list = append(list, x.AsString())
		}
		return true, nil
	})
	return list
}

// search looks for secrets, as they are and in the encodings in which they usually travel.
type search struct {
	needles []string
	typ     *pluginv1.Type
	outputs cty.Type
	found   string
}

func (s *search) text(where, text string) {
	for _, n := range s.needles {
		quoted := strings.Trim(fmt.Sprintf("%q", n), `"`)
		encoded := strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(n)), "=")
		for _, form := range [][2]string{{"", n}, {" in quotes", quoted}, {" as base64", encoded[:len(encoded)-1]}, {" in an address", url.QueryEscape(n)}} {
			if s.found == "" && strings.Contains(text, form[1]) {
				s.found = fmt.Sprintf("a sensitive argument occurs%s in %s", form[0], where)
			}
		}
	}
}

func (s *search) bytes(where string, b []byte) { s.text(where, string(b)) }

// message looks through the texts of a message, and through its outputs but for those that are sensitive.
func (s *search) message(where string, m proto.Message, outputs *pluginv1.Value) {
	clean := proto.Clone(m)
	switch m := clean.(type) {
	case *pluginv1.PlanResult:
		m.Outputs, m.Private = nil, nil
	case *pluginv1.ApplyResult:
		m.Outputs, m.Private = nil, nil
	case *pluginv1.ApplyResponse:
		if m.GetCheckpoint() != nil {
			m.Body = nil
		}
	}
	if text, err := (protojson.MarshalOptions{}).Marshal(clean); err == nil {
		s.text(where, string(text))
	}
	if outputs == nil {
		return
	}
	v, err := wire.Decode(outputs, s.outputs)
	if err != nil || v.IsNull() {
		return
	}
	for name, x := range withoutSecrets(s.typ.GetOutputs(), v).AsValueMap() {
		if x.IsWhollyKnown() {
			if text, err := ctyjson.Marshal(x, x.Type()); err == nil {
				s.text(fmt.Sprintf("the output %q of %s, which is not sensitive", name, where), string(text))
			}
		}
	}
}
