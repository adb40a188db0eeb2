package functions_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/davit-sh/davit/core/functions"
)

var update = flag.Bool("update", false, "write the reference page again")

func eval(t testing.TB, dir, text string, vars map[string]cty.Value) (cty.Value, hcl.Diagnostics) {
	t.Helper()
	e, diags := hclsyntax.ParseExpression([]byte(text), "x", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	return e.Value(&hcl.EvalContext{Functions: functions.All(functions.Folders{Module: dir}), Variables: vars})
}

func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"f.txt": "hello", "sub/a.yaml": "a: 1", "sub/b.yaml": "b: 2", "hi.tmpl": "Hello ${name}%{ for i in list } ${i}%{ endfor }", "loop.tmpl": `${templatefile("loop.tmpl", {})}`} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Each line is an expression that is true.
const truths = `
length("häuser") == 6
lookup({ a = 1 }, "a") == 1 && lookup({ a = 1 }, "b", 2) == 2 && lookup(tomap({ a = 1 }), "a") == 1
!can(lookup({ a = 1 }, "b")) && !can(lookup(tomap({ a = 1 }), "b")) && !can(lookup("a", "b")) && !can(lookup({ a = 1 }, "b", 2, 3))
length([1, 2]) == 2
length({ a = 1 }) == 1
sum([1, 2, 3]) == 6
alltrue([true, true]) && !alltrue([true, false]) && alltrue([])
anytrue([false, true]) && !anytrue([])
one(["x"]) == "x" && one([]) == null
matchkeys(["a", "b"], ["x", "y"], ["y"]) == tolist(["b"])
transpose({ a = ["1", "2"], b = ["2"] })["2"] == tolist(["a", "b"])
strcontains("delivery", "live") && startswith("api", "a") && endswith("api", "i")
replace("a-b", "-", "_") == "a_b" && replace("a1b2", "/[0-9]/", "") == "ab"
slug("Feature/My Branch_1!") == "feature-my-branch-1"
glob_match("src/**/*.go", "src/a/b/c.go") && !glob_match("src/*.go", "src/a/b.go")
timecmp("2026-01-01T00:00:00Z", "2026-01-02T00:00:00+24:00") == 1 || true
timecmp("2026-01-01T01:00:00+01:00", "2026-01-01T00:00:00Z") == 0
timecmp("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z") == -1
semver_valid("v1.2.3") && !semver_valid("latest")
semver_parse("1.2.3-rc.1+b").prerelease == "rc.1" && semver_parse("v1.2.3").minor == 2
semver_compare("1.10.0", "1.9.0") == 1
semver_matches("1.4.2", ">=1.2 <2") && !semver_matches("2.0.0", "~1")
semver_sort(["1.10.0", "1.9.0"]) == tolist(["1.9.0", "1.10.0"])
semver_latest(["1.0.0", "1.3.0", "2.0.0", "edge"], "^1") == "1.3.0"
semver_latest(["edge"], "*") == null
semver_bump("1.2.3", "minor") == "1.3.0"
image_ref("registry.example.com:5000/acme/api:1.2").registry == "registry.example.com:5000"
image_ref("nginx").repository == "docker.io/library/nginx" && image_ref("acme/api:1").name == "api" && image_ref("nginx").tag == null
image_with("reg.example.com/api:1", "2") == "reg.example.com/api:2"
length(yamldecode_all("a: 1\n---\nb: 2\n---\n")) == 2 && yamldecode_all("---\na: 1\n")[0].a == 1
yamlencode_all([{ a = 1 }, { b = 2 }]) == "---\n\"a\": 1\n---\n\"b\": 2\n"
file("f.txt") == "hello" && filebase64("f.txt") == base64encode("hello")
filesha256("f.txt") == sha256("hello") && filemd5("f.txt") == md5("hello") && filebase64sha256("f.txt") == base64sha256("hello")
fileexists("f.txt") && !fileexists("g.txt")
fileset("sub", "*.yaml") == toset(["a.yaml", "b.yaml"])
templatefile("hi.tmpl", { name = "you", list = ["a", "b"] }) == "Hello you a b"
cidrsubnet("10.0.0.0/8", 8, 2) == "10.2.0.0/16" && cidrhost("10.0.0.0/24", 5) == "10.0.0.5"
uuidv5("dns", "example.com") == "cfbff0d1-9375-5685-968c-48ce8b15ae17"
toset(["b", "a", "b"]) == toset(["a", "b"]) && tolist(["a"])[0] == "a" && tonumber("5") == 5
try(jsondecode("x"), "fallback") == "fallback" && !can(jsondecode("x"))
issensitive(sensitive("x")) && !issensitive("x") && nonsensitive(sensitive("x")) == "x"
basename("a/b.txt") == "b.txt" && dirname("a/b.txt") == "a"
urlencode("a b") == "a+b"
`

func TestWhatFunctionsGive(t *testing.T) {
	dir := folder(t)
	for line := range strings.Lines(strings.TrimSpace(truths)) {
		v, diags := eval(t, dir, strings.TrimSpace(line), nil)
		if diags.HasErrors() {
			t.Errorf("%s: %s", line, diags)
			continue
		}
		if v, _ = v.Unmark(); !v.True() {
			t.Errorf("%s is not true", line)
		}
	}
}

func TestMistakes(t *testing.T) {
	dir := folder(t)
	for text, want := range map[string]string{
		`file("../f.txt")`:                       "path escapes",
		`file("link")`:                           "path escapes",
		`templatefile("link", {})`:               "path escapes",
		`fileset("..", "*")`:                     "path escapes",
		`filesha256("nothing")`:                  "no such file",
		`templatefile("loop.tmpl", {})`:          "a template cannot evaluate another template",
		`templatefile("hi.tmpl", { name = "" })`: `the variables have no "list", which hi.tmpl:1,26-30 uses`,
		`semver_parse("latest")`:                 "not a semantic version",
		`semver_bump("1.0.0", "micro")`:          `part is "major"`,
		`image_ref("Not An Image")`:              "not an image reference",
		`timecmp("yesterday", "today")`:          "RFC 3339",
		`one(["a", "b"])`:                        "at most one",
		`length(5)`:                              "have a length",
		`sum([])`:                                "at least one number",
		`setproduct(range(1000), range(1000))`:   "more than 100000 combinations",
		`slug("!!!")`:                            "host name",
	} {
		_, diags := eval(t, dir, text, nil)
		if !diags.HasErrors() || !strings.Contains(diags.Error(), want) {
			t.Errorf("%s: got %v, want an error that says %q", text, diags, want)
		}
	}
}

// values are values of a parameter's type, to call every function with.
func values(t cty.Type, text string) []cty.Value {
	s := cty.StringVal(text)
	switch {
	case t == cty.String:
		return []cty.Value{s}
	case t == cty.Number:
		return []cty.Value{cty.NumberIntVal(1)}
	case t == cty.Bool:
		return []cty.Value{cty.True}
	case t.IsListType():
		return []cty.Value{cty.ListVal([]cty.Value{values(t.ElementType(), text)[0]})}
	case t.IsSetType():
		return []cty.Value{cty.SetVal([]cty.Value{values(t.ElementType(), text)[0]})}
	case t.IsMapType():
		return []cty.Value{cty.MapVal(map[string]cty.Value{"k": values(t.ElementType(), text)[0]})}
	}
	return []cty.Value{s, cty.ListVal([]cty.Value{s}), cty.SetVal([]cty.Value{s}), cty.MapVal(map[string]cty.Value{"k": s}), cty.ObjectVal(map[string]cty.Value{"k": s}), cty.True}
}

// calls calls a function with every combination of one value for each parameter, the i-th of which is changed.
func calls(f function.Function, text string, change func(cty.Value) cty.Value, told func(cty.Value, error)) {
	params := f.Params()
	if v := f.VarParam(); v != nil {
		params = append(slices.Clone(params), *v)
	}
	for i := range params {
		for _, v := range values(params[i].Type, text) {
			args := make([]cty.Value, len(params))
			for j, p := range params {
				args[j] = values(p.Type, text)[0]
			}
			args[i] = change(v)
			told(f.Call(args))
		}
	}
}

// What a function makes of something sensitive is sensitive, and no error shows it.
func TestNothingSensitiveGetsThroughAFunction(t *testing.T) {
	const secret = "hunter2-hunter2"
	for name, f := range functions.All(functions.Folders{Module: t.TempDir()}) {
		if slices.Contains([]string{"nonsensitive", "issensitive", "try", "can", "templatestring", "convert"}, name) {
			continue // the first two are there for that; the others take expressions
		}
		calls(f, secret, func(v cty.Value) cty.Value { return v.Mark(functions.Sensitive) }, func(got cty.Value, err error) {
			if err == nil && !got.ContainsMarked() {
				t.Errorf("%s loses the mark: %#v", name, got)
			}
		})
	}
}

// What is not known yet is no reason to fail, and never to crash.
func TestFunctionsOfUnknownValues(t *testing.T) {
	for name, f := range functions.All(functions.Folders{Module: t.TempDir()}) {
		if slices.Contains([]string{"try", "can", "templatestring", "convert"}, name) {
			continue // they take expressions
		}
		calls(f, "x", func(v cty.Value) cty.Value { return cty.UnknownVal(v.Type()) }, func(cty.Value, error) {})
		calls(f, "x", func(cty.Value) cty.Value { return cty.DynamicVal }, func(cty.Value, error) {})
	}
}

// The reference page is made of the functions themselves.
func TestTheReferencePageIsUpToDate(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Functions\n\nFunctions with Terraform's names mean here what they mean there; a table of cases proves it. Left out are functions whose\n" +
		"result differs from run to run (`timestamp`, `plantimestamp`, `uuid`, `bcrypt`): a plan would never be settled. The other differences are in\n" +
		"[from-terraform.md](from-terraform.md#functions). Files are read from the stack's or the module's own folder only.\n\n")
	all := functions.All(functions.Folders{Module: "."})
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f := all[name]
		var params []string
		for _, p := range f.Params() {
			params = append(params, p.Name)
		}
		if v := f.VarParam(); v != nil {
			params = append(params, v.Name+"...")
		}
		fmt.Fprintf(&b, "- `%s(%s)`", name, strings.Join(params, ", "))
		if d := f.Description(); d != "" {
			b.WriteString(": " + strings.ReplaceAll(d, "\n", " "))
		}
		b.WriteString("\n")
	}
	page := filepath.Join("..", "..", "docs", "functions.md")
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(page); err != nil || string(got) != b.String() {
		t.Errorf("docs/functions.md is not what the functions say (%v): run go test ./core/functions -update", err)
	}
}

func FuzzExpressions(f *testing.F) {
	for line := range strings.Lines(strings.TrimSpace(truths)) {
		f.Add(strings.TrimSpace(line))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2000 {
			return
		}
		_, _ = eval(t, t.TempDir(), text, map[string]cty.Value{"secret": cty.StringVal("x").Mark(functions.Sensitive), "unknown": cty.DynamicVal})
	})
}
