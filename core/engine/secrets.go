package engine

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/eval"
)

// secrets are the sensitive strings that a run has met. What leaves the run is searched for
// them: a plugin may repeat a secret in a log line or an output that it did not mean to.
type secrets struct {
	mu   sync.RWMutex
	list []string
}

// shortest is the length below which a string is too common to search for.
const shortest = 6

const masked = "(sensitive)"

// addFrom adds the marked strings in a value.
func (s *secrets) addFrom(v cty.Value) {
	if !v.ContainsMarked() {
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

func (s *secrets) addAll(v cty.Value) {
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
			s.add(v.AsString())
		}
		return true, nil
	})
}

func (s *secrets) add(text string) {
	if len(text) < shortest {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.list, text) {
		s.list = append(s.list, text)
	}
}

// mask replaces secrets in a text.
func (s *secrets) mask(text string) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, secret := range s.list {
		text = strings.ReplaceAll(text, secret, masked)
	}
	return text
}

func (s *secrets) in(text string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, secret := range s.list {
		if strings.Contains(text, secret) {
			return true
		}
	}
	return false
}

// mark marks the strings of a value that hold a secret.
func (s *secrets) mark(v cty.Value) cty.Value {
	s.mu.RLock()
	none := len(s.list) == 0
	s.mu.RUnlock()
	if none {
		return v
	}
	out, err := cty.Transform(v, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if !v.IsMarked() && v.IsKnown() && !v.IsNull() && v.Type() == cty.String && s.in(v.AsString()) {
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
func (s *secrets) maskJSON(text string) (json.RawMessage, bool) {
	if text == "" {
		return nil, false
	}
	if s.in(text) {
		return json.RawMessage(`"` + masked + `"`), true
	}
	return json.RawMessage(text), false
}
