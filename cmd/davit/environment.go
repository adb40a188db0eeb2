package main

import (
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/pluginhost"
)

var (
	dockerEnv = []string{"DOCKER_CONFIG", "REGISTRY_AUTH_FILE"}
	proxyEnv  = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
)

// builtinEnv are the environment variables that each built-in plugin may see besides the neutral ones. A name that ends in *
// stands for all names that begin so.
var builtinEnv = map[string][]string{
	"buildx": slices.Concat(dockerEnv, proxyEnv, []string{
		"DAVIT_BUILDX", "BUILDKIT_HOST", "BUILDX_*", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "SSH_AUTH_SOCK",
	}),
	"git":        slices.Concat(proxyEnv, []string{"DAVIT_GIT_*", "GIT_SSL_CAINFO", "GIT_CONFIG_GLOBAL", "NETRC", "SSH_AUTH_SOCK"}),
	"kubernetes": slices.Concat(proxyEnv, []string{"KUBECONFIG", "KUBERNETES_SERVICE_*"}),
	"oci":        slices.Concat(dockerEnv, proxyEnv),
	"registry":   slices.Concat(dockerEnv, proxyEnv),
}

// environmentOf is what a built-in plugin may see: its own variables, and those that the stack names.
func environmentOf(name string, stack *config.Stack) []string {
	if p := stack.Settings.BuiltIn[name]; p != nil {
		return slices.Concat(builtinEnv[name], p.Env)
	}
	return builtinEnv[name]
}

// checkPlugins finds entries of required_plugins that name no plugin, and variables that no plugin may see.
func checkPlugins(stack *config.Stack) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range sortedKeys(stack.Settings.BuiltIn) {
		if builtins[name] == nil {
			diags = append(diags, diag.Errorf(stack.Settings.BuiltIn[name].Range, "A plugin without a source",
				"There is no built-in plugin %q.%s A plugin from outside needs a source.", name, diag.DidYouMean(name, sortedKeys(builtins))))
		}
	}
	for _, list := range []map[string]*config.RequiredPlugin{stack.Settings.Plugins, stack.Settings.BuiltIn} {
		for _, name := range sortedKeys(list) {
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
