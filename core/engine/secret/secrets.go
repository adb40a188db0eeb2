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

// maskedJSON stands for a sensitive value in a field.
var MaskedJSON = json.RawMessage(`"` + Masked + `"`)

// Secrets are the sensitive strings that a run has met. What leaves the run is searched for
// them: a plugin may repeat a secret in a log line or an output that it did not mean to.
type Secrets struct {
	mu   sync.RWMutex
	list []string // in all their forms, the longest first
}

// shortest is the length below which a string is too common to search for.
const shortest = 6

// shortestLine is the same for one line of a longer secret.
const shortestLine = 12

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
		if v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
			s.add(v.AsString())
		}
		return true, nil
	})
}

func (s *Secrets) add(text string) {
	if len(text) < shortest {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
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

// formsOf are a secret as it is and as programs write it: in JSON, in a URL, in base64 and hex; and its lines, as a log has
// no longer ones.
func formsOf(text string) []string {
	list := []string{
		text, jsonText(text, true), jsonText(text, false), url.QueryEscape(text), url.PathEscape(text), url.UserPassword("", text).String()[1:],
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(text)), "="), strings.TrimRight(base64.URLEncoding.EncodeToString([]byte(text)), "="),
		hex.EncodeToString([]byte(text)), strings.ToUpper(hex.EncodeToString([]byte(text))),
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); len(line) >= shortestLine {
			list = append(list, line)
		}
	}
	return list
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
	return false
}

// Mark marks the strings of a value that hold a secret.
func (s *Secrets) Mark(v cty.Value) cty.Value {
	s.mu.RLock()
	none := len(s.list) == 0
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
	if s.contains(text) || (json.Unmarshal([]byte(text), &v) == nil && s.containsInside(v)) {
		return json.RawMessage(`"` + Masked + `"`), true
	}
	return json.RawMessage(text), false
}

// containsInside looks for secrets in the texts of a JSON value, as they were before they were escaped.
func (s *Secrets) containsInside(v any) bool {
	switch v := v.(type) {
	case string:
		return s.contains(v)
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
