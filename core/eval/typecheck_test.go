package eval_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/functions"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

func load(t *testing.T, dir, text string) *config.Module {
	t.Helper()
	s, diags := config.Parse(dir, map[string][]byte{"davit.hcl": []byte(text)})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return s.Module
}

func gitType(n addr.Node) cty.Type {
	if n.Type != "git" {
		return cty.DynamicPseudoType
	}
	return cty.Object(map[string]cty.Type{"commit": cty.String, "commit_count": cty.Number, "tree": cty.Object(map[string]cty.Type{"path": cty.String})})
}

const blocks = `
variable "list" { type = list(string) }
variable "any" {}
source "git" "one" {}
source "git" "keyed" { for_each = toset(["a"]) }
source "git" "counted" { count = 2 }
`

// What is wrong whatever the values are is found, also where nobody uses it.
func TestTypeCheckFindsMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`locals { unused = nope() }`:                                                                       "Call to unknown function",
		`locals { unused = upper([]) }`:                                                                    "Invalid function argument",
		`locals { unused = upper("a", "b") }`:                                                              "Too many function arguments",
		`locals { unused = [1, 2][5] }`:                                                                    "Invalid index",
		`locals { unused = { a = 1 }.b }`:                                                                  "Unsupported attribute",
		`locals { unused = file("missing.txt") }`:                                                          "no such file",
		`locals { unused = 1 + "x" }`:                                                                      "Invalid operand",
		`output "o" { value = source.git.one.commit.short }`:                                               "Unsupported attribute",
		`output "o" { value = source.git.one.tree.digest }`:                                                "Unsupported attribute",
		`output "o" { value = source.git.keyed["a"].tree.digest }`:                                         "Unsupported attribute",
		`output "o" { value = source.git.counted[0].commit + var.list }`:                                   "Invalid operand",
		`output "o" { value = length(source.git.one.commit_count) }`:                                       "have a length",
		"output \"o\" {\n value = 1\n precondition {\n condition = var.list\n error_message = \"x\"\n}\n}": "The condition must be true or false, not a value of type list of string.",
		"check \"c\" {\n assert {\n condition = source.git.one.tree\n error_message = \"x\"\n}\n}":         "The condition must be true or false",
		"check \"c\" {\n assert {\n condition = \"yes\"\n error_message = \"x\"\n}\n}":                     "The condition must be true or false, not a string.",
		"source \"git\" \"x\" {\n lifecycle {\n postcondition {\n condition = self.commit_count\n error_message = \"x\"\n}\n}\n}": "not a value of type number",
		"build \"oci\" \"x\" {\n lifecycle { replace_triggered_by = [upper(var.list)] }\n}":                                       "Invalid function argument",
		`source "git" "x" { for_each = var.list }`:                                                                                "for_each must be a map or a set of strings, not list of string",
		`source "git" "x" { count = var.list }`:                                                                                   "count must be a number",
	} {
		diags := eval.TypeCheck(load(t, t.TempDir(), blocks+text), gitType, nil, nil)
		if len(diags) != 1 || !strings.Contains(diags.Error(), want) {
			t.Errorf("%s\n got  %v\n want %s", text, diags, want)
		}
	}
}

// What may be right is not reported.
func TestTypeCheckAcceptsWhatMayBeRight(t *testing.T) {
	const text = blocks + `
source "file" "other" {}
locals {
  used_twice = try(jsondecode("{"), {})
  commits    = [for s in source.git.keyed : s.commit]
  by_key     = { for k, s in source.git.keyed : k => s.commit_count + 1 }
  counted    = source.git.counted[*].commit
  any        = var.any.x.y[0] + 1
  first      = var.list[0]
  unknown    = source.file.other.whatever["x"]
  one        = one(source.git.counted[*].commit)
  merged     = merge(source.git.one, { more = 1 }).more
  whole      = source.git.one
  keys       = keys(source.git.keyed)
}
output "number" {
  value = local.merged
  precondition {
    condition     = "true"
    error_message = "${var.any} is wrong"
  }
}
check "c" {
  assert {
    condition     = source.git.one.commit != "" && length(local.commits) > 1
    error_message = "no"
  }
}
source "git" "x" {
  for_each = local.by_key
  lifecycle {
    postcondition {
      condition     = self.commit_count > each.value
      error_message = each.key
    }
  }
}
`
	if diags := eval.TypeCheck(load(t, t.TempDir(), text), gitType, nil, nil); len(diags) > 0 {
		t.Error(diags.Errs())
	}
}

// The arguments and outputs of modules are checked with the types that the call gives them.
func TestTypeCheckOfModules(t *testing.T) {
	root := load(t, t.TempDir(), blocks+`
module "inner" {
  source = "./inner"
  names  = source.git.one.commit_count
}
output "o" { value = module.inner.first.x }
`)
	root.Calls["inner"].Module = load(t, t.TempDir(), `
variable "names" { type = list(string) }
variable "n" { default = 1 }
output "first" { value = "a" }
output "unused" { value = var.n.x }
`)
	diags := eval.TypeCheck(root, gitType, nil, nil)
	got := fmt.Sprint(diags.Errs())
	for _, want := range []string{`Variable "names" must be a list of string`, "davit.hcl:5,32-34: Unsupported attribute", "davit.hcl:12,40-42: Unsupported attribute"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
	if len(diags) != 3 {
		t.Error(got)
	}
}

// Errors in a for expression name the element: over files, the file.
func TestErrorsInForExpressionsNameTheElement(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"good.yaml": "a: 1", "bad.yaml": "a: b: c"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m := load(t, dir, `locals {
  files  = { for f in fileset(".", "*.yaml") : trimsuffix(f, ".yaml") => file(f) }
  parsed = { for key, text in local.files : key => yamldecode(text) }
  direct = [for f in fileset(".", "*.yaml") : yamldecode(file(f))]
  nested = [for a in [1, 2] : [for b in ["x", "3"] : a + b]]
}`)
	got := fmt.Sprint(eval.TypeCheck(m, gitType, nil, nil).Errs())
	for _, want := range []string{`This is where key = "bad" and text = "a: b: c".`, `This is where f = "bad.yaml".`, `This is where a = 1 and b = "x".`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in %s", want, got)
		}
	}
}

// No function repeats a sensitive argument in its error.
func TestErrorsOfFunctionsShowNoSecrets(t *testing.T) {
	const secret = "hunter2: {[hunter2%"
	vars := map[string]cty.Value{"secret": cty.StringVal(secret).Mark(eval.Sensitive)}
	scope := eval.NewScope(load(t, t.TempDir(), "variable \"secret\" {\n  default = \"\"\n}"), vars, nil)
	failed := 0
	for name, f := range functions.All(functions.Folders{Module: t.TempDir()}) {
		params := len(f.Params())
		if f.VarParam() != nil {
			params++
		}
		for i := range params {
			args := make([]string, params)
			for j := range args {
				args[j] = `"x"`
			}
			args[i] = "var.secret"
			x, diags := hclsyntax.ParseExpression([]byte(name+"("+strings.Join(args, ", ")+")"), "x.hcl", hcl.InitialPos)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			_, diags = scope.Value(x, eval.Each{})
			if diags.HasErrors() {
				failed++
			}
			if text := fmt.Sprint(diags.Errs()); strings.Contains(text, "hunter2") {
				t.Errorf("%s", text)
			}
		}
	}
	if failed < 30 {
		t.Errorf("only %d calls failed: the test tests little", failed)
	}
}

// Validations use other variables and locals, but no block.
func TestValidationsReferToLocalsAndOtherVariables(t *testing.T) {
	const text = `
variable "env" {
  default = "prod"
  validation {
    condition     = contains(local.allowed, var.env) && length(var.env) < var.most
    error_message = "${var.env} is not one of ${join(", ", local.allowed)}"
  }
}
variable "most" {
  default = 5
  validation {
    condition     = var.most > length(var.env) - 10
    error_message = "too few"
  }
}
locals { allowed = ["dev", "prod", var.extra] }
variable "extra" { default = "x" }
`
	given := func(name, value string) eval.Given { return eval.Given{Name: name, Text: &value, From: "-var"} }
	m := load(t, "/stack", text)
	if _, diags := eval.Variables(m, nil, nil); diags.HasErrors() {
		t.Error(diags)
	}
	if _, diags := eval.Variables(m, []eval.Given{given("env", "test"), given("extra", "test")}, nil); diags.HasErrors() {
		t.Error(diags)
	}
	_, diags := eval.Variables(m, []eval.Given{given("env", "other")}, nil)
	if !strings.Contains(diags.Error(), "other is not one of dev, prod, x") {
		t.Error(diags)
	}

	// The same in a module, where variables are evaluated when they are needed.
	root := load(t, "/stack", "module \"m\" {\n source = \"./m\"\n env = \"nope\"\n}\noutput \"o\" { value = module.m.env }")
	root.Calls["m"].Module = load(t, "/stack/m", text+`output "env" { value = var.env }`)
	if diags := eval.TypeCheck(root, gitType, nil, nil); len(diags) != 1 || !strings.Contains(diags.Error(), "nope is not one of dev, prod, x") {
		t.Error(diags)
	}

	_, diags = eval.Variables(load(t, "/stack", `
source "git" "a" {}
locals { commit = source.git.a.commit }
variable "v" {
  default = "x"
  validation {
    condition     = var.v == local.commit
    error_message = "no"
  }
}`), nil, nil)
	if !strings.Contains(diags.Error(), `The validations of variable "v" need source.git.a.`) {
		t.Error(diags)
	}
}

// A stopped run ends an evaluation, and no try hides that.
func TestAStoppedEvaluationIsAnError(t *testing.T) {
	m := load(t, "/stack", `locals { huge = try([for a in range(1000) : [for b in range(1000) : [for c in range(1000) : a + b + c]]], "fallback") }`)
	stop := make(chan struct{})
	close(stop)
	if diags := eval.TypeCheck(m, gitType, nil, stop); len(diags) != 1 || diags[0].Summary != "Interrupted" {
		t.Error(diags)
	}
}

func TestIgnorable(t *testing.T) {
	attr := func(name, typ string) *pluginv1.Attribute { return &pluginv1.Attribute{Name: name, Type: []byte(typ)} }
	schema, err := eval.CompileSchema(&pluginv1.Block{
		Attributes: []*pluginv1.Attribute{attr("tag", `"string"`), attr("labels", `["map","string"]`), attr("list", `["list",["object",{"a":"string"}]]`), attr("object", `["object",{"a":"string"}]`)},
		Blocks: []*pluginv1.NestedBlock{
			{Name: "rule", Nesting: pluginv1.NestedBlock_NESTING_LIST, Block: &pluginv1.Block{Attributes: []*pluginv1.Attribute{attr("port", `"number"`)}}},
			{Name: "auth", Block: &pluginv1.Block{Attributes: []*pluginv1.Attribute{attr("user", `"string"`)}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		`tag`: "", `labels["x"]`: "", `labels.x`: "", `list`: "", `list[0].a`: "", `object.a`: "", `rule`: "", `rule[1]`: "", `rule[1].port`: "", `auth`: "", `auth.user`: "",
		`tog`:          `no argument "tog" to ignore. Did you mean "tag"?`,
		`tag.x`:        "leads into string",
		`tag[0]`:       "leads into string",
		`object.b`:     `no attribute "b"`,
		`list["x"]`:    "leads into list of object",
		`list[0].b`:    `no attribute "b"`,
		`rule.port`:    "Several rule blocks are allowed: name one, such as rule[0].",
		`rule[0].prot`: `the block rule has no argument "prot" to ignore. Did you mean "port"?`,
		`auth[0]`:      "Only one auth block",
		`auth.usr`:     `Did you mean "user"?`,
	} {
		traversal, diags := hclsyntax.ParseTraversalAbs([]byte(path), "x.hcl", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		relative := append(hcl.Traversal{hcl.TraverseAttr{Name: traversal.RootName(), SrcRange: traversal[0].SourceRange()}}, traversal[1:]...)
		d := schema.Ignorable(relative, `build "x"`)
		if (want == "") != (d == nil) || (d != nil && !strings.Contains(d.Detail, want)) {
			t.Errorf("%s: got %v, want %q", path, d, want)
		}
	}
}
