package eval_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/eval"
)

// chosen is a policy whose build is still to come.
type chosen struct{}

func (chosen) Keys(addr.Node) ([]addr.Key, bool) { return nil, false }

func (chosen) Value(addr.Instance) cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"tag": cty.StringVal("1.0"), "ref": cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull("reg/api:1.0@").NewValue(),
		"digest": cty.UnknownVal(cty.String), "size": cty.UnknownVal(cty.Number), "secret": cty.UnknownVal(cty.String).Mark(eval.Sensitive),
	})
}

func (c chosen) Attribute(i addr.Instance, name string) (cty.Value, bool) {
	v := c.Value(i)
	if !v.Type().HasAttribute(name) {
		return cty.NilVal, false
	}
	return v.GetAttr(name), true
}

// The known pieces of a text that is put together of known and unknown values; | is an unknown piece.
func TestPartial(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"values.tmpl": "image: ${ref}\nreplicas: ${n}\n%{ for h in hosts ~}\n- ${h}\n%{ endfor ~}\n%{ if n > 1 }many: ${ref}%{ endif }",
		"plain.tmpl":  "${upper(ref)}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root := load(t, dir, `
policy "semver" "api" {}
locals {
  ref    = policy.semver.api.ref
  refs   = { api = policy.semver.api.ref }
  values = yamlencode({ image = { name = "x", ref = local.ref } })
}
module "m" {
  source = "./m"
  text   = "a ${local.ref} b"
}
`)
	root.Calls["m"].Module = load(t, dir, "variable \"text\" {\n type = string\n}\noutput \"o\" {\n value = \"<${var.text}>\"\n}")
	scope := eval.NewScope(root, nil, chosen{})
	scope.Expanded(root.Calls["m"], []eval.Each{{}})
	for text, want := range map[string]string{
		`yamlencode({ image = policy.semver.api.ref, replicas = 2 })`:                  "\"image\": \"reg/api:1.0@|\"\n\"replicas\": 2\n",
		`jsonencode({ a = [policy.semver.api.digest, 1], b = policy.semver.api.tag })`: `{"a":["|",1],"b":"1.0"}`,
		`local.values`:               "\"image\":\n  \"name\": \"x\"\n  \"ref\": \"reg/api:1.0@|\"\n",
		`"${local.values}more: 1\n"`: "\"image\":\n  \"name\": \"x\"\n  \"ref\": \"reg/api:1.0@|\"\nmore: 1\n",
		`"a: ${policy.semver.api.digest}, ${policy.semver.api.ref}!"`: "a: |, reg/api:1.0@|!",
		`true ? local.values : "x"`:                                   "\"image\":\n  \"name\": \"x\"\n  \"ref\": \"reg/api:1.0@|\"\n",
		`module.m.o`:                                                  "<a reg/api:1.0@| b>",
		`templatefile("values.tmpl", { ref = policy.semver.api.ref, n = 2, hosts = ["a", "b"] })`: "image: reg/api:1.0@|\nreplicas: 2\n- a\n- b\nmany: reg/api:1.0@|",
		`format("image: %s # %d", policy.semver.api.ref, 3)`:                                      "image: reg/api:1.0@| # 3",
		`indent(2, "a\n${yamlencode({ b = policy.semver.api.digest })}")`:                         "a\n  \"b\": \"|\"\n  ",
		`join(",", ["a", policy.semver.api.digest, "c"])`:                                         "a,|,c",
		`yamlencode({ inner = yamlencode({ a = policy.semver.api.ref }) })`:                       "\"inner\": \"|\"\n",

		`"a ${local.refs.api} b"`: "a reg/api:1.0@| b",
		`"%{ for i in [1, 2] }${i}: ${policy.semver.api.ref}, %{ endfor }"`: "1: reg/api:1.0@|, 2: reg/api:1.0@|, ",
		`join("\n", [local.values, "x: 1"])`:                                "\"image\":\n  \"name\": \"x\"\n  \"ref\": \"reg/api:1.0@|\"\n\nx: 1",

		// No more than the prefix, or nothing, is known of these.
		`policy.semver.api.ref`:                           "",
		`upper(local.values)`:                             "",
		`"${policy.semver.api.ref}"`:                      "",
		`yamlencode({ n = policy.semver.api.size })`:      "",
		`yamlencode({ s = policy.semver.api.secret })`:    "",
		`"a ${policy.semver.api.secret} b"`:               "",
		`format("%.3s|", policy.semver.api.ref)`:          "",
		`sha256(local.values)`:                            "",
		`templatefile("plain.tmpl", { ref = local.ref })`: "",
		`"known"`:                      "",
		`"a ${upper(local.values)} b"`: "",
		`"%{ for i in [policy.semver.api.ref] }${i} x%{ endfor }"`: "",
		`join("\n", [upper(local.values), "x: 1"])`:                "",
	} {
		x, diags := hclsyntax.ParseExpression([]byte(text), "x.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		got, ok := scope.Partial(x, eval.Each{})
		if ok != (want != "") || (ok && !slices.Equal(got, strings.Split(want, "|"))) {
			t.Errorf("%s\n got  %q\n want %q", text, strings.Join(got, "|"), want)
		}
	}
}
