package wire_test

import (
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/sdk/wire"
)

// What was known in a plan is the same after its apply, and what was not can be anything that it could become.
func TestDeparts(t *testing.T) {
	text, prefix := cty.StringVal, cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull("sha256:").NewValue()
	list := func(v ...cty.Value) cty.Value { return cty.ListVal(v) }
	object := func(v cty.Value) cty.Value { return cty.ObjectVal(map[string]cty.Value{"x": v}) }
	for name, c := range map[string]struct {
		planned, got cty.Value
		departs      bool
	}{
		"the same":              {text("a"), text("a"), false},
		"another":               {text("a"), text("b"), true},
		"null for a value":      {text("a"), cty.NullVal(cty.String), true},
		"a value for null":      {cty.NullVal(cty.String), text("a"), true},
		"unknown":               {cty.UnknownVal(cty.String), text("a"), false},
		"unknown becomes null":  {cty.UnknownVal(cty.String), cty.NullVal(cty.String), false},
		"prefix":                {prefix, text("sha256:1"), false},
		"another prefix":        {prefix, text("sha512:1"), true},
		"null for a prefix":     {prefix, cty.NullVal(cty.String), true},
		"unknown element":       {list(text("a"), cty.UnknownVal(cty.String)), list(text("a"), text("b")), false},
		"known element":         {list(text("a"), cty.UnknownVal(cty.String)), list(text("b"), text("b")), true},
		"more elements":         {list(cty.UnknownVal(cty.String)), list(text("a"), text("b")), true},
		"in an object":          {object(prefix), object(text("sha512:1")), true},
		"what an object can be": {object(prefix), object(text("sha256:1")), false},
	} {
		d := wire.Departs(object(c.planned), object(c.got))
		if (d != nil) != c.departs {
			t.Errorf("%s: departs is %v", name, d)
		}
		if d != nil && d.Output != "x" {
			t.Errorf("%s: the output is called %q", name, d.Output)
		}
	}
}
