// Package marks finds marks in values and takes them off. go-cty's own search makes a path and an iterator for each
// part of a value, and most values have no marks at all.
package marks

import "github.com/zclconf/go-cty/cty"

// In tells whether a value or a part of it is marked.
func In(v cty.Value) bool {
	if v.IsMarked() {
		return true
	}
	t := v.Type()
	switch {
	case t.IsPrimitiveType() || !v.IsKnown() || v.IsNull():
		return false
	case t.IsObjectType():
		for name := range t.AttributeTypes() {
			if In(v.GetAttr(name)) {
				return true
			}
		}
	case v.CanIterateElements():
		for it := v.ElementIterator(); it.Next(); {
			if _, e := it.Element(); In(e) {
				return true
			}
		}
	}
	return false
}

// Without is a value with no marks on any part.
func Without(v cty.Value) cty.Value {
	if !In(v) {
		return v
	}
	plain, _ := v.UnmarkDeep()
	return plain
}
