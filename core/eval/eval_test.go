package eval_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/functions"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

func parse(t *testing.T, text string) hcl.Expression {
	t.Helper()
	e, diags := hclsyntax.ParseExpression([]byte(text), "x", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return e
}

func TestReferences(t *testing.T) {
	for text, want := range map[string]string{
		`source.git.a.commit`:                                "source.git.a",
		`source.git.a`:                                       "source.git.a",
		`source.git.a["k"].commit`:                           "source.git.a[]",
		`source.git.a[each.key].commit`:                      "source.git.a[] each",
		`source.git.a[var.k]["x"]`:                           "source.git.a[] var.k",
		`source.git.a[build.oci.b.tag].commit`:               "source.git.a[] build.oci.b",
		`source.git.a[*].commit`:                             "source.git.a",
		`[for s in source.git.a : s.commit]`:                 "source.git.a",
		`[for source in local.x : source.git.a]`:             "local.x",
		`{ for k, v in var.m : k => image.registry.i.tags }`: "image.registry.i var.m",
		`"${var.x}-${local.y}"`:                              "local.y var.x",
		`each.value + count.index`:                           "count each",
		`{ for each in [1] : each => self.name }`:            "self",
		`path.stack`:                                         "",
		`sorce.git.a`:                                        "bad:sorce",
		`source.git`:                                         "bad:source",
		`max(policy.semver.p.tag, 1)`:                        "policy.semver.p",
	} {
		var got []string
		for _, r := range eval.References(parse(t, text)) {
			switch {
			case r.Bad != "":
				got = append(got, "bad:"+r.Bad)
			case r.Var != "":
				got = append(got, "var."+r.Var)
			case r.Local != "":
				got = append(got, "local."+r.Local)
			case r.Instance != "":
				got = append(got, r.Instance)
			case r.Key != nil:
				got = append(got, r.Node.String()+"[]")
			default:
				got = append(got, r.Node.String())
			}
		}
		slices.Sort(got)
		wanted := strings.Fields(want)
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Errorf("%s refers to %v, want %v", text, got, wanted)
		}
	}
}

func evaluate(t *testing.T, dir, text string) (cty.Value, hcl.Diagnostics) {
	t.Helper()
	return parse(t, text).Value(&hcl.EvalContext{Functions: functions.All(functions.Folders{Module: dir})})
}

func TestFunctions(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f.txt"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`slug("Feature/My Branch_1!")`:             "feature-my-branch-1",
		`slug("` + strings.Repeat("a-", 40) + `")`: strings.TrimRight(strings.Repeat("a-", 40)[:63], "-"),
		`file("f.txt")`:                            "hello",
		`filesha256("./f.txt")`:                    "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
		`sha256("hello")`:                          "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
		`base64decode(base64encode("x"))`:          "x",
		`try(jsondecode("{"), "fallback")`:         "fallback",
		`yamldecode("a: {b: c}").a.b`:              "c",
		`tostring(1) == "1" ? "same" : "other"`:    "same",
		`startswith("abc", "ab") ? "yes" : "no"`:   "yes",
		`join(",", sort(toset(["b", "a"])))`:       "a,b",
		`format("%s-%03d", "v", 7)`:                "v-007",
		`nonsensitive(sensitive("x"))`:             "x",
	} {
		v, diags := evaluate(t, dir, text)
		if diags.HasErrors() || v.Type() != cty.String || v.AsString() != want {
			t.Errorf("%s is %#v (%v), want %q", text, v, diags, want)
		}
	}
	if v, _ := evaluate(t, dir, `upper(sensitive("x"))`); !v.IsMarked() {
		t.Error("a function washed a sensitive value")
	}
}

// Files are read inside of the stack's folder only.
func TestFilesStayInTheStack(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{outside, "../" + filepath.Base(filepath.Dir(outside)) + "/secret", "link", "/etc/hostname", "a/../../secret"} {
		if v, diags := evaluate(t, dir, fmt.Sprintf("file(%q)", name)); !diags.HasErrors() {
			t.Errorf("file(%q) is %#v", name, v)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "inside"), []byte("i"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"inside", "./inside", filepath.Join(dir, "inside"), dir + "/a/../inside"} {
		if v, diags := evaluate(t, dir, fmt.Sprintf("file(%q)", name)); diags.HasErrors() || v.AsString() != "i" {
			t.Errorf("file(%q) is %#v, %v", name, v, diags)
		}
	}
}

func TestVariables(t *testing.T) {
	const stack = `
variable "s" { type = string }
variable "n" {
  type    = number
  default = 1
}
variable "o" {
  type = object({ a = string, b = optional(number, 7) })
  default = { a = "x" }
}
variable "secret" {
  type      = map(string)
  default   = {}
  sensitive = true
}
`
	s, diags := config.Parse("/stack", map[string][]byte{"davit.hcl": []byte(stack)})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	text := func(name, value string) eval.Given { return eval.Given{Name: name, Text: &value, From: "-var"} }
	values, diags := eval.Variables(s.Module, []eval.Given{text("s", "1"), text("s", "2"), text("n", "3")}, nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	if values["s"].AsString() != "2" || !values["n"].RawEquals(cty.NumberIntVal(3)) || !values["secret"].IsMarked() ||
		!values["o"].GetAttr("b").RawEquals(cty.NumberIntVal(7)) {
		t.Errorf("%#v", values)
	}
	for _, c := range []struct {
		given []eval.Given
		want  string
	}{
		{nil, `Variable "s" has no default`},
		{[]eval.Given{text("s", "x"), text("n", "y")}, `Variable "n" must be a number, not a string. The value comes from -var`},
		{[]eval.Given{text("s", "x"), text("S", "y")}, `Did you mean "s"`},
		{[]eval.Given{text("s", "x"), text("secret", `{ hunter2`)}, `value from -var cannot be read as one. Write`},
	} {
		_, diags := eval.Variables(s.Module, c.given, nil)
		if !diags.HasErrors() || !strings.Contains(fmt.Sprint(diags.Errs()), c.want) || strings.Contains(fmt.Sprint(diags.Errs()), "hunter2") {
			t.Errorf("%v: %v", c.want, diags)
		}
	}
}

// Whatever bytes a plugin sends for a value, there is a value or an error.
func FuzzDecodeValue(f *testing.F) {
	f.Add([]byte{0x81, 0xa1, 'a', 0xa1, 'b'})
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0xd4, 0x00, 0x00})
	types := []cty.Type{cty.String, cty.List(cty.String), cty.Object(map[string]cty.Type{"a": cty.String, "b": cty.Map(cty.Number)}), cty.DynamicPseudoType}
	f.Fuzz(func(_ *testing.T, b []byte) {
		for _, ty := range types {
			_, _ = eval.DecodeValue(&pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: b}}, ty)
		}
	})
}
