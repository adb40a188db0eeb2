package secret

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/eval"
)

// MaskedJSON stands for a sensitive value in a field.
var MaskedJSON = json.RawMessage(`"` + Masked + `"`)

// Secrets are the sensitive strings that a run has met. What leaves the run is searched for
// them: a plugin may repeat a secret in a log line or an output that it did not mean to.
type Secrets struct {
	mu    sync.RWMutex
	list  []string // in all their forms, the longest first
	short []string // too short to be looked for inside of words
}

// shortest is the length below which a string is too common to search for.
const shortest = 6

// shortestLine is the same for one line of a longer secret.
const shortestLine = 12

// Masked stands for a sensitive value in a text.
const Masked = "(sensitive)"

// AddFrom adds the marked strings in a value.
func (s *Secrets) AddFrom(v cty.Value) {
	if !deep.Marked(v) {
		return
	}
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if v.IsMarked() {
			u, _ := v.UnmarkDeep()
			s.addAll(u)
			return false, nil
		}
		return true, nil
	})
}

func (s *Secrets) addAll(v cty.Value) {
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		switch {
		case !v.IsKnown() || v.IsNull():
		case v.Type() == cty.String:
			s.add(v.AsString())
		case v.Type() == cty.Number:
			s.add(v.AsBigFloat().Text('f', -1))
		}
		return true, nil
	})
}

func (s *Secrets) add(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(text) < shortest {
		s.addShort(text)
		return
	}
	if slices.Contains(s.list, text) {
		return
	}
	for _, form := range formsOf(text) {
		if !slices.Contains(s.list, form) {
			s.list = append(s.list, form)
		}
	}
	// One that is part of another must not leave the rest of that to be read.
	slices.SortStableFunc(s.list, func(a, b string) int { return len(b) - len(a) })
}

// formsOf are a secret as it is and as programs write it: in JSON, in a URL, in base64 (inside of a longer text and twice as well), hex, upper
// and lower case; and its lines, as a log has no longer ones.
func formsOf(text string) []string {
	encoded := base64.StdEncoding.EncodeToString([]byte(text))
	list := []string{
		text, jsonText(text, true), jsonText(text, false), url.QueryEscape(text), url.PathEscape(text), url.UserPassword("", text).String()[1:],
		strings.TrimRight(encoded, "="), strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(text)), "="),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(encoded)), "="),
		hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))), strings.ToUpper(text), strings.ToLower(text),
	}
	if len(text) >= shortestInside {
		list = append(list, insideBase64(text, 1), insideBase64(text, 2))
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); len(line) >= shortestLine {
			list = append(list, line)
		}
	}
	return list
}

// shortestInside is the length from which a secret is looked for inside of what was encoded in base64 with something before it.
const shortestInside = 8

// insideBase64 is what base64 makes of a text that begins at an offset in what is encoded, without the ends, which depend on what is beside it.
func insideBase64(text string, offset int) string {
	encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + text))
	begin := map[int]int{1: 2, 2: 3}[offset]
	return encoded[begin : (len(text)+offset)/3*4]
}

// shortestAlone is the length from which a short secret is looked for, where it stands alone. Shorter numbers and words are everywhere.
const shortestAlone = 3

// addShort adds a secret that is looked for where it stands alone only. The lock is held.
func (s *Secrets) addShort(text string) {
	common := text == "true" || text == "false" || text == "null" || text == "none"
	if len(text) < shortestAlone || common || slices.Contains(s.short, text) {
		return
	}
	s.short = append(s.short, text)
}

// maskAlone replaces a text where no letters, digits or signs of names are beside it.
func maskAlone(text, secret string) string {
	var out strings.Builder
	for from := 0; ; {
		i := strings.Index(text[from:], secret)
		if i < 0 {
			out.WriteString(text[from:])
			return out.String()
		}
		i += from
		end := i + len(secret)
		out.WriteString(text[from:i])
		if (i == 0 || !ofName(text[i-1])) && (end == len(text) || !ofName(text[end]) || text[end] == '.' && (end+1 == len(text) || text[end+1] == ' ')) {
			out.WriteString(Masked)
		} else {
			out.WriteString(secret)
		}
		from = end
	}
}

// ofName tells whether a byte can be a part of a name or a number.
func ofName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_-./", c) >= 0 || c >= 0x80
}

// jsonText is a text in JSON, without the quotes. Go escapes what means something in HTML, others do not.
func jsonText(text string, html bool) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(html)
	if e.Encode(text) != nil {
		return text
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(b.String(), "\n"), `"`), `"`)
}

// Mask replaces secrets in a text.
func (s *Secrets) Mask(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, secret := range s.list {
		text = strings.ReplaceAll(text, secret, Masked)
	}
	for _, secret := range s.short {
		if strings.Contains(text, secret) {
			text = maskAlone(text, secret)
		}
	}
	return text
}

func (s *Secrets) contains(text string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, secret := range s.list {
		if strings.Contains(text, secret) {
			return true
		}
	}
	return slices.Contains(s.short, text)
}

// Mark marks the strings of a value that hold a secret.
func (s *Secrets) Mark(v cty.Value) cty.Value {
	s.mu.RLock()
	none := len(s.list)+len(s.short) == 0
	s.mu.RUnlock()
	if none {
		return v
	}
	out, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if !v.IsMarked() && v.IsKnown() && !v.IsNull() && v.Type() == cty.String && s.contains(v.AsString()) {
			return v.Mark(eval.Sensitive), nil
		}
		return v, nil
	})
	if err != nil {
		return v
	}
	return out
}

// maskJSON returns JSON without secrets: a value that holds one is replaced whole.
func (s *Secrets) maskJSON(text string) (json.RawMessage, bool) {
	if text == "" {
		return nil, false
	}
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if s.contains(text) || (d.Decode(&v) == nil && s.containsInside(v)) {
		return json.RawMessage(`"` + Masked + `"`), true
	}
	return json.RawMessage(text), false
}

// containsInside looks for secrets in the texts of a JSON value, as they were before they were escaped.
func (s *Secrets) containsInside(v any) bool {
	switch v := v.(type) {
	case string:
		return s.contains(v)
	case json.Number:
		return s.contains(v.String())
	case []any:
		return slices.ContainsFunc(v, s.containsInside)
	case map[string]any:
		for key, value := range v {
			if s.contains(key) || s.containsInside(value) {
				return true
			}
		}
	}
	return false
}
