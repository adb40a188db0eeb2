package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/config"
)

// Mistakes in the form of blocks, each with its line.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"surce \"git\" \"x\" {}":               `davit.hcl:1,1-6: Unknown kind of block; The block type "surce" does not exist. Did you mean "source"?`,
		"\nsource \"git\" {}":                  `davit.hcl:2,1-13: Wrong number of labels`,
		"x = 1":                                `davit.hcl:1,1-6: Unexpected argument`,
		"source \"git\" \"1x\" {}":             `Not a name`,
		"locals { a = 1 }\nlocals { a = 2 }":   `davit.hcl:2,10-11: Declared twice; local.a is already declared at davit.hcl:1`,
		"variable \"a\" {}\nvariable \"a\" {}": `Declared twice`,
		"output \"a\" {}":                      `Missing required argument`,
		"source \"git\" \"x\" {\n for_each = {}\n count = 1\n}":                                                  `for_each and count`,
		"davit {\n required_plugins { x = 3 }\n}":                                                                `Not a plugin requirement`,
		"source \"git\" \"x\" {\n lifecycle { prevent = true }\n}":                                               `Unsupported argument`,
		"variable \"count\" {}":                                                                                  `A name that no variable can have`,
		"moved {\n from = build.oci.a\n to = build.oci.b\n}\nmoved {\n from = build.oci.a\n to = build.oci.c\n}": `davit.hcl:5,1-6: Moved twice; build.oci.a is moved to build.oci.b at davit.hcl:1 already`,
		"import {\n to = build.oci.a\n id = \"x\"\n}\nimport {\n to = build.oci.a\n id = \"y\"\n}":               `Two imports into one instance; Another object is imported into build.oci.a at davit.hcl:1.`,
		"source \"git\" \"x\" {":                                                                                 `Unclosed configuration block`,
		"locals { x = " + strings.Repeat("(", 300) + strings.Repeat(")", 300) + " }":                             `nested more than 200 deep`,
	} {
		_, diags := config.Parse("/stack", map[string][]byte{"davit.hcl": []byte(text)})
		if !diags.HasErrors() || !strings.Contains(fmt.Sprint(diags.Errs()), want) {
			t.Errorf("%.60s\n got  %v\n want %s", text, diags, want)
		}
	}
}

// The digest is of names and contents: a plan knows when either moves.
func TestDigest(t *testing.T) {
	digest := func(files map[string]string) string {
		in := map[string][]byte{}
		for n, c := range files {
			in[n] = []byte(c)
		}
		s, diags := config.Parse("/stack", in)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return s.Digest
	}
	base := digest(map[string]string{"a.hcl": "locals { x = 1 }", "b.hcl": ""})
	if base != digest(map[string]string{"b.hcl": "", "a.hcl": "locals { x = 1 }"}) {
		t.Error("the order of files counts")
	}
	for name, files := range map[string]map[string]string{
		"content": {"a.hcl": "locals { x = 2 }", "b.hcl": ""}, "name": {"c.hcl": "locals { x = 1 }", "b.hcl": ""}, "moved": {"a.hcl": "", "b.hcl": "locals { x = 1 }"},
	} {
		if digest(files) == base {
			t.Errorf("another %s gives the same digest", name)
		}
	}
}

// No text makes the reader fall over or run for ever.
func FuzzParse(f *testing.F) {
	f.Add(`source "git" "x" { url = "y" }`)
	f.Add(`davit { required_plugins { a = { source = "./a" } } }`)
	f.Add("variable \"x\" {\n validation {\n condition = true\n error_message = \"\"\n}\n}")
	f.Add("locals { a = [for x in y : x if \"${z}\"] }")
	f.Fuzz(func(_ *testing.T, text string) {
		_, _ = config.Parse("/stack", map[string][]byte{"davit.hcl": []byte(text)})
	})
}
