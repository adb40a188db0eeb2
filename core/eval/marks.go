package eval

import (
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/functions"
)

// Sensitive marks a value that must not be shown or stored.
const Sensitive = functions.Sensitive

// MarkAttributes marks attributes of an object as sensitive. A null has nothing to hide.
func MarkAttributes(v cty.Value, names []string) cty.Value {
	if len(names) == 0 {
		return v
	}
	attrs := v.AsValueMap()
	for _, name := range names {
		if x := attrs[name]; !x.IsKnown() || !x.IsNull() {
			attrs[name] = x.Mark(Sensitive)
		}
	}
	return cty.ObjectVal(attrs)
}

// Mark marks what the schema calls sensitive, in nested blocks as well.
func (s *Schema) Mark(v cty.Value) cty.Value {
	if !s.secret {
		return v
	}
	v = MarkAttributes(v, s.sensitive)
	attrs := v.AsValueMap()
	for _, name := range s.blocks {
		attrs[name] = s.Blocks[name].mark(attrs[name])
	}
	return cty.ObjectVal(attrs)
}

func (n *Nested) mark(v cty.Value) cty.Value {
	switch {
	case !n.secret || !v.IsKnown() || v.IsNull() || v.IsMarked():
		return v
	case !n.List:
		return n.Mark(v)
	case v.LengthInt() == 0:
		return v
	}
	list := v.AsValueSlice()
	for i, x := range list {
		if x.IsKnown() && !x.IsNull() && !x.IsMarked() {
			list[i] = n.Mark(x)
		}
	}
	return cty.ListVal(list)
}
