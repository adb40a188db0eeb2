// Package redact removes credentials from URLs, and from texts with URLs, such as messages of Git, registries and
// HTTP libraries.
package redact

import (
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// SecretIn names the secret part of a URL: "a user or a password", "a token (private_token)". It returns "" without one.
// The user of an SSH URL is not a secret.
func SecretIn(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return ""
	}
	authority, _, _ := strings.Cut(rest, "/")
	if user, _, has := lastCut(authority, "@"); has {
		if !strings.EqualFold(scheme, "ssh") {
			return "a user or a password"
		}
		if strings.Contains(user, ":") {
			return "a password"
		}
	}
	_, query, _ := strings.Cut(rest, "?")
	values, _ := url.ParseQuery(query)
	for name := range values {
		if isSecretName(name) {
			return "a token (" + name + ")"
		}
	}
	return ""
}

// lastCut cuts at the last separator: a password may hold it, too.
func lastCut(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// isSecretName returns whether hosts use a URL parameter of this name for tokens.
func isSecretName(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"token", "password", "passwd", "secret", "credential", "signature"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	for _, last := range []string{"auth", "key", "sig"} {
		if name == last || strings.HasSuffix(name, "_"+last) || strings.HasSuffix(name, "-"+last) {
			return true
		}
	}
	return false
}

// reURL finds URLs in a text.
var reURL = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("[A-Za-z][A-Za-z0-9+.-]*://[^\\s\"'`<>]+") })

// Text removes credentials from the URLs in a text.
func Text(text string) string { return reURL().ReplaceAllStringFunc(text, URL) }

// URL removes the user, the password and the values of parameters from a URL, also from an invalid one. The user of an SSH URL stays.
func URL(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		return raw
	}
	rest, query, hasQuery := strings.Cut(rest, "?")
	authority, path, hasPath := strings.Cut(rest, "/")
	user, host, hasUser := lastCut(authority, "@")
	if !hasUser {
		host = authority
		// A password that holds a slash: what stands before the last @ is none of a path.
		if before, after, has := lastCut(path, "@"); has && strings.Contains(authority, ":") && !strings.Contains(before, "//") && !isPort(authority) {
			host, path, hasPath = strings.Cut(after, "/")
		}
	}
	out := scheme + "://"
	if name, _, _ := strings.Cut(user, ":"); hasUser && strings.EqualFold(scheme, "ssh") {
		out += name + "@"
	}
	out += host
	if hasPath {
		out += "/" + path
	}
	if hasQuery {
		out += "?" + withoutValues(query)
	}
	return out
}

// isPort tells whether an authority ends in a port.
func isPort(authority string) bool {
	_, port, _ := lastCut(authority, ":")
	return port != "" && strings.Trim(port, "0123456789") == ""
}

// withoutValues takes the values of all parameters but Git's own out of a query.
func withoutValues(query string) string {
	query, _, _ = strings.Cut(query, "#")
	parts := strings.Split(query, "&")
	for i, p := range parts {
		if name, _, has := strings.Cut(p, "="); has && name != "service" && name != "ref" {
			parts[i] = name + "=(sensitive)"
		}
	}
	return strings.Join(parts, "&")
}

// Source replaces the credentials of URLs in the text of a file by asterisks, one for each byte, so that offsets stay valid.
func Source(text []byte) []byte {
	return reURL().ReplaceAllFunc(text, func(u []byte) []byte {
		short := URL(string(u))
		if short == string(u) {
			return u
		}
		out := make([]byte, 0, len(u))
		scheme, rest, _ := strings.Cut(string(u), "://")
		out = append(out, scheme+"://"...)
		before, query, hasQuery := strings.Cut(rest, "?")
		if user, host, has := lastCut(before, "@"); has {
			out = append(append(out, strings.Repeat("*", len(user))...), "@"+host...)
		} else {
			out = append(out, before...)
		}
		if hasQuery {
			out = append(append(out, '?'), strings.Repeat("*", len(query))...)
		}
		return out
	})
}
