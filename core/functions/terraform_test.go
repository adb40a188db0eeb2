package functions_test

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

//go:embed testdata/terraform.txt
var terraformCases string

// Functions with Terraform's names have Terraform's meaning, as the table of cases says.
func TestFunctionsMeanWhatTheyMeanInTerraform(t *testing.T) {
	t.Setenv("HOME", "/home/someone")
	dir := folder(t)
	if err := os.WriteFile(filepath.Join(dir, "binary"), []byte{0xff, 0xfe}, 0o600); err != nil {
		t.Fatal(err)
	}
	greeting := cty.StringVal("Hello, ${name}!")
	vars := map[string]cty.Value{
		"dir": cty.StringVal(dir), "greeting": greeting, "texts": cty.ObjectVal(map[string]cty.Value{"greeting": greeting}), "number": cty.Zero,
		"reads_a_file": cty.StringVal(`${file("f.txt")}`), "recursive": cty.StringVal(`${templatefile("hi.tmpl", {})}`),
	}
	cases := 0
	for line := range strings.Lines(terraformCases) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cases++
		if text, want, ok := strings.Cut(line, " !! "); ok {
			if v, diags := eval(t, dir, text, vars); !diags.HasErrors() || !strings.Contains(diags.Error(), want) {
				t.Errorf("%s: got %#v, %v; want an error with %q", text, v, diags, want)
			}
			continue
		}
		text, want, ok := strings.Cut(line, " => ")
		if !ok {
			t.Fatalf("%s: neither => nor !!", line)
		}
		wanted, diags := eval(t, dir, want, vars)
		if diags.HasErrors() {
			t.Fatalf("%s: %s", want, diags)
		}
		if got, diags := eval(t, dir, text, vars); diags.HasErrors() || !got.RawEquals(wanted) {
			t.Errorf("%s: got %#v, %v; want %#v", text, got, diags, wanted)
		}
	}
	if cases < 250 {
		t.Errorf("the table has only %d cases", cases)
	}
}

// deepmerge merges as Helm merges the files of several -f flags.
func TestDeepMerge(t *testing.T) {
	secret := cty.StringVal("s").Mark("sensitive")
	for text, want := range map[string]string{
		`deepmerge({ image = { tag = "1", name = "api" } }, { image = { tag = "2" } })`: `{ image = { tag = "2", name = "api" } }`,
		`deepmerge({ list = [1, 2] }, { list = [3] })`:                                  `{ list = [3] }`,
		`deepmerge({ a = { b = 1 } }, { a = null })`:                                    `{ a = null }`,
		`deepmerge({ a = null }, { a = { b = 1 } })`:                                    `{ a = { b = 1 } }`,
		`deepmerge({ a = "x" }, { a = { b = 1 } }, { a = { c = 2 } })`:                  `{ a = { b = 1, c = 2 } }`,
		`deepmerge({ a = { b = 1 } }, { a = "x" })`:                                     `{ a = "x" }`,
		`deepmerge(tomap({ a = 1 }), { b = "x" })`:                                      `{ a = 1, b = "x" }`,
		`deepmerge({ a = 1 }, null)`:                                                    `{ a = 1 }`,
		`deepmerge()`:                                                                   `{}`,
		`deepmerge({ a = { b = 1 } }, { a = { c = unknown_text } }).a.b`:                `1`,
	} {
		vars := map[string]cty.Value{"unknown_text": cty.UnknownVal(cty.String)}
		wanted, _ := eval(t, ".", want, nil)
		if got, diags := eval(t, ".", text, vars); diags.HasErrors() || !got.RawEquals(wanted) {
			t.Errorf("%s: got %#v, %v", text, got, diags)
		}
	}
	if _, diags := eval(t, ".", `deepmerge({}, ["a"])`, nil); !strings.Contains(diags.Error(), "must be a map or an object, not tuple") {
		t.Error(diags)
	}
	got, diags := eval(t, ".", `deepmerge({ db = { password = secret } }, { db = { user = "u" } })`, map[string]cty.Value{"secret": secret})
	if diags.HasErrors() || got.IsMarked() || !got.GetAttr("db").GetAttr("password").IsMarked() || got.GetAttr("db").GetAttr("user").IsMarked() {
		t.Errorf("the mark of one value is not at that value alone: %#v, %v", got, diags)
	}
	got, diags = eval(t, ".", `deepmerge({ a = { b = 1 }, c = 2 }, { a = anything })`, map[string]cty.Value{"anything": cty.DynamicVal})
	if diags.HasErrors() || got.GetAttr("a").IsKnown() || !got.GetAttr("c").IsKnown() {
		t.Errorf("an unknown value may be a map or not: %#v, %v", got, diags)
	}
}

// An unknown text of which the beginning is known is enough for startswith.
func TestStartsWithOfAnUnknownText(t *testing.T) {
	vars := map[string]cty.Value{"ref": cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull("registry/api:1@").NewValue()}
	for text, want := range map[string]cty.Value{
		`startswith(ref, "registry/")`:           cty.True,
		`startswith(ref, "other/")`:              cty.False,
		`startswith(ref, "registry/api:1@sha2")`: cty.UnknownVal(cty.Bool).RefineNotNull(),
	} {
		if got, diags := eval(t, ".", text, vars); diags.HasErrors() || !got.RawEquals(want) {
			t.Errorf("%s: got %#v, %v", text, got, diags)
		}
	}
}
