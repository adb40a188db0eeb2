package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/deep"
)

// Value is a cty value in a form that can be stored, compared and read without a schema:
// unknown parts are null in Value, and named in Unknown. Sensitive parts are null and named in Sensitive.
type Value struct {
	Type      json.RawMessage   `json:"type"` // cty's JSON form of a type
	Value     json.RawMessage   `json:"value"`
	Unknown   []string          `json:"unknown,omitempty"`  // paths: "digest", "tags[2]"
	Prefixes  map[string]string `json:"prefixes,omitempty"` // what is known of unknown strings, by path
	Sensitive []string          `json:"sensitive,omitempty"`
}

// Typed makes Values of one type: the type is written down once for all of them.
type Typed struct {
	t     cty.Type
	raw   json.RawMessage
	known []byte // how a stored one begins
}

// NewTyped returns a maker of values of a type.
func NewTyped(t cty.Type) (*Typed, error) {
	raw, err := ctyjson.MarshalType(t)
	return &Typed{t: t, raw: raw, known: slices.Concat([]byte(`{"type":`), raw, []byte(`,"value":`))}, err
}

// Stored returns what is in the field Value of a Value in JSON, without decoding it. It is not ok when that is of another type, or
// when more is to be said of it: that something is unknown or sensitive.
func (t *Typed) Stored(b []byte) (value json.RawMessage, ok bool) {
	rest, ok := bytes.CutPrefix(b, t.known)
	if !ok || len(rest) == 0 {
		return nil, false
	}
	value = rest[:len(rest)-1]
	return value, rest[len(rest)-1] == '}' && jsontext.Value(value).IsValid()
}

// Value makes a Value, as NewValue does. One of another type is fine.
func (t *Typed) Value(v cty.Value) (*Value, error) {
	out := &Value{}
	clean, err := out.leaveOut(v)
	if err != nil {
		return nil, err
	}
	if out.Type = t.raw; out.Type == nil || !clean.Type().Equals(t.t) {
		if out.Type, err = ctyjson.MarshalType(clean.Type()); err != nil {
			return nil, err
		}
	}
	out.Value, err = ctyjson.Marshal(clean, clean.Type())
	return out, err
}

// Cty returns what v.Cty does.
func (t *Typed) Cty(v *Value) (cty.Value, error) {
	if bytes.Equal(v.Type, t.raw) {
		return v.as(t.t)
	}
	return v.Cty()
}

// NewValue makes a Value. Marked parts are taken to be sensitive and are left out.
func NewValue(v cty.Value) (*Value, error) { return (&Typed{}).Value(v) }

// leaveOut returns a value without what is sensitive or unknown, which is noted.
func (v *Value) leaveOut(x cty.Value) (cty.Value, error) {
	if !deep.Marked(x) && deep.Known(x) {
		return x, nil
	}
	return cty.Transform(x, func(p cty.Path, x cty.Value) (cty.Value, error) {
		if x.IsMarked() {
			u, _ := x.Unmark()
			v.Sensitive = append(v.Sensitive, PathString(p))
			return cty.NullVal(u.Type().WithoutOptionalAttributesDeep()), nil
		}
		if x.IsKnown() {
			return x, nil
		}
		path := PathString(p)
		v.Unknown = append(v.Unknown, path)
		if prefix := Prefix(x); prefix != "" {
			if v.Prefixes == nil {
				v.Prefixes = map[string]string{}
			}
			v.Prefixes[path] = prefix
		}
		return cty.NullVal(x.Type()), nil
	})
}

// Cty returns the value with its unknown parts. Sensitive parts are null.
func (v *Value) Cty() (cty.Value, error) {
	t, err := ctyjson.UnmarshalType(v.Type)
	if err != nil {
		return cty.NilVal, fmt.Errorf("type of a stored value: %w", err)
	}
	return v.as(t)
}

// as is the value as one of its type.
func (v *Value) as(t cty.Type) (cty.Value, error) {
	known, err := ctyjson.Unmarshal(v.Value, t)
	if err != nil {
		return cty.NilVal, fmt.Errorf("stored value: %w", err)
	}
	if len(v.Unknown) == 0 {
		return known, nil
	}
	unknown := make(map[string]bool, len(v.Unknown))
	for _, p := range v.Unknown {
		unknown[p] = true
	}
	return cty.Transform(known, func(p cty.Path, x cty.Value) (cty.Value, error) {
		path := PathString(p)
		if !unknown[path] {
			return x, nil
		}
		u := cty.UnknownVal(x.Type())
		if prefix := v.Prefixes[path]; prefix != "" {
			return u.Refine().NotNull().StringPrefixFull(prefix).NewValue(), nil
		}
		return u, nil
	})
}

// IsKnown tells whether nothing of the value is unknown.
func (v *Value) IsKnown() bool { return len(v.Unknown) == 0 }

// Prefix returns what is known of an unknown string.
func Prefix(v cty.Value) string {
	if v.IsKnown() || v.Type() != cty.String {
		return ""
	}
	return v.Range().StringPrefix()
}

// PathString writes a path for people: rules[0].host.
func PathString(p cty.Path) string {
	out := ""
	for _, step := range p {
		switch step := step.(type) {
		case cty.GetAttrStep:
			if out != "" {
				out += "."
			}
			out += step.Name
		case cty.IndexStep:
			switch {
			case step.Key.Type() == cty.String:
				out += fmt.Sprintf("[%q]", step.Key.AsString())
			case step.Key.Type() == cty.Number:
				out += "[" + step.Key.AsBigFloat().Text('f', -1) + "]"
			default:
				out += "[...]" // an element of a set has no name
			}
		}
	}
	return out
}
