package wire

import (
	"maps"
	"slices"

	"github.com/zclconf/go-cty/cty"
)

// Departure is an output that is not what was planned.
type Departure struct {
	Output       string
	Planned, Got cty.Value
}

// Departs compares the outputs of an Apply, which are known, with those of its plan: what was known must be the same, and what was
// not must be something that it can become. It returns the first output, by name, that departs from the plan, nil if none does. Both
// are objects of one type without marks.
func Departs(planned, got cty.Value) *Departure {
	values := got.AsValueMap()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if want := planned.GetAttr(name); !Includes(want, values[name]) {
			return &Departure{Output: name, Planned: want, Got: values[name]}
		}
	}
	return nil
}

// Prefix is what is known of an unknown string.
func Prefix(v cty.Value) string {
	if v.Type() == cty.String && !v.IsKnown() {
		return v.Range().StringPrefix()
	}
	return ""
}

// Includes tells whether a value is one that the other, which may be unknown in parts, can become.
func Includes(want, got cty.Value) bool {
	switch {
	case !want.IsKnown():
		in := want.Range().Includes(got)
		return !in.IsKnown() || in.True()
	case want.IsWhollyKnown() || got.IsNull() || want.IsNull():
		return want.RawEquals(got)
	case want.Type().IsObjectType() || want.Type().IsMapType() || want.Type().IsListType():
		return includesElements(want, got)
	}
	return true
}

func includesElements(want, got cty.Value) bool {
	if want.LengthInt() != got.LengthInt() {
		return false
	}
	for it := want.ElementIterator(); it.Next(); {
		k, v := it.Element()
		var part cty.Value
		switch {
		case want.Type().IsObjectType():
			part = got.GetAttr(k.AsString())
		case got.HasIndex(k).True():
			part = got.Index(k)
		default:
			return false
		}
		if !Includes(v, part) {
			return false
		}
	}
	return true
}
