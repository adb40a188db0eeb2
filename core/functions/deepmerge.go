package functions

import (
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// deepMerge merges maps as Helm merges the files of several -f flags: a later map wins, two maps under one key are merged in
// turn, and every other value (a list or a null as well) replaces the earlier one.
var deepMerge = function.New(&function.Spec{
	Description: "Merges maps and the maps in them. For a key with several values, the last one wins; a list or a null replaces the earlier value.",
	VarParam: &function.Parameter{
		Name: "maps", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true,
	},
	Type: func(args []cty.Value) (cty.Type, error) {
		v, err := mergeDeeply(args)
		return v.Type(), err
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return mergeDeeply(args) },
})

func mergeDeeply(maps []cty.Value) (cty.Value, error) {
	merged := cty.EmptyObjectVal
	for i, m := range maps {
		plain, _ := m.Unmark()
		switch {
		case plain.IsKnown() && plain.IsNull(): // as merge does
		case plain.Type() == cty.DynamicPseudoType, isMap(plain):
			merged = mergeTwo(merged, m)
		default:
			return cty.DynamicVal, function.NewArgErrorf(i, "must be a map or an object, not %s", plain.Type().FriendlyName())
		}
	}
	return merged, nil
}

func isMap(v cty.Value) bool { return v.Type().IsMapType() || v.Type().IsObjectType() }

// mergeTwo returns b laid over a. The marks of both stay on the result; those of single values stay on the values.
func mergeTwo(a, b cty.Value) cty.Value {
	under, underMarks := a.Unmark()
	over, overMarks := b.Unmark()
	switch {
	case isMap(under) && !over.IsKnown() && (over.Type() == cty.DynamicPseudoType || isMap(over)), !under.IsKnown() && isMap(over):
		// An unknown value may be a map whose keys join the other map's, or replace it.
		return cty.DynamicVal.WithMarks(underMarks, overMarks)
	case !isMap(under) || !isMap(over) || over.IsNull() || under.IsNull():
		return b
	}
	out := under.AsValueMap()
	if out == nil {
		out = map[string]cty.Value{}
	}
	for it := over.ElementIterator(); it.Next(); {
		k, v := it.Element()
		key := k.AsString()
		if old, ok := out[key]; ok {
			v = mergeTwo(old, v)
		}
		out[key] = v
	}
	return cty.ObjectVal(out).WithMarks(underMarks, overMarks)
}
