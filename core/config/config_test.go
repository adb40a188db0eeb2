package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/plan"
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
		"moved {\n from = build.oci.a\n to = build.oci.b\n}\nmoved {\n from = build.oci.a\n to = build.oci.c\n}": `davit.hcl:5,1-6: Moved twice; build.oci.a is already moved to build.oci.b at davit.hcl:1`,
		"import {\n to = build.oci.a\n id = \"x\"\n}\nimport {\n to = build.oci.a\n id = \"y\"\n}":               `Two imports into one instance; Another object is imported into build.oci.a at davit.hcl:1.`,
		"gate {}":                                                  "Wrong number of labels; A gate block has 1 label, but this one has 0: gate \"name\" { ... }",
		"gate \"g\" {}":                                            "Gate that holds nothing; gate \"g\" has no condition",
		"gate \"g\" { approve = [\"imge\"] }":                      "Unknown cause; The cause \"imge\" does not exist. Did you mean \"image\"? Causes: new, source, image, config, build, drift, removed, moved, replaced, rollback, retry, state.",
		"gate \"g\" { approve = [1, {}] }":                         "Not a list of causes",
		"gate \"g\" { max_deletions = -1 }":                        "Not a number of deletions; max_deletions is -1",
		"gate \"g\" {\n on = []\n approve = all\n}":                "Gate on nothing",
		"gate \"g\" {\n on = [source.git.repo]\n approve = all\n}": "Nothing to hold; source.git.repo is only observed",
		"gate \"g\" {\n on = [\"application.kubernetes.x\"]\n approve = all\n}":                                                    "davit.hcl:2,8-34: Not an address",
		"gate \"g\" {\n on = [application.kubernetes]\n approve = all\n}":                                                          "Not an address",
		"gate \"g\" {\n window { schedule = \"Mon-Fry\" }\n}":                                                                      "Window that cannot be read; gate \"g\": \"Fry\" is not a day",
		"gate \"g\" {\n window {\n schedule = \"Mon\"\n time_zone = \"Berlin\"\n }\n}":                                             "\"Berlin\" is not a time zone",
		"gate \"g\" {\n window { deny = true }\n}":                                                                                 "Missing required argument",
		"gate \"g\" {\n window {\n schedule = \"Mon-Sun\"\n deny = true\n }\n}":                                                    "Windows that never open",
		"gate \"g\" {\n soak {\n after = application.kubernetes.x\n healthy_for = \"1h\"\n }\n}":                                   "Soak of everything",
		"gate \"g\" {\n on = [module.x]\n soak {\n after = build.oci.x\n healthy_for = \"1h\"\n }\n}":                              "Not an application",
		"gate \"g\" {\n on = [application.kubernetes.x]\n soak {\n after = application.kubernetes.x\n healthy_for = \"1h\"\n }\n}": "Gate that waits for itself",
		"gate \"g\" {\n on = [module.x]\n soak {\n after = application.kubernetes.x\n healthy_for = \"soon\"\n }\n}":               "Not a duration",
		"gate \"g\" { approve = all }\ngate \"g\" { approve = all }":                                                               "Declared twice; gate g is already declared at davit.hcl:1",
		"source \"git\" \"x\" {": `Unclosed configuration block`,
		"locals { x = " + strings.Repeat("(", 300) + strings.Repeat(")", 300) + " }": `nested more than 200 deep`,
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

// A gate is read with all that it has.
func TestGate(t *testing.T) {
	s, diags := config.Parse("/stack", map[string][]byte{"davit.hcl": []byte(`
gate "prod" {
  on            = [application.kubernetes.shop["prod"], module.shop, build.oci.api]
  approve       = ["image", "removed", "image"]
  max_deletions = 0
  window {
    schedule  = "Mon-Fri 09:00-16:30"
    time_zone = "Europe/Berlin"
  }
  window {
    schedule = "12-20 to 01-03"
    deny     = true
  }
  soak {
    after       = application.kubernetes.shop["dev"]
    healthy_for = "30m"
  }
}
gate "all" { approve = all }
`)})
	if diags.HasErrors() || len(s.Gates) != 2 {
		t.Fatal(diags)
	}
	g := s.Gates[0]
	got := fmt.Sprint(g.Name, g.On, g.Approve, g.MaxDeletions, g.Windows.Allow, g.Windows.Deny, g.Soak.After, g.Soak.HealthyFor)
	want := `prod[application.kubernetes.shop["prod"] module.shop build.oci.api] [image removed] 0 [Mon-Fri 09:00-16:30 Europe/Berlin] [12-20 to 01-03 UTC] application.kubernetes.shop["dev"] 30m0s`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(s.Gates[1].Approve) != len(plan.Causes()) || s.Gates[1].MaxDeletions != -1 {
		t.Errorf("%+v", s.Gates[1])
	}
}
