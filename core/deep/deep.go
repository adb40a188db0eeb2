// Package deep looks at all parts of a value. go-cty's own ways of it make a path and an iterator for each part, and
// every value that davit plans is looked at several times.
package deep

import "github.com/zclconf/go-cty/cty"

// Marked tells whether a value or a part of it is marked.
func Marked(v cty.Value) bool { return some(v, cty.Value.IsMarked) }

// Unmarked is a value with no marks on any part.
func Unmarked(v cty.Value) cty.Value {
	if !Marked(v) {
		return v
	}
	plain, _ := v.UnmarkDeep()
	return plain
}

// Known tells whether no part of a value is unknown.
func Known(v cty.Value) bool {
	return !some(v, func(v cty.Value) bool { return !v.IsKnown() })
}

// some tells whether something is so of a value or of a part of it.
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
