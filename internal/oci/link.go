package oci

import (
	"net/http"
	"strings"
)

// link is one link of a Link header: its target and its parameters as they are written.
type link struct{ target, params string }

// links reads all links of all Link headers (RFC 8288): several may stand in one header, with commas between them.
func links(h http.Header) []link {
	var found []link
	for _, header := range h.Values("Link") {
		for header != "" {
			_, rest, ok := strings.Cut(header, "<")
			if !ok {
				break
			}
			target, rest, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			end := endOfParams(rest)
			found = append(found, link{target: strings.TrimSpace(target), params: rest[:end]})
			header = rest[end:]
		}
	}
	return found
}

// endOfParams is where the parameters of a link end: at a comma outside of quotes.
func endOfParams(s string) int {
	quoted := false
	for i, c := range s {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return i
		}
	}
	return len(s)
}

// isNext tells whether a link leads to the next page. One without a relation does: early registries wrote none.
func (l link) isNext() bool {
	named := false
	for param := range strings.SplitSeq(l.params, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if !strings.EqualFold(strings.TrimSpace(key), "rel") {
			continue
		}
		named = true
		for word := range strings.FieldsSeq(strings.Trim(strings.TrimSpace(value), `"`)) {
			if strings.EqualFold(word, "next") {
				return true
			}
		}
	}
	return !named
}
