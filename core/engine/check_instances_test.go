package engine_test

import (
	"testing"

	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
)

// What the instances of something are, and what they see, is checked as it is written: before anything is looked at.
func TestInstancesAreChecked(t *testing.T) {
	const fe = "application \"a\" \"fe\" {\n  for_each = { alpha = 1, beta = 2 }\n  name = each.key\n}\n"
	const counted = "application \"a\" \"cn\" {\n  count = 2\n  name = \"x${count.index}\"\n}\n"
	const one = "application \"a\" \"one\" { name = \"one\" }\n"
	app := func(arguments string) string { return "application \"a\" \"x\" {\n  " + arguments + "\n}\n" }
	module := "-- m/m.hcl --\nvariable \"n\" {}\napplication \"a\" \"it\" { name = var.n }\noutput \"sum\" { value = application.a.it.sum }\n"
	call := "module \"m\" {\n  source = \"./m\"\n  for_each = toset([\"alpha\"])\n  n = each.key\n}\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"a list":                  {app("for_each = [\"a\", \"b\"]\n  name = each.key"), []string{"for_each of application.a.x must be a map or a set of strings, not a list. Turn it into a set with toset(...)"}},
		"a list of references":    {one + app("for_each = [application.a.one.sum]\n  name = \"x\""), []string{"Turn it into a set with toset"}},
		"a text":                  {app("for_each = \"a\"\n  name = each.key"), []string{"for_each of application.a.x must be a map or a set of strings, not string"}},
		"a count that is a text":  {app("count = \"x\"\n  name = \"x\""), []string{"count of application.a.x must be a whole number"}},
		"each":                    {app("name = each.key"), []string{"each.key and each.value need for_each, but application.a.x has no for_each."}},
		"each of a count":         {app("count = 1\n  name = each.key"), []string{"has no for_each. Use count.index."}},
		"count":                   {app("name = \"x${count.index}\""), []string{"count.index needs count, but application.a.x has no count."}},
		"count of a for_each":     {app("for_each = toset([\"a\"])\n  name = \"x${count.index}\""), []string{"has no count. Use each.key."}},
		"self":                    {app("name = self.address"), []string{"self is the instance in its own postconditions"}},
		"self before":             {app("name = \"x\"\n  lifecycle {\n    precondition {\n      condition = self.name != \"\"\n      error_message = \"x\"\n    }\n  }"), []string{"self is the instance in its own"}},
		"each in for_each":        {app("for_each = toset([each.key])\n  name = each.key"), []string{"for_each of application.a.x has no for_each"}},
		"each in a local":         {"locals { x = each.key }\n", []string{"local.x has no for_each"}},
		"each in an output":       {"output \"x\" { value = each.key }\n", []string{"output.x has no for_each"}},
		"each in a call":          {"-- d.hcl --\nmodule \"m\" {\n  source = \"./m\"\n  n = each.key\n}\n" + module, []string{"module.m has no for_each"}},
		"one of several":          {fe + app("name = application.a.fe.sum"), []string{"application.a.fe has for_each: name one instance, such as application.a.fe[\"key\"], or use all of them with [for x in application.a.fe : ...]"}},
		"one of several, counted": {counted + app("name = application.a.cn.sum"), []string{"application.a.cn has count: name one instance, such as application.a.cn[0]"}},
		"one of several modules":  {"-- d.hcl --\n" + call + "output \"x\" { value = module.m.sum }\n" + module, []string{"module.m has for_each: name one"}},
		"an index of one":         {one + app("name = application.a.one[0].sum"), []string{"application.a.one has neither for_each nor count"}},
		"a key of a count":        {counted + app("name = application.a.cn[\"a\"].sum"), []string{"its instances have keys such as application.a.cn[0], not application.a.cn[\"a\"]"}},
		"a number of a for_each":  {fe + app("name = application.a.fe[0].sum"), []string{"its instances have keys such as application.a.fe[\"key\"]"}},
		"a misspelt key":          {fe + app("name = application.a.fe[\"alhpa\"].sum"), []string{"application.a.fe has no instance [\"alhpa\"]. Did you mean \"alpha\"?"}},
		"a number too many":       {counted + app("name = application.a.cn[2].sum"), []string{"application.a.cn has no instance [2]."}},
		"a misspelt key, module":  {"-- d.hcl --\n" + call + "output \"x\" { value = module.m[\"alhpa\"].sum }\n" + module, []string{"module.m has no instance [\"alhpa\"]. Did you mean \"alpha\"?"}},
		"what is right": {fe + counted + app("for_each = application.a.fe\n  name = application.a.fe[each.key].sum\n  content = join(\"\", [for each in application.a.cn : each.sum])\n"+
			"  plain = application.a.cn[1].sum\n  lifecycle {\n    replace_triggered_by = [application.a.fe[each.key]]\n    postcondition {\n      condition = self.name != each.key\n      error_message = self.name\n    }\n  }"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := newFixture(t).tryPlan(c.text, plan.ModeApply)
			wantDiags(t, diags, c.want...)
			e, diags := newFixture(t).engine(c.text)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			wantDiags(t, e.Validate(t.Context()), c.want...)
			for _, d := range e.Validate(t.Context()) {
				if d.Subject == nil {
					t.Errorf("no line is told: %s", d)
				}
			}
		})
	}
}

// A value from a command line is a text as long as nobody says otherwise: count takes it for the number that it is.
func TestACountGivenOnTheCommandLine(t *testing.T) {
	f := newFixture(t)
	n := "1"
	f.given = []eval.Given{{Name: "n", Text: &n, From: "-var"}}
	text := "variable \"n\" { default = 2 }\napplication \"a\" \"x\" {\n  count = var.n\n  name = \"x${count.index}\"\n}\n"
	wantActions(t, f.plan(text), "application.a.x[0]: create")
	n = "one"
	_, diags := f.tryPlan(text, plan.ModeApply)
	wantDiags(t, diags, "count of application.a.x must be a whole number")
}

// A key that is known while planning only gets a suggestion as well.
func TestAMisspeltKeyOfSomethingObserved(t *testing.T) {
	f := newFixture(t)
	f.world.tags = map[string]string{"alpha": "d"}
	_, diags := f.tryPlan("image \"i\" \"x\" { repository = \"r\" }\napplication \"a\" \"x\" {\n  for_each = toset(image.i.x.tags)\n  name = each.key\n}\n"+
		"application \"a\" \"y\" { name = application.a.x[\"alhpa\"].sum }\n", plan.ModeApply)
	wantDiags(t, diags, `application.a.x has no such instance. Did you mean "alpha"?`)
}
