package deep_test

import (
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/deep"
)

func TestAgreesWithCty(t *testing.T) {
	secret := cty.StringVal("hunter2").Mark("sensitive")
	object := func(v cty.Value) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"a": cty.True, "b": v, "c": cty.NullVal(cty.String)})
	}
	for name, v := range map[string]cty.Value{
		"string":         secret,
		"object":         object(secret),
		"whole":          object(cty.True).Mark("sensitive"),
		"list":           cty.ListVal([]cty.Value{cty.StringVal("x"), secret}),
		"map":            cty.MapVal(map[string]cty.Value{"a": cty.StringVal("x"), "b": secret}),
		"set":            cty.SetVal([]cty.Value{cty.StringVal("x"), secret}),
		"tuple":          cty.TupleVal([]cty.Value{cty.True, object(object(secret))}),
		"unknown":        object(cty.UnknownVal(cty.List(cty.String)).Mark("sensitive")),
		"null":           object(cty.NullVal(cty.Map(cty.String)).Mark("sensitive")),
		"none":           object(cty.ListVal([]cty.Value{cty.StringVal("x")})),
		"empty":          cty.EmptyObjectVal,
		"no tuple":       cty.EmptyTupleVal,
		"dynamic":        cty.DynamicVal,
		"no value":       cty.NullVal(cty.DynamicPseudoType),
		"unknowns":       object(cty.UnknownVal(cty.Map(cty.String))),
		"marked unknown": object(cty.UnknownVal(cty.String)).Mark("sensitive"),
		"in a list":      cty.ListVal([]cty.Value{cty.StringVal("x"), cty.UnknownVal(cty.String)}),
		"null list":      object(cty.NullVal(cty.List(cty.String))),
	} {
		t.Run(name, func(t *testing.T) {
			if got := deep.Marked(v); got != v.ContainsMarked() {
				t.Errorf("there are marks: %v", got)
			}
			if got := deep.Known(v); got != v.IsWhollyKnown() {
				t.Errorf("it is known: %v", got)
			}
			if plain, _ := v.UnmarkDeep(); !deep.Unmarked(v).RawEquals(plain) {
				t.Errorf("without them it is %#v", deep.Unmarked(v))
			}
		})
	}
}
