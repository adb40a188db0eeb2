package git

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/davit-sh/davit/sdk"
)

// Environment variables of the plugin.
const (
	tokenVariable = "DAVIT_GIT_TOKEN" //nolint:gosec // a name, not a token
	hostVariable  = "DAVIT_GIT_HOST"  // the host that the token is for; davit sets it if the stack has only one Git host
	netrcVariable = "NETRC"
)

// anyUser is the user that goes with a token: hosts look at the token only.
const anyUser = "davit"

// credentials are what an HTTP host is given. Each is for one host, and goes nowhere else.
type credentials struct {
	host   string // "git.example.com", "127.0.0.1:3000": with the port if it is not the scheme's own
	scheme string
	auth   *githttp.BasicAuth // sent with the first request; nil: none
	kept   string             // why the stack's credentials or DAVIT_GIT_TOKEN are not sent; empty if they are, or there are none
}

// credentialsFor finds what is sent to a host at once: the configuration's token, or the stack's for this host, or the one of the
// environment if it is for this host. What .netrc and credential helpers have is asked for when the host wants it: see later.
func credentialsFor(c Config, e *transport.Endpoint, stack sdk.Credentials) (credentials, error) {
	k := credentials{host: hostOf(e), scheme: e.Protocol}
	own, ofStack := stack.For(k.host)
	switch token := os.Getenv(tokenVariable); {
	case c.Token != "" && !k.private():
		return k, &sdk.Error{Summary: fmt.Sprintf("the token is not sent to %s without encryption", k.host), Path: sdk.At("token"), Code: "git.plain_http",
			Hint: "Use https://, or remove token if the repository is public."}
	case c.Token != "":
		k.auth = &githttp.BasicAuth{Username: cmp.Or(c.Username, anyUser), Password: c.Token}
	case ofStack && !k.private():
		k.kept = fmt.Sprintf("The token of credentials \"git\" is not sent to %s without encryption: use https://.", k.host)
	case ofStack:
		k.auth = &githttp.BasicAuth{Username: cmp.Or(c.Username, own.Username, anyUser), Password: own.Secret}
	case token == "":
	case !k.private():
		k.kept = fmt.Sprintf("%s is not sent to %s without encryption: use https://.", tokenVariable, k.host)
	case os.Getenv(hostVariable) == "":
		k.kept = fmt.Sprintf("%s is set but not sent, because the stack may have several Git hosts: set %s=%s if the token is for this host.", tokenVariable, hostVariable, k.host)
	case !strings.EqualFold(os.Getenv(hostVariable), k.host):
		k.kept = fmt.Sprintf("%s is for %s (%s), so it is not sent to %s.", tokenVariable, os.Getenv(hostVariable), hostVariable, k.host)
	default:
		k.auth = &githttp.BasicAuth{Username: cmp.Or(c.Username, anyUser), Password: token}
	}
	return k, nil
}

// private tells whether nobody on the way can read what is sent.
func (k credentials) private() bool { return k.scheme == "https" || isLoopback(k.host) }

// hint says what to do when the host refuses.
func (k credentials) hint() string {
	hint := "Add credentials \"git\" for the host to the stack, or set " + tokenVariable + " with " + hostVariable + ", or add the host to .netrc or to a credential helper of Git."
	return strings.TrimSpace(k.kept + " " + hint)
}

// later finds credentials for a host that refused to answer without: those of .netrc, then those of the credential helpers in the
// user's own Git configuration. It returns nil if there are none.
func (k credentials) later(ctx context.Context) *githttp.BasicAuth {
	if k.auth != nil || !k.private() {
		return nil
	}
	if auth := k.netrc(); auth != nil {
		return auth
	}
	return k.helper(ctx)
}

// netrc looks into the user's .netrc. Its "default" entry is for any host, so it is not used.
func (k credentials) netrc() *githttp.BasicAuth {
	file := os.Getenv(netrcVariable)
	if home, err := os.UserHomeDir(); file == "" && err == nil {
		file = filepath.Join(home, ".netrc")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return parseNetrc(string(text), nameOf(k.host))
}

// parseNetrc finds the login and password of a machine.
func parseNetrc(text, machine string) *githttp.BasicAuth {
	var found *githttp.BasicAuth
	words := netrcWords(text)
	for i := 0; i+1 < len(words); i++ {
		switch key, value := words[i], words[i+1]; key {
		case "machine", "default":
			if found != nil {
				return found
			}
			if key == "machine" {
				i++
				if strings.EqualFold(value, machine) {
					found = &githttp.BasicAuth{}
				}
			}
		case "login", "password", "account":
			i++
			switch {
			case found == nil:
			case key == "login":
				found.Username = value
			case key == "password":
				found.Password = value
			}
		}
	}
	return found
}

// netrcWords are the words of a .netrc without its macros, which end at an empty line.
func netrcWords(text string) []string {
	var words []string
	macro := false
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
			macro = false
		case macro || strings.HasPrefix(fields[0], "#"):
		case fields[0] == "macdef":
			macro = true
		default:
			words = append(words, fields...)
		}
	}
	return words
}

// helper asks Git's credential helpers, if the user's own configuration names one for the host. Git runs them; it asks no person.
func (k credentials) helper(ctx context.Context) *githttp.BasicAuth {
	program, err := exec.LookPath("git")
	if err != nil {
		return nil
	}
	git := func(input string, args ...string) []byte {
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir = string(filepath.Separator) // no repository's configuration counts
		cmd.Env = append(helperEnvironment(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "GCM_INTERACTIVE=never")
		cmd.Stdin = strings.NewReader(input)
		out, err := cmd.Output()
		if err != nil {
			return nil
		}
		return out
	}
	if len(bytes.TrimSpace(git("", "config", "--global", "--includes", "--get-urlmatch", "credential.helper", k.scheme+"://"+k.host))) == 0 {
		return nil
	}
	auth := &githttp.BasicAuth{}
	for line := range strings.Lines(string(git("protocol="+k.scheme+"\nhost="+k.host+"\n\n", "credential", "fill"))) {
		switch key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "="); key {
		case "username":
			auth.Username = value
		case "password":
			auth.Password = value
		}
	}
	if auth.Password == "" {
		return nil
	}
	return auth
}

// helperEnvironment is the plugin's without the token, which is none of a helper's business.
func helperEnvironment() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "DAVIT_") && !strings.HasPrefix(e, "PLUGIN_") {
			env = append(env, e)
		}
	}
	return env
}

// hostOf is the host of an address, with the port if it is not the scheme's own.
func hostOf(e *transport.Endpoint) string {
	host := strings.ToLower(e.Host)
	usual := map[string]int{"http": 80, "https": 443, "ssh": 22}[e.Protocol]
	if e.Port != 0 && e.Port != usual {
		host = net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(e.Port))
	}
	return host
}

// nameOf is a host without its port.
func nameOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// isLoopback tells whether a host, with or without a port, is this machine.
func isLoopback(host string) bool {
	name := nameOf(host)
	ip := net.ParseIP(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || ip != nil && ip.IsLoopback()
}
