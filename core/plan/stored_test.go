package plan_test

import (
	"encoding/json"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/plan"
)

func TestStored(t *testing.T) {
	object := func(a, b cty.Value) cty.Value { return cty.ObjectVal(map[string]cty.Value{"a": a, "b": b}) }
	text := cty.StringVal(`},"unknown":["a"]`)
	typed, err := plan.NewTyped(object(text, text).Type())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		value cty.Value
		want  string // empty: it has to be decoded
	}{
		"known":        {object(text, cty.NullVal(cty.String)), `{"a":"},\"unknown\":[\"a\"]","b":null}`},
		"unknown":      {object(text, cty.UnknownVal(cty.String)), ""},
		"sensitive":    {object(text, text.Mark("sensitive")), ""},
		"another type": {object(text, cty.True), ""},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := plan.NewValue(test.value)
			if err != nil {
				t.Fatal(err)
			}
			b, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := typed.Stored(b)
			if ok != (test.want != "") || ok && string(got) != test.want {
				t.Errorf("of %s came %s, %v", b, got, ok)
			}
		})
	}
	for _, b := range []string{"", "{}", `{"type":["object",{"a":"string","b":"string"}],"value":`, `{"type":["object",{"a":"string","b":"string"}],"value":1`} {
		if got, ok := typed.Stored([]byte(b)); ok {
			t.Errorf("of %s came %s", b, got)
		}
	}
}
