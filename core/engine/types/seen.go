package types

import (
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/kinds"
)

// Seen is what others see of an instance, but for its address: the values of its attributes, in the order of its type's names. A cty
// object is several times as large, since it has a type and a map of its own. Nil is of one that is not done.
type Seen []cty.Value

// See puts together what others see: the arguments, and the outputs over them.
func (t *Type) See(config, outputs cty.Value) Seen {
	s := make(Seen, len(t.seen))
	for i, name := range t.seen {
		for _, v := range []cty.Value{outputs, config} {
			if v != cty.NilVal && v.IsKnown() && !v.IsNull() && v.Type().HasAttribute(name) {
				s[i] = v.GetAttr(name)
				break
			}
		}
	}
	return s
}

// Attribute returns one attribute of what others see of an instance, false if there is none of that name.
func (t *Type) Attribute(s Seen, name string) (cty.Value, bool) {
	i, ok := slices.BinarySearch(t.seen, name)
	if !ok || s[i] == cty.NilVal {
		return cty.NilVal, false
	}
	return s[i], true
}

// Object returns what others see of an instance as a value. Its address is one of the attributes.
func (t *Type) Object(address string, s Seen) cty.Value {
	attrs := make(map[string]cty.Value, len(s)+1)
	for i, v := range s {
		if v != cty.NilVal {
			attrs[t.seen[i]] = v
		}
	}
	attrs[kinds.Address] = cty.StringVal(address)
	return cty.ObjectVal(attrs)
}

// Known tells whether nothing of what others see is unknown.
func (s Seen) Known() bool {
	return !slices.ContainsFunc(s, func(v cty.Value) bool {
		return v != cty.NilVal && !deep.Known(deep.Unmarked(v))
	})
}

// SeenType returns the type of Object: the attributes of an instance as others see them.
func (t *Type) SeenType() cty.Type { return t.seenType }

func (t *Type) newSeenType() cty.Type {
	attrs := map[string]cty.Type{kinds.Address: cty.String}
	for _, name := range t.seen {
		if t.Schema.Has(name) {
			attrs[name] = t.Schema.Type().AttributeType(name)
		}
		if out, ok := t.outputs[name]; ok {
			attrs[name] = out
		}
	}
	return cty.Object(attrs)
}

// Equal tells whether two are the same, and done.
func (s Seen) Equal(o Seen) bool {
	return s != nil && slices.EqualFunc(s, o, func(a, b cty.Value) bool {
		if a == cty.NilVal || b == cty.NilVal {
			return a == b
		}
		return a.RawEquals(b)
	})
}
