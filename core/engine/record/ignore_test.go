package record_test

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/record"
)

// TestWithOld: a path of ignore_changes leads through attributes, keys of maps and indexes of lists.
func TestWithOld(t *testing.T) {
	text := func(s string) cty.Value { return cty.StringVal(s) }
	block := func(a, b string) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"a": text(a), "b": text(b)})
	}
	for _, tt := range []struct {
		path          string
		now, old, out cty.Value
	}{
		{"x[0].a", cty.ListVal([]cty.Value{block("new", "new")}), cty.ListVal([]cty.Value{block("old", "old")}), cty.ListVal([]cty.Value{block("old", "new")})},
		{"x[1]", cty.ListVal([]cty.Value{text("1"), text("2")}), cty.ListVal([]cty.Value{text("3"), text("4")}), cty.ListVal([]cty.Value{text("1"), text("4")})},
		{"x[1]", cty.ListVal([]cty.Value{text("1"), text("2")}), cty.ListVal([]cty.Value{text("3")}), cty.ListVal([]cty.Value{text("1"), text("2")})},
		{"x[7]", cty.TupleVal([]cty.Value{text("1")}), cty.TupleVal([]cty.Value{text("2")}), cty.TupleVal([]cty.Value{text("1")})},
		{`x["k"]`, cty.MapVal(map[string]cty.Value{"k": text("new")}), cty.MapVal(map[string]cty.Value{"k": text("old")}), cty.MapVal(map[string]cty.Value{"k": text("old")})},
	} {
		path, diags := hclsyntax.ParseTraversalAbs([]byte(tt.path), "", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		got, err := record.WithOld(tt.now, tt.old, path[1:])
		if err != nil || !got.RawEquals(tt.out) {
			t.Errorf("%s: %#v, %v, want %#v", tt.path, got, err, tt.out)
		}
	}
}
