package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"pgregory.net/rapid"
)

// inventory is what a file declares, and where: all that anything else looks at.
func inventory(f *hcl.File) []string {
	var out []string
	var walk func(b *hclsyntax.Body, in string)
	walk = func(b *hclsyntax.Body, in string) {
		for _, a := range b.Attributes {
			out = append(out, fmt.Sprintf("%s%s %v %v %v", in, a.Name, a.SrcRange, a.NameRange, a.Expr.Range()))
		}
		for _, c := range b.Blocks {
			out = append(out, fmt.Sprintf("%s%s%v %v %v %v", in, c.Type, c.Labels, c.TypeRange, c.OpenBraceRange, c.CloseBraceRange))
			walk(c.Body, in+c.Type+strings.Join(c.Labels, ".")+"/")
		}
	}
	walk(f.Body.(*hclsyntax.Body), "")
	return out
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// A file that is parsed in parts is the same as one that is parsed whole, whatever stands in it.
func TestPartsAreTheWhole(t *testing.T) {
	pieces := []string{
		"source \"git\" \"%d\" {\n  url = \"x\"\n}\n",
		"locals {\n  a%d = {\n    b = [1,\n2]\n}\n}\n",
		"locals {\n  s%d = <<EOT\nline\n}\n{\nEOT\n}\n",
		"/* a comment\n}\n%d */\n",
		"# }\n\n// %d\n",
		"output \"o%d\" {\nvalue = \"${\nf(\"}\")\n}\"\n}\n",
		"locals {\n  ü%d = \"ä\\n}\\n\"\n}\n",
		"a \"%d\" {\n  b {\n}\n  b {\n}\n}\n",
		"locals {\r\n  w%d = 1\r\n}\r\n",
		"locals { x%d = 1 }\n",
	}
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		for i := range rapid.IntRange(1, 30).Draw(t, "pieces") {
			fmt.Fprintf(&b, rapid.SampledFrom(pieces).Draw(t, "piece"), i)
		}
		if rapid.Bool().Draw(t, "broken") {
			b.WriteString("locals {\n  x = \n}\n")
		}
		src := b.Bytes()
		want, wantDiags := hclsyntax.ParseConfig(src, "f.hcl", hcl.InitialPos)
		for _, size := range []int{1, 20, 64, 200} {
			got, diags := parseParts(src, "f.hcl", size)
			if d := cmp.Diff(fmt.Sprint(wantDiags), fmt.Sprint(diags)); d != "" {
				t.Fatal(d)
			}
			if wantDiags.HasErrors() {
				continue
			}
			if d := cmp.Diff(sorted(inventory(want)), sorted(inventory(got))); d != "" {
				t.Fatalf("in parts of %d bytes: %s\n%s", size, d, src)
			}
			type namer interface{ ContextString(int) string }
			for i := range src {
				if a, b := want.Nav.(namer).ContextString(i), got.Nav.(namer).ContextString(i); a != b {
					t.Fatalf("byte %d is in %q and in %q", i, a, b)
				}
			}
		}
	})
}
