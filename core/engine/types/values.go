package types

import (
	"bytes"
	"encoding/json"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// Encode is a value in the form of a record: sensitive parts are left out.
func Encode(v cty.Value) (json.RawMessage, error) {
	pv, err := plan.NewValue(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(pv)
}

// RecordedConfig are the arguments that a record was made with, null if it has none.
func RecordedConfig(rec *state.Record, t *Type) cty.Value {
	if v := PlanValue(rec.Config); v != nil {
		if c, err := t.storedConfig.Cty(v); err == nil {
			return Fit(c, t.ConfigType)
		}
	}
	return cty.NullVal(t.ConfigType)
}

// HideSensitive are recorded outputs in which nothing is known of what is sensitive.
func HideSensitive(outputs cty.Value, t *Type) cty.Value {
	if len(t.Sensitive) == 0 {
		return outputs
	}
	attrs := outputs.AsValueMap()
	for _, name := range t.Sensitive {
		attrs[name] = cty.UnknownVal(attrs[name].Type()).Mark(eval.Sensitive)
	}
	return cty.ObjectVal(attrs)
}

// CompactJSON returns JSON without white space, and what is not JSON as it is.
func CompactJSON(b json.RawMessage) []byte {
	var out bytes.Buffer
	if json.Compact(&out, b) != nil {
		return b
	}
	return out.Bytes()
}

// Whole returns outputs that were written down, if nothing of them was unknown or left out.
func Whole(v *plan.Value, t *Type) (cty.Value, bool) {
	if v == nil || v.Value == nil || !v.IsKnown() || len(v.Sensitive) > 0 {
		return cty.NilVal, false
	}
	c, err := v.Cty()
	if err != nil {
		return cty.NilVal, false
	}
	return Fit(c, t.OutputType), true
}

// RecordedOutputs are the outputs that a record has; of one that has none, nothing is known.
func RecordedOutputs(rec *state.Record, t *Type) (cty.Value, error) {
	outputs, err := Decode(rec.Outputs)
	if err != nil || outputs == cty.NilVal {
		return t.UnknownOutputs(), err
	}
	return Fit(outputs, t.OutputType), nil
}

// MarkSensitive marks the outputs that a type calls sensitive.
func MarkSensitive(v cty.Value, sensitive []string) cty.Value {
	if len(sensitive) == 0 {
		return v
	}
	attrs := v.AsValueMap()
	for _, name := range sensitive {
		attrs[name] = eval.MarkSensitive(attrs[name])
	}
	return cty.ObjectVal(attrs)
}

// Prior returns a record as its plugin gets it. Sensitive values are null.
func Prior(rec *state.Record, t *Type) (*pluginv1.Record, error) {
	out := &pluginv1.Record{Private: rec.Private}
	var err error
	if out.Config, err = priorValue(rec.Config, t.ConfigType, t.storedConfig); err != nil {
		return nil, err
	}
	out.Outputs, err = priorValue(rec.Outputs, t.OutputType, t.StoredOutputs)
	return out, err
}

// priorValue is a stored value as its plugin wants it. One whose type has not changed need not be decoded.
func priorValue(raw json.RawMessage, want cty.Type, stored *plan.Typed) (*pluginv1.Value, error) {
	if value, ok := stored.Stored(raw); ok {
		return eval.EncodeJSON(value, want)
	}
	c, err := Decode(raw)
	if err != nil {
		return nil, err
	}
	return eval.EncodeValue(Fit(c, want))
}

// PlanValue is a value of a record in the form of a plan, nil if there is none.
func PlanValue(b json.RawMessage) *plan.Value {
	var v plan.Value
	if len(b) == 0 || json.Unmarshal(b, &v) != nil {
		return nil
	}
	return &v
}

// Decode reads a value of a record. Nothing stored is NilVal.
func Decode(b json.RawMessage) (cty.Value, error) {
	if len(b) == 0 {
		return cty.NilVal, nil
	}
	var v plan.Value
	if err := json.Unmarshal(b, &v); err != nil {
		return cty.NilVal, err
	}
	return v.Cty()
}

// Fit makes a stored value one of a type that may have changed since: attributes that are gone are
// dropped, new ones and those of another type are null.
func Fit(v cty.Value, t cty.Type) cty.Value {
	if v == cty.NilVal || v.IsNull() || !v.Type().IsObjectType() || !t.IsObjectType() {
		return cty.NullVal(t)
	}
	if v.Type().Equals(t) {
		return v
	}
	attrs := map[string]cty.Value{}
	for name, want := range t.AttributeTypes() {
		attrs[name] = cty.NullVal(want)
		if v.Type().HasAttribute(name) {
			if got, err := convert.Convert(v.GetAttr(name), want); err == nil {
				attrs[name] = got
			}
		}
	}
	return cty.ObjectVal(attrs)
}
