package eval

import (
	"testing"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

func TestMismatch(t *testing.T) {
	for _, c := range []struct {
		want cty.Type
		got  cty.Value
		text string
	}{
		{cty.String, cty.EmptyTupleVal, "a string, not a tuple"},
		{cty.Number, cty.StringVal("5x"), "a number, not a string"},
		{cty.Bool, cty.StringVal("True"), `a bool, not a string: to convert from string, use lowercase "true"`},
		{cty.List(cty.String), cty.EmptyObjectVal, "a list of string, not an object"},
		{cty.List(cty.String), cty.TupleVal([]cty.Value{cty.StringVal("a"), cty.EmptyObjectVal}), "a list of string: element 1 must be a string, not an object"},
		{cty.Map(cty.Number), cty.ObjectVal(map[string]cty.Value{"a": cty.StringVal("x")}), `a map of number: ["a"] must be a number`},
	} {
		_, err := convert.Convert(c.got, c.want)
		if err == nil {
			t.Fatalf("%#v can be converted to %#v", c.got, c.want)
		}
		if text := mismatch(c.want, c.got, err); text != c.text {
			t.Errorf("got %q, want %q (%v)", text, c.text, err)
		}
	}
}
