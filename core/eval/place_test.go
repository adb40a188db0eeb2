package eval_test

import (
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/eval"
)

func TestPlace(t *testing.T) {
	const text = `labels = {
  app       = "x"
  "a b"     = [1, 2]
  (var.key) = "y"
}
of  = local.list
rule {
  one { deep = true }
}
rule {
  name = "b"
}
dynamic "made" {
  for_each = local.list
  content {
    name = made.value
  }
}
mixed {}
dynamic "mixed" {
  for_each = local.list
  content {}
}
`
	f, diags := hclsyntax.ParseConfig([]byte(text), "a.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	at, i := cty.GetAttrPath, cty.NumberIntVal
	cases := []struct {
		path   cty.Path
		want   string
		shared bool
	}{
		{nil, "", false},
		{at("of"), "of  = local.list", false},
		{at("of").Index(i(3)), "of  = local.list", false},
		{at("labels").IndexString("app"), `"x"`, false},
		{at("labels").IndexString("a b").Index(i(1)), "2", false},
		{at("labels").IndexString("a b").Index(i(2)), "[1, 2]", false},
		{at("rule").Index(i(0)).GetAttr("one").GetAttr("deep"), "deep = true", false},
		{at("rule").Index(i(1)).GetAttr("name"), `name = "b"`, false},
		{at("rule").Index(i(0)).GetAttr("name"), "rule", false},
		{at("rule").Index(i(2)).GetAttr("name"), "", false},
		{at("made").Index(i(7)).GetAttr("name"), "name = made.value", true},
		{at("made").Index(i(7)).GetAttr("old"), `dynamic "made"`, true},
		{at("mixed").Index(i(1)), `dynamic "mixed"`, true},
		{at("none"), "", false},
		{cty.IndexPath(i(-1)), "", false},
		{at("rule").Index(i(-1)), "rule", false},
	}
	for _, c := range cases {
		got, shared := eval.Place(f.Body, hcl.Range{}, c.path)
		if x := text[got.Start.Byte:got.End.Byte]; x != c.want || shared != c.shared {
			t.Errorf("%#v is at %q (%v), want %q", c.path, x, shared, c.want)
		}
	}
	// "labels" with a key that is made of something is at the whole of it.
	got, _ := eval.Place(f.Body, hcl.Range{}, at("labels").IndexString("y"))
	if got.Start.Line != 1 || got.End.Line != 5 {
		t.Errorf("a key that is not written out is at %s", got)
	}
}
