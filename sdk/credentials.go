package sdk

import (
	"fmt"
	"strings"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Credential is the login for one host. Formatting it shows the host only.
type Credential struct {
	Host     string // "git.example.com", "127.0.0.1:5000": with the port if it is not the usual one
	Username string // empty: the stack names none
	Secret   string `json:"-"` // token or password
}

// String returns the host.
func (c Credential) String() string { return "credentials of " + c.Host }

// Format implements fmt.Formatter: no verb shows the secret.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// Credentials are the logins for several hosts.
type Credentials []Credential

// For returns the login for a host. host has the port if it is not the usual one. For returns false if there is none.
func (l Credentials) For(host string) (Credential, bool) {
	for _, c := range l {
		if strings.EqualFold(c.Host, host) {
			return c, true
		}
	}
	return Credential{}, false
}

func credentialsOf(list []*pluginv1.Credential) Credentials {
	var out Credentials
	for _, c := range list {
		out = append(out, Credential{Host: c.GetHost(), Username: c.GetUsername(), Secret: c.GetSecret()})
	}
	return out
}
