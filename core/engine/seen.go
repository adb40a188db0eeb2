package engine

import (
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/kinds"
)

// seen is what others see of an instance, but for its address: the values of its attributes, in the order of its type's names. A cty
// object is several times as large, since it has a type and a map of its own. Nil is of one that is not done.
type seen []cty.Value

// see puts together what others see: the arguments, and the outputs over them.
func (t *blockType) see(config, outputs cty.Value) seen {
	s := make(seen, len(t.seen))
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

// attribute returns what others see of one attribute.
func (in *instance) attribute(name string) (cty.Value, bool) {
	if in.seen == nil {
		return cty.NilVal, false
	}
	if name == kinds.Address {
		return cty.StringVal(in.addr.String()), true
	}
	return in.node.typ.seenAttribute(in.seen, name)
}

// seenAttribute returns one attribute of what others see of an instance, false if there is none of that name.
func (t *blockType) seenAttribute(s seen, name string) (cty.Value, bool) {
	i, ok := slices.BinarySearch(t.seen, name)
	if !ok || s[i] == cty.NilVal {
		return cty.NilVal, false
	}
	return s[i], true
}

// output returns one of the outputs that every type of its kind has, of an instance that is done.
func (in *instance) output(name string) cty.Value {
	v, _ := in.attribute(name)
	return v
}

// value returns all that others see, as an object. It is NilVal for an instance that is not done.
func (in *instance) value() cty.Value {
	if in.seen == nil {
		return cty.NilVal
	}
	return in.node.typ.object(in.addr.String(), in.seen)
}

// object returns what others see of an instance as a value. Its address is one of the attributes.
func (t *blockType) object(address string, s seen) cty.Value {
	attrs := make(map[string]cty.Value, len(s)+1)
	for i, v := range s {
		if v != cty.NilVal {
			attrs[t.seen[i]] = v
		}
	}
	attrs[kinds.Address] = cty.StringVal(address)
	return cty.ObjectVal(attrs)
}

// isKnown tells whether nothing of what others see is unknown.
func (s seen) isKnown() bool {
	return !slices.ContainsFunc(s, func(v cty.Value) bool {
		return v != cty.NilVal && !deep.Known(deep.Unmarked(v))
	})
}

// same tells whether two are the same, and done.
func (s seen) same(o seen) bool {
	return s != nil && slices.EqualFunc(s, o, func(a, b cty.Value) bool {
		if a == cty.NilVal || b == cty.NilVal {
			return a == b
		}
		return a.RawEquals(b)
	})
}
