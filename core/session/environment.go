package session

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/pluginhost"
)

// environmentOf is what a built-in plugin may see: its own variables, and those that the stack names.
func environmentOf(name string, own []string, stack *config.Stack) []string {
	if p := stack.Settings.BuiltIn[name]; p != nil {
		return slices.Concat(own, p.Env)
	}
	return own
}

// CheckPlugins finds entries of required_plugins that name no plugin, and variables that no plugin may see.
func (p *Process) CheckPlugins(stack *config.Stack) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range slices.Sorted(maps.Keys(stack.Settings.BuiltIn)) {
		if _, there := p.Builtins[name]; !there {
			diags = append(diags, diag.Errorf(stack.Settings.BuiltIn[name].Range, "A plugin without a source",
				"There is no built-in plugin %q.%s A plugin from outside needs a source.", name, diag.DidYouMean(name, slices.Sorted(maps.Keys(p.Builtins)))))
		}
	}
	for _, list := range []map[string]*config.RequiredPlugin{stack.Settings.Plugins, stack.Settings.BuiltIn} {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			for _, variable := range list[name].Env {
				if pluginhost.Withheld(variable) {
					diags = append(diags, diag.Errorf(list[name].Range, "A variable that no plugin may see",
						"env of the plugin %s names %s, which is davit's own. Remove it.", name, variable))
				}
			}
		}
	}
	return diags
}
