package record_test

import (
	"testing"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/record"
)

// Adding count to a block or to a module, or removing it, moves the instance without a key to the key 0 and back.
func TestImpliedMoves(t *testing.T) {
	parse := func(text string) *config.Module {
		s, diags := config.Parse("/stack", map[string][]byte{"davit.hcl": []byte(text)})
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return s.Module
	}
	const blocks = `
build "oci" "plain" {}
build "oci" "counted" { count = 1 }
build "oci" "keyed" { for_each = {} }
`
	root := parse(blocks + "module \"plain\" { source = \"./m\" }\nmodule \"counted\" {\n source = \"./m\"\n count = 2\n}")
	root.Calls["plain"].Module, root.Calls["counted"].Module = parse(blocks), parse(blocks)
	for from, want := range map[string]string{
		"build.oci.counted":                      "build.oci.counted[0]",
		"build.oci.plain[0]":                     "build.oci.plain",
		"build.oci.plain":                        "build.oci.plain",
		"build.oci.plain[1]":                     "build.oci.plain[1]",
		"build.oci.counted[0]":                   "build.oci.counted[0]",
		"build.oci.keyed[0]":                     "build.oci.keyed[0]",
		"build.oci.keyed":                        "build.oci.keyed",
		"build.oci.gone[0]":                      "build.oci.gone[0]",
		"module.counted.build.oci.plain":         "module.counted[0].build.oci.plain",
		"module.plain[0].build.oci.plain":        "module.plain.build.oci.plain",
		"module.plain[0].build.oci.counted":      "module.plain.build.oci.counted[0]",
		"module.counted.build.oci.gone":          "module.counted[0].build.oci.gone",
		"module.gone[0].build.oci.plain":         "module.gone[0].build.oci.plain",
		`module.plain["a"].build.oci.counted[1]`: `module.plain["a"].build.oci.counted[1]`,
	} {
		i, err := addr.Parse(from)
		if err != nil {
			t.Fatal(err)
		}
		if got := record.Implied(root, i).String(); got != want {
			t.Errorf("%s becomes %s, want %s", from, got, want)
		}
	}
}
