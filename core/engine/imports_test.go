package engine_test

import (
	"testing"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/plan"
)

// TestImportsAreOneToOne: an object is imported into one instance, and an instance takes over one object.
func TestImportsAreOneToOne(t *testing.T) {
	blocks := "application \"a\" \"c\" {\n  for_each = toset([\"p\", \"q\"])\n  name = each.key\n  content = \"x\"\n}\n"
	imports := func(rest string) string { return "import {\n  " + rest + "\n}\n" }
	module := "-- m/m.hcl --\n" + appBlock("x", "x", `"x"`, "") + imports("to = application.a.x\n  id = \"one\"") +
		"-- davit.hcl --\nmodule \"m\" {\n  source = \"./m\"\n}\n"
	const into = "Two imports into one instance: "
	for _, tt := range []struct{ name, text, want string }{
		{"a written key and a computed one", blocks + imports("to = application.a.c[\"p\"]\n  id = \"one\"") +
			imports("for_each = toset([\"p\", \"q\"])\n  to = application.a.c[each.key]\n  id = \"of ${each.key}\""),
			into + `Another object is imported into application.a.c["p"] at davit.hcl:10.`},
		{"two computed keys", blocks + imports("to = application.a.c[lower(\"P\")]\n  id = \"one\"") + imports("to = application.a.c[\"${\"p\"}\"]\n  id = \"two\""),
			into + `Another object is imported into application.a.c["p"] at davit.hcl:10.`},
		{"two elements of for_each", blocks + imports("for_each = toset([\"p\", \"P\"])\n  to = application.a.c[lower(each.key)]\n  id = each.key"),
			into + `Two elements of for_each import an object into application.a.c["p"].`},
		{"a module and its caller", module + imports("to = module.m.application.a.x\n  id = \"two\""),
			into + "Another object is imported into module.m.application.a.x at davit.hcl:4."},
		{"one id for two blocks", appBlock("x", "x", `"x"`, "") + appBlock("y", "y", `"x"`, "") + imports("to = application.a.x\n  id = \"one\"") + imports("to = application.a.y\n  id = \"one\""),
			`Two imports of one object: The object "one" is imported into application.a.x and into application.a.y.`},
		{"one id for two elements", blocks + imports("for_each = toset([\"p\", \"q\"])\n  to = application.a.c[each.key]\n  id = \"one\""),
			`Two imports of one object: The object "one" is imported into application.a.c["p"] and into application.a.c["q"].`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			p, diags := f.tryPlan(tt.text, plan.ModeApply)
			wantDiags(t, diag.Fold(diags), tt.want)
			if p != nil {
				t.Errorf("there is a plan:\n%s", actions(p))
			}
		})
	}
}
