// Package mask finds the parts of rendered objects that depend on sensitive inputs, by structure: what was rendered from the real inputs is
// compared with twins, which were rendered from inputs with another value at each sensitive place. Whatever differs depends on one.
// A part is found however it was made of a secret: cut, encoded, hashed, or turned into a number.
package mask

import (
	"encoding/json"
	"maps"
	"reflect"
)

// Text stands for a value that is not shown.
const Text = "(sensitive)"

// Tree says which parts of a value are sensitive. Nil: none. It is not changed once it is made.
type Tree struct {
	whole  bool
	fields map[string]*Tree // of a map
	items  []*Tree          // of a list
	list   []any            // the list that items is about
}

// Whole is the tree of a value that is sensitive as a whole.
func Whole() *Tree { return &Tree{whole: true} }

// Between compares a value with its twin. It returns nil if they are the same.
func Between(real, twin any) *Tree {
	switch real := real.(type) {
	case map[string]any:
		other, ok := twin.(map[string]any)
		if !ok {
			return Whole()
		}
		return betweenMaps(real, other)
	case []any:
		other, ok := twin.([]any)
		if !ok || len(real) != len(other) {
			return Whole()
		}
		t := &Tree{list: real, items: make([]*Tree, len(real))}
		found := false
		for i := range real {
			t.items[i] = Between(real[i], other[i])
			found = found || t.items[i] != nil
		}
		if found {
			return t
		}
		return nil
	}
	if reflect.DeepEqual(real, twin) {
		return nil
	}
	return Whole()
}

func betweenMaps(real, twin map[string]any) *Tree {
	fields := map[string]*Tree{}
	gone, strange := 0, 0 // keys that only one of them has
	for k, v := range real {
		other, there := twin[k]
		if !there {
			gone++
			fields[k] = Whole()
		} else if t := Between(v, other); t != nil {
			fields[k] = t
		}
	}
	for k := range twin {
		if _, there := real[k]; !there {
			strange++
		}
	}
	switch {
	case gone > 0 && strange > 0, strange > 0 && len(real) == 0:
		return Whole() // the keys are sensitive themselves, or that there are none
	case len(fields) == 0:
		return nil
	}
	return &Tree{fields: fields}
}

// With returns the parts that are sensitive by one tree or the other, both of the same value.
func (t *Tree) With(other *Tree) *Tree {
	switch {
	case t == nil || other != nil && other.whole:
		return other
	case other == nil || t.whole:
		return t
	case t.items != nil && other.items != nil && len(t.items) == len(other.items):
		out := &Tree{list: t.list, items: make([]*Tree, len(t.items))}
		for i := range t.items {
			out.items[i] = t.items[i].With(other.items[i])
		}
		return out
	case t.fields != nil && other.fields != nil:
		out := &Tree{fields: maps.Clone(t.fields)}
		for k, o := range other.fields {
			out.fields[k] = out.fields[k].With(o)
		}
		return out
	}
	return Whole()
}

// IsWhole tells whether the value is sensitive as a whole.
func (t *Tree) IsWhole() bool { return t != nil && t.whole }

// Field returns the tree of a field of a map.
func (t *Tree) Field(name string) *Tree {
	switch {
	case t == nil:
		return nil
	case t.whole || t.items != nil:
		return Whole()
	}
	return t.fields[name]
}

// Item returns the tree of the item of a list that has the given fields. If there is no such item, or it cannot be told apart from a sensitive
// one, the item is sensitive as a whole.
func (t *Tree) Item(names map[string]any) *Tree {
	if t == nil {
		return nil
	}
	if t.items == nil {
		return Whole()
	}
	var found *Tree
	for i, item := range t.list {
		m, ok := item.(map[string]any)
		if !ok {
			return Whole()
		}
		same := true
		for k, v := range names {
			if t.items[i].Field(k) != nil {
				return Whole() // what names it is sensitive
			}
			same = same && reflect.DeepEqual(m[k], v)
		}
		if same {
			found = found.With(t.items[i])
		}
	}
	return found
}

// Names tells whether the fields that name the items of a list are sensitive in one of them.
func (t *Tree) Names(key []string) bool {
	if t == nil {
		return false
	}
	for _, item := range t.items {
		for _, k := range key {
			if item.Field(k) != nil {
				return true
			}
		}
	}
	return t.whole
}

// Apply returns a value with Text in the place of each sensitive part. What has none is shared with the value.
func (t *Tree) Apply(value any) any {
	if t == nil {
		return value
	}
	if t.whole {
		return Text
	}
	switch value := value.(type) {
	case map[string]any:
		if t.fields == nil {
			return Text
		}
		out := maps.Clone(value)
		for k, f := range t.fields {
			if v, there := out[k]; there {
				out[k] = f.Apply(v)
			}
		}
		return out
	case []any:
		if len(t.items) != len(value) {
			return Text
		}
		out := make([]any, len(value))
		for i := range value {
			out[i] = t.items[i].Apply(value[i])
		}
		return out
	}
	return Text
}

// Values calls fn for each sensitive part of a value that is no map and no list.
func (t *Tree) Values(value any, fn func(any)) {
	if t == nil {
		return
	}
	switch value := value.(type) {
	case map[string]any:
		for k, v := range value {
			t.Field(k).Values(v, fn)
		}
	case []any:
		for i, v := range value {
			if i < len(t.items) {
				t.items[i].Values(v, fn)
			} else {
				Whole().Values(v, fn)
			}
		}
	default:
		fn(value)
	}
}

// stored is how a tree is written: it has the names of fields, and no values.
type stored struct {
	Whole  bool             `json:"whole,omitempty"`
	Fields map[string]*Tree `json:"fields,omitempty"`
	Items  []*Tree          `json:"items,omitempty"`
}

// MarshalJSON writes where the sensitive parts are.
func (t *Tree) MarshalJSON() ([]byte, error) {
	if t == nil {
		return []byte("null"), nil
	}
	return json.Marshal(stored{t.whole, t.fields, t.items})
}

// UnmarshalJSON reads what MarshalJSON has written.
func (t *Tree) UnmarshalJSON(text []byte) error {
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*t = Tree{whole: s.Whole, fields: s.Fields, items: s.Items}
	return nil
}

// On returns a tree that was read for a value of the same form, so that items of lists can be found in it by their names.
func (t *Tree) On(value any) *Tree {
	if t == nil || t.whole {
		return t
	}
	switch value := value.(type) {
	case map[string]any:
		out := &Tree{fields: make(map[string]*Tree, len(t.fields))}
		for k, f := range t.fields {
			out.fields[k] = f.On(value[k])
		}
		return out
	case []any:
		if len(value) != len(t.items) {
			return Whole()
		}
		out := &Tree{list: value, items: make([]*Tree, len(t.items))}
		for i, item := range t.items {
			out.items[i] = item.On(value[i])
		}
		return out
	}
	return Whole()
}
