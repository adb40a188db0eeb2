// Package hint finds the instances that a webhook's hint is about: "there is something new in this repository". A hint is never believed; it
// only says where to look now.
package hint

import (
	"net/url"
	"slices"
	"strings"
)

// The kinds of repositories.
const (
	Git   = "git"
	Image = "image"
)

// Hint says that a repository may have something new.
type Hint struct {
	Kind string // Git or Image
	// Repositories are the names and addresses of the one repository, as its host gives them.
	Repositories []string
	Ref          string // the branch or tag, for people; "" when it is not told
	Hook         string // that brought the hint
}

// String returns the hint for people: "hook shop: git https://git.example.com/acme/shop main".
func (h Hint) String() string {
	text := "hook " + h.Hook + ": " + h.Kind
	if len(h.Repositories) > 0 {
		text += " " + h.Repositories[0]
	}
	if h.Ref != "" {
		text += " " + h.Ref
	}
	return text
}

// Named is an instance with the repositories that its configuration names.
type Named struct {
	Address string
	Texts   []string // arguments that may be repositories
}

// Match returns the addresses of the instances whose configuration names the repository of the hint. When there are none, those count whose
// repository has the same path on another host: a host inside the cluster is often called otherwise than outside.
func (h Hint) Match(instances []Named) []string {
	var names []Name
	for _, r := range h.Repositories {
		if n, ok := Parse(r); ok {
			names = append(names, n)
		}
	}
	found := matching(instances, func(n Name) bool { return slices.Contains(names, n) })
	if len(found) == 0 {
		found = matching(instances, func(n Name) bool {
			return strings.Contains(n.Path, "/") && slices.ContainsFunc(names, func(other Name) bool { return other.Path == n.Path })
		})
	}
	return found
}

func matching(instances []Named, fits func(Name) bool) []string {
	var found []string
	for _, in := range instances {
		if slices.ContainsFunc(in.Texts, func(text string) bool {
			n, ok := Parse(text)
			return ok && fits(n)
		}) {
			found = append(found, in.Address)
		}
	}
	return found
}

// Name is a repository's name in a form that can be compared: without scheme, user, port and ".git", in lower case.
type Name struct{ Host, Path string }

// longest is the longest text that can be a repository's name.
const longest = 2048

// Parse reads the address or name of a repository: a URL, git@host:path, host/path, or a name of Docker Hub. ok is false for what is none.
func Parse(text string) (n Name, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" || len(text) > longest || strings.ContainsAny(text, " \t\r\n\\") {
		return n, false
	}
	host, path := "", ""
	switch scheme, rest, isURL := strings.Cut(text, "://"); {
	case isURL && (scheme == "file" || scheme == ""):
		return n, false
	case isURL:
		u, err := url.Parse("x://" + rest)
		if err != nil {
			return n, false
		}
		host, path = u.Hostname(), u.Path
	case strings.HasPrefix(text, "/"), strings.HasPrefix(text, "."), strings.HasPrefix(text, "~"):
		return n, false // a path on this machine
	default:
		host, path = splitName(text)
	}
	path = strings.ToLower(strings.Trim(path, "/"))
	path = strings.TrimSuffix(path, ".git")
	path = strings.TrimPrefix(path, "scm/") // of Bitbucket Server over HTTP
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	switch host {
	case "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com":
		host = "docker.io"
	}
	if host == "docker.io" && path != "" && !strings.Contains(path, "/") {
		path = "library/" + path
	}
	return Name{host, path}, host != "" && path != ""
}

// splitName splits what has no scheme: git@host:path, host:port/path, host/path, and names of Docker Hub.
func splitName(text string) (host, path string) {
	if user, rest, ok := strings.Cut(text, "@"); ok && !strings.ContainsAny(user, "/:") {
		host, path, ok = strings.Cut(rest, ":") // as scp has it
		if !ok {
			return "", ""
		}
		return host, path
	}
	text, _, _ = strings.Cut(text, "@") // a digest
	first, rest, ok := strings.Cut(text, "/")
	if ok && (strings.ContainsAny(first, ".:") || first == "localhost") {
		if h, after, colon := strings.Cut(first, ":"); colon && strings.Trim(after, "0123456789") != "" {
			return h, after + "/" + rest // scp without a user: host:path/to
		} else if colon {
			first = h
		}
		return first, untagged(rest)
	}
	if h, p, colon := strings.Cut(text, ":"); colon && strings.Contains(h, ".") {
		return h, p
	}
	return "docker.io", untagged(text)
}

// untagged takes the tag off a name.
func untagged(path string) string {
	last := strings.LastIndex(path, "/") + 1
	name, _, _ := strings.Cut(path[last:], ":")
	return path[:last] + name
}
