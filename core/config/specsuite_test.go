package config

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// specsuite is the folder with the tests that HCL publishes for every implementation of the language.
func specsuite(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/hashicorp/hcl/v2").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "specsuite", "tests")
}

// Files that are read as davit reads them, in as many parts as possible, mean what the language's specification says.
func TestSpecificationExpressions(t *testing.T) {
	dir := specsuite(t)
	for _, name := range []string{"operators", "heredoc", "primitive_literals"} {
		src, err := os.ReadFile(filepath.Join(dir, "expressions", name+".hcl"))
		if err != nil {
			t.Fatal(err)
		}
		f, diags := parseParts(src, name+".hcl", 1)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		ctx := &hcl.EvalContext{Variables: variablesOf(t, filepath.Join(dir, "expressions", name+".hcldec"))}
		compare(t, name, valueOf(t, f.Body.(*hclsyntax.Body), ctx), resultOf(t, filepath.Join(dir, "expressions", name+".t")))
	}
}

// valueOf is all that a body says: its attributes, and its blocks by type and labels.
func valueOf(t *testing.T, b *hclsyntax.Body, ctx *hcl.EvalContext) map[string]cty.Value {
	out := map[string]cty.Value{}
	for name, a := range b.Attributes {
		v, diags := a.Expr.Value(ctx)
		if diags.HasErrors() {
			t.Errorf("%s: %v", name, diags)
			continue
		}
		out[name] = v
	}
	for _, c := range b.Blocks {
		v := cty.ObjectVal(valueOf(t, c.Body, ctx))
		if len(c.Labels) == 0 {
			out[c.Type] = v
			continue
		}
		labelled := map[string]cty.Value{}
		if old, ok := out[c.Type]; ok {
			labelled = old.AsValueMap()
		}
		labelled[c.Labels[0]] = v
		out[c.Type] = cty.ObjectVal(labelled)
	}
	return out
}

func parsed(t *testing.T, file string) *hclsyntax.Body {
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f, diags := hclsyntax.ParseConfig(src, file, hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return f.Body.(*hclsyntax.Body)
}

func resultOf(t *testing.T, file string) map[string]cty.Value {
	v, diags := parsed(t, file).Attributes["result"].Expr.Value(nil)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return v.AsValueMap()
}

func variablesOf(t *testing.T, file string) map[string]cty.Value {
	for _, b := range parsed(t, file).Blocks {
		if b.Type == "variables" {
			return valueOf(t, b.Body, nil)
		}
	}
	return nil
}

// compare wants all that the suite has a result for.
func compare(t *testing.T, at string, got, want map[string]cty.Value) {
	if len(want) == 0 {
		t.Errorf("%s: the suite says nothing", at)
	}
	for name, w := range want {
		g, ok := got[name]
		where := at + "." + name
		switch {
		case !ok:
			t.Errorf("%s is missing", where)
		case (w.Type().IsObjectType() || w.Type().IsMapType()) && !w.IsNull() && (g.Type().IsObjectType() || g.Type().IsMapType()):
			compare(t, where, g.AsValueMap(), w.AsValueMap())
		default:
			if c, err := convert.Convert(g, w.Type()); err != nil || !c.RawEquals(w) {
				t.Errorf("%s is %#v, want %#v (%v)", where, g, w, err)
			}
		}
	}
}

// Files of the suite that are right, and those that are wrong, are so for davit as well, with the mistakes at the same places.
func TestSpecificationStructure(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(specsuite(t), "*", "*", "*.hcl"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	wrong := 0
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, whole := hclsyntax.ParseConfig(src, "f.hcl", hcl.InitialPos)
		_, inParts := parseParts(src, "f.hcl", 1)
		if fmt.Sprint(whole) != fmt.Sprint(inParts) {
			t.Errorf("%s: %v, want %v", filepath.Base(file), inParts, whole)
		}
		if !whole.HasErrors() {
			continue
		}
		wrong++
		var want, got []string
		for _, b := range parsed(t, strings.TrimSuffix(file, ".hcl")+".t").Blocks {
			for _, e := range b.Body.Blocks {
				line, _ := valueOf(t, e.Body, nil)["from"].GetAttr("line").AsBigFloat().Int64()
				want = append(want, fmt.Sprint(line))
			}
		}
		for _, d := range inParts {
			got = append(got, fmt.Sprint(d.Subject.Start.Line))
		}
		if !slices.Equal(sorted(got), sorted(want)) {
			t.Errorf("%s: mistakes in the lines %s, want %s", filepath.Base(file), got, want)
		}
	}
	if wrong == 0 {
		t.Error("no file of the suite is wrong")
	}
}
