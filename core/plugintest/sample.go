package plugintest

import (
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/eval"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// sampleBlock makes a configuration of a schema: a value for what is required, defaults, and nothing else. A schema that
// does not compile gives an empty object; the check "describe" says what is wrong with it.
func sampleBlock(b *pluginv1.Block) cty.Value {
	given := map[string]cty.Value{}
	for _, a := range b.GetAttributes() {
		if t, err := ctyjson.UnmarshalType(a.GetType()); err == nil && a.GetRequired() && a.GetDefault() == nil {
			given[a.GetName()] = ruled(a, sample(t.WithoutOptionalAttributesDeep()))
		}
	}
	for _, n := range b.GetBlocks() {
		if n.GetRequired() {
			given[n.GetName()] = sampleBlock(n.GetBlock())
		}
	}
	v, err := fill(b, cty.ObjectVal(given))
	if err != nil {
		return cty.EmptyObjectVal
	}
	return v
}

// sample makes a value of a type.
func sample(t cty.Type) cty.Value {
	switch {
	case t == cty.Number:
		return cty.NumberIntVal(1)
	case t == cty.Bool:
		return cty.True
	case t.IsListType():
		return cty.ListVal([]cty.Value{sample(t.ElementType())})
	case t.IsSetType():
		return cty.SetVal([]cty.Value{sample(t.ElementType())})
	case t.IsMapType():
		return cty.MapVal(map[string]cty.Value{"key": sample(t.ElementType())})
	case t.IsObjectType():
		attrs := map[string]cty.Value{}
		for n, at := range t.AttributeTypes() {
			attrs[n] = sample(at)
		}
		return cty.ObjectVal(attrs)
	}
	return cty.StringVal("example")
}

// ruled is a value that keeps the rules of its attribute, if that can be had without much thought.
func ruled(a *pluginv1.Attribute, v cty.Value) cty.Value {
	switch {
	case v.Type() == cty.String && len(a.GetEnum()) > 0:
		return cty.StringVal(a.GetEnum()[0])
	case v.Type() == cty.Number && a.Min != nil:
		return cty.NumberFloatVal(a.GetMin())
	}
	return v
}

// violations are configurations that each break a rule of the schema.
func violations(b *pluginv1.Block, config cty.Value) []cty.Value {
	var list []cty.Value
	for _, a := range b.GetAttributes() {
		t, err := ctyjson.UnmarshalType(a.GetType())
		if err != nil {
			continue
		}
		values := config.AsValueMap()
		switch {
		case t == cty.String && len(a.GetEnum()) > 0:
			values[a.GetName()] = cty.StringVal("none of them")
		case t == cty.Number && a.Min != nil:
			values[a.GetName()] = cty.NumberFloatVal(a.GetMin() - 1)
		case t == cty.Number && a.Max != nil:
			values[a.GetName()] = cty.NumberFloatVal(a.GetMax() + 1)
		default:
			continue
		}
		if _, ok := config.AsValueMap()[a.GetName()]; ok {
			list = append(list, cty.ObjectVal(values))
		}
	}
	return list
}

// alter changes one text or number of a configuration that was made of the schema; NilVal when there is none.
func alter(b *pluginv1.Block, config cty.Value) cty.Value {
	values := config.AsValueMap()
	for _, a := range b.GetAttributes() {
		v, ok := values[a.GetName()]
		if !ok || !a.GetRequired() || v.IsNull() {
			continue
		}
		switch v.Type() {
		case cty.String:
			values[a.GetName()] = cty.StringVal("another")
		case cty.Number:
			values[a.GetName()] = cty.NumberIntVal(2)
		default:
			continue
		}
		return cty.ObjectVal(values)
	}
	return cty.NilVal
}

// valueTypes returns the types of a type's configuration and outputs.
func valueTypes(t *pluginv1.Type) (config, outputs cty.Type, err error) {
	in, err := eval.CompileSchema(t.GetConfig())
	if err != nil {
		return cty.NilType, cty.NilType, err
	}
	out, err := eval.CompileSchema(t.GetOutputs())
	if err != nil {
		return cty.NilType, cty.NilType, err
	}
	return in.Type(), out.Type(), nil
}
