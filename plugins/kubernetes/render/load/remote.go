package load

import (
	"net/url"
	"path"
	"regexp"
	"strings"
)

// beginnings match the entries that Kustomize would fetch: over HTTP when its URL has that scheme, with Git when it begins with
// a scheme, a forced protocol (git::), a user (git@host:), or GitHub's name.
var beginnings = regexp.MustCompile(`^(?i:git::|https?:|ssh://|file://|[a-z][a-z0-9-]*@|github\.com[/:])`)

// remote tells whether Kustomize would fetch an entry. Kustomize looks at the rest of the entry, too; here the beginning decides,
// so that what Kustomize takes for remote is always refused. TestRemoteIsWhatKustomizeFetches compares this with Kustomize's own
// functions.
func remote(entry string) bool {
	// Kustomize compares lower-cased texts, which makes a Latin letter of a few others.
	return beginnings.MatchString(entry) || beginnings.MatchString(strings.ToLower(entry))
}

// objection returns why an entry of a kustomization does not name a file or folder of the source; empty when it does.
// The raw entry is looked at: what Kustomize does with it depends on nothing else.
func objection(dir, entry string) string {
	bare := strings.TrimPrefix(entry, "./")
	if bare != "/" {
		bare = strings.TrimSuffix(bare, "/")
	}
	switch {
	case remote(entry):
		return "which Kustomize would fetch"
	case strings.HasPrefix(entry, "/"):
		return "which is an absolute path"
	case strings.ContainsAny(entry, "?\x00\n\r"):
		return "which has characters that are not allowed in a path"
	case bare != "" && path.Clean(bare) != bare:
		return "which is not in the shortest form of a path"
	case entry == "" || leaves(path.Join(dir, entry)):
		return "which is not in the source"
	}
	return ""
}

func leaves(name string) bool { return name == ".." || strings.HasPrefix(name, "../") }

// quotable is an entry as an error may show it: without the user and password of a URL, and without the text of a patch.
func quotable(entry string) string {
	if strings.ContainsAny(entry, "\n{") || strings.Contains(entry, ": ") && !remote(entry) {
		return "an inline text"
	}
	if u, err := url.Parse(entry); err == nil && u.User != nil {
		u.User = nil
		entry = u.String()
	} else if at := strings.LastIndexByte(entry, '@'); at >= 0 && remote(entry) {
		entry = entry[at+1:]
	}
	const most = 200
	if len(entry) > most {
		entry = strings.ToValidUTF8(entry[:most], "") + "..."
	}
	return entry
}

// isURL tells whether Kustomize's plugins would fetch a file of this name.
func isURL(name string) bool {
	u, err := url.Parse(name)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https")
}
