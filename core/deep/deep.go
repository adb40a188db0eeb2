// Package deep checks all parts of a value. go-cty's own functions allocate a path and an iterator for each part, which is too
// slow for values that are checked several times in each plan.
package deep

import "github.com/zclconf/go-cty/cty"

// Marked returns whether a value or a part of it is marked.
func Marked(v cty.Value) bool { return some(v, cty.Value.IsMarked) }

// Unmarked returns the value without the marks of its parts.
func Unmarked(v cty.Value) cty.Value {
	if !Marked(v) {
		return v
	}
	plain, _ := v.UnmarkDeep()
	return plain
}

// Known returns whether all parts of a value are known.
func Known(v cty.Value) bool {
	return !some(v, func(v cty.Value) bool { return !v.IsKnown() })
}

// some returns whether is holds for a value or a part of it.
func some(v cty.Value, is func(cty.Value) bool) bool {
	if is(v) {
		return true
	}
	if v.IsMarked() {
		v, _ = v.Unmark()
	}
	t := v.Type()
	switch {
	case t.IsPrimitiveType() || !v.IsKnown() || v.IsNull():
		return false
	case t.IsObjectType():
		for name := range t.AttributeTypes() {
			if some(v.GetAttr(name), is) {
				return true
			}
		}
	case v.CanIterateElements():
		for it := v.ElementIterator(); it.Next(); {
			if _, e := it.Element(); some(e, is) {
				return true
			}
		}
	}
	return false
}
