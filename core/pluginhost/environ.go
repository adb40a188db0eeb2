package pluginhost

import (
	"net/url"
	"slices"
	"strings"

	"github.com/davit-sh/davit/state/key"
)

// neutral are the environment variables that every plugin sees: the user and their language, folders of settings,
// limits of a process, trusted certificates. A name that ends in * is a prefix.
var neutral = []string{
	"HOME", "PATH", "USER", "LOGNAME", "TMPDIR", "LANG", "LC_*", "TZ", "XDG_*", "GOMEMLIMIT", "GOMAXPROCS", "SSL_CERT_FILE", "SSL_CERT_DIR",
}

// proxies are passed to every plugin if they hold no password.
var proxies = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}

// withheld are variables that no plugin sees, whatever a stack says: the key of the fingerprints in state, and where plugins
// under a debugger serve, for whoever knows that could speak to them.
var withheld = []string{key.Env, ReattachVariable}

// Withheld returns whether a variable is reserved for davit, so that no plugin may see it.
func Withheld(name string) bool { return slices.Contains(withheld, name) }

// environ returns those of all (as os.Environ gives them) that a plugin may see. allowed are the names that it may see
// besides the neutral ones, in the form of those.
func environ(all, allowed []string) []string {
	var out []string
	for _, e := range all {
		name, value, ok := strings.Cut(e, "=")
		switch {
		case !ok || Withheld(name):
		case named(name, neutral), named(name, allowed), slices.Contains(proxies, name) && !hasPassword(value):
			out = append(out, e)
		}
	}
	return out
}

// named returns whether a name matches a list of names and prefixes.
func named(name string, list []string) bool {
	return slices.ContainsFunc(list, func(n string) bool {
		prefix, open := strings.CutSuffix(n, "*")
		return n == name || open && strings.HasPrefix(name, prefix)
	})
}

// hasPassword returns whether the URL of a proxy has credentials.
func hasPassword(address string) bool {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	return err != nil || u.User != nil
}
