package pluginhost

import (
	"slices"
	"strings"
)

// Environment variables that every plugin may see: who and where the user is, where tools keep their settings, and
// how to reach the network.
var (
	passNames = []string{
		"HOME", "PATH", "USER", "LOGNAME", "TMPDIR", "LANG", "TZ", "GOMEMLIMIT", "GOMAXPROCS",
		"KUBECONFIG", "DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT", "BUILDKIT_HOST", "REGISTRY_AUTH_FILE", "SSH_AUTH_SOCK",
		"GIT_SSL_CAINFO", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	}
	passPrefixes = []string{"XDG_", "LC_", "BUILDX_", "KUBERNETES_SERVICE_", "DAVIT_"}
	// Values of a stack's variables may be secret, and reach a plugin only where a configuration says so. The
	// handshake sets its own variable itself. Who knows where a plugin under a debugger serves could speak to it.
	keepPrefixes = []string{"DAVIT_VAR_", "DAVIT_PLUGIN", ReattachVariable}
)

// environ returns those of all (as os.Environ gives them) that a plugin may see; extra are the names
// that the stack allows it besides.
func environ(all, extra []string) []string {
	var out []string
	for _, e := range all {
		if name, _, ok := strings.Cut(e, "="); ok && name != ReattachVariable && (passes(name) || slices.Contains(extra, name)) {
			out = append(out, e)
		}
	}
	return out
}

func passes(name string) bool {
	starts := func(p string) bool { return strings.HasPrefix(name, p) }
	return slices.Contains(passNames, name) || slices.ContainsFunc(passPrefixes, starts) && !slices.ContainsFunc(keepPrefixes, starts)
}
