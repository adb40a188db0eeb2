package eval

import (
	"bytes"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
)

// Errors of functions do not repeat sensitive values, in whatever expression they stand, and nothing logs them.
func TestErrorsOfFunctionsHideSensitiveValues(t *testing.T) {
	var logged bytes.Buffer
	log.SetOutput(&logged)
	defer log.SetOutput(os.Stderr)
	stack, diags := config.Parse(t.TempDir(), nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	// "hunter2" with a byte that is no UTF-8 before it.
	secret := cty.StringVal("/2h1bnRlcjI=").Mark(Sensitive)
	variables := map[string]cty.Value{
		"encoded": secret, "plain": cty.StringVal("hunter2").Mark(Sensitive), "short": cty.StringVal("hu2").Mark(Sensitive), "open": cty.StringVal("open1"),
		"list":   cty.ListVal([]cty.Value{cty.StringVal("hunter2")}).Mark(Sensitive),
		"object": cty.ObjectVal(map[string]cty.Value{"key": cty.StringVal("hunter2").Mark(Sensitive), "list": cty.ListVal([]cty.Value{cty.StringVal("hunter2").Mark(Sensitive)})}),
	}
	scope := NewScope(stack.Module, variables, nil)
	for text, shown := range map[string]string{
		"base64decode(var.encoded)":                    "",
		"base64decode(var.plain)":                      "",
		"base64decode(var.short)":                      "",
		`parseint(var.plain, 10)`:                      "",
		`parseint(var.open, 10)`:                       "open1",
		`regex("^x", var.plain)`:                       "",
		`jsondecode(var.plain)`:                        "",
		`yamldecode("a: [${var.plain}")`:               "",
		`formatdate("YYYY", var.plain)`:                "",
		`parseint(var.object.key, 10)`:                 "",
		`[for k, v in var.object : parseint(v, 10)]`:   "",
		`[for v in var.object.list : parseint(v, 10)]`: "",
		`[for v in var.list : parseint(v, 10)]`:        "",
		`[for v in var.list : v + 1]`:                  "",
		`[for v in ["open2"] : parseint(v, 10)]`:       "open2",
		`"${parseint(upper(var.plain), 10)}"`:          "",
		`parseint(sensitive("hunter2"), 10)`:           "",
		`cidrhost(var.plain, 1)`:                       "",
		`tonumber(var.plain)`:                          "",
		`try(parseint(var.plain, 10))`:                 "",
		`lookup({}, var.plain)`:                        "",
		`timeadd(var.plain, "1h")`:                     "",
		`semver_parse(var.plain)`:                      "",
		`file(var.plain)`:                              "",
	} {
		expr, diags := hclsyntax.ParseExpression([]byte(text), "x", hcl.InitialPos)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		_, first := scope.Value(expr, Each{})
		_, second := scope.Evaluator(References(expr), Each{}).Value(expr)
		for _, diags := range []hcl.Diagnostics{first, second} {
			if !diags.HasErrors() {
				t.Errorf("%s: no error", text)
				continue
			}
			said := ""
			for _, d := range diags {
				said += d.Summary + " " + d.Detail
				if d.EvalContext != nil || d.Expression != nil {
					t.Errorf("%s: the finding keeps values", text)
				}
			}
			if lower := strings.ToLower(said); strings.Contains(lower, "hunter2") || strings.Contains(lower, "hu2") || !strings.Contains(said, shown) {
				t.Errorf("%s: %s", text, said)
			}
		}
	}
	if logged.Len() > 0 {
		t.Errorf("a library logged %s", logged.String())
	}
}
