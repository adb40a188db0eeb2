package engine

import (
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/kinds"
)

// attribute returns what others see of one attribute.
func (in *instance) attribute(name string) (cty.Value, bool) {
	if in.seen == nil {
		return cty.NilVal, false
	}
	if name == kinds.Address {
		return cty.StringVal(in.addr.String()), true
	}
	return in.node.typ.Attribute(in.seen, name)
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
	return in.node.typ.Object(in.addr.String(), in.seen)
}
