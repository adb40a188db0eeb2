package functions

import (
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// length counts elements. In a string it counts grapheme clusters, which are what people call characters.
var length = function.New(&function.Spec{
	Description: "The number of elements of a collection, or of characters (grapheme clusters) of a string.",
	Params:      []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowDynamicType: true}},
	Type:        function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		switch v := args[0]; {
		case v.Type() == cty.DynamicPseudoType:
			return cty.UnknownVal(cty.Number), nil
		case v.Type() == cty.String && !v.IsKnown():
			return cty.UnknownVal(cty.Number).RefineNotNull(), nil
		case v.Type() == cty.String:
			return stdlib.Strlen(v)
		case v.Type().IsObjectType():
			return cty.NumberIntVal(int64(len(v.Type().AttributeTypes()))), nil
		case v.Type().IsTupleType() || v.Type().IsCollectionType():
			return stdlib.LengthFunc.Call(args)
		}
		return cty.NilVal, function.NewArgErrorf(0, "only strings, lists, sets, maps and objects have a length")
	},
})

// maxProduct is how many combinations setproduct may make: more is a mistake, or an attack on the memory.
const maxProduct = 100_000

var setProduct = function.New(&function.Spec{
	Description: "All combinations of the elements of several sets or lists.",
	VarParam:    &function.Parameter{Name: "sets", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowDynamicType: true},
	Type: func(args []cty.Value) (cty.Type, error) {
		total := 1
		for _, a := range args {
			if a.IsKnown() && !a.IsNull() && a.CanIterateElements() {
				total *= max(1, a.LengthInt())
			}
			if total > maxProduct {
				return cty.NilType, function.NewArgErrorf(0, "there are more than %d combinations", maxProduct)
			}
		}
		return stdlib.SetProductFunc.ReturnTypeForValues(args)
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return stdlib.SetProductFunc.Call(args) },
})

// valueSet is a set of known values of one type, which may be null. Membership takes the same time whatever its size.
type valueSet map[int][]cty.Value

func (s valueSet) has(v cty.Value) bool {
	return slices.ContainsFunc(s[v.Hash()], func(w cty.Value) bool { return w.RawEquals(v) })
}

// add adds a value. It returns false if the set has it already.
func (s valueSet) add(v cty.Value) bool {
	if s.has(v) {
		return false
	}
	s[v.Hash()] = append(s[v.Hash()], v)
	return true
}

var distinct = function.New(&function.Spec{
	Description: "The elements of a list, each once, in the order in which they first occur.",
	Params:      []function.Parameter{{Name: "list", Type: cty.List(cty.DynamicPseudoType)}},
	Type:        func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() {
			return cty.UnknownVal(t), nil
		}
		seen := valueSet{}
		var out []cty.Value
		for it := args[0].ElementIterator(); it.Next(); {
			if _, v := it.Element(); seen.add(v) {
				out = append(out, v)
			}
		}
		if len(out) == 0 {
			return cty.ListValEmpty(t.ElementType()), nil
		}
		return cty.ListVal(out), nil
	},
})

var sum = function.New(&function.Spec{
	Description: "The sum of numbers.",
	Params:      []function.Parameter{{Name: "numbers", Type: cty.DynamicPseudoType}},
	Type:        function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		list, err := convert.Convert(args[0], cty.List(cty.Number))
		if err != nil || !list.IsKnown() || list.IsNull() || list.LengthInt() == 0 {
			return cty.NilVal, function.NewArgErrorf(0, "sum needs at least one number")
		}
		total := cty.Zero
		for it := list.ElementIterator(); it.Next(); {
			_, v := it.Element()
			if v.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "one of the numbers is null")
			}
			total = total.Add(v)
		}
		return total, nil
	},
})

func truth(description string, until bool) function.Function {
	return function.New(&function.Spec{
		Description: description, Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}}, Type: function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			unknown := false
			for it := args[0].ElementIterator(); it.Next(); {
				_, v := it.Element()
				switch {
				case !v.IsKnown():
					unknown = true
				case !v.IsNull() && v.True() == until, v.IsNull() && !until:
					return cty.BoolVal(until), nil
				}
			}
			if unknown {
				return cty.UnknownVal(cty.Bool), nil
			}
			return cty.BoolVal(!until), nil
		},
	})
}

var (
	every = truth("Whether all elements are true.", false)
	some  = truth("Whether an element is true.", true)
)

var one = function.New(&function.Spec{
	Description: "The only element of a list or set, null if there is none.",
	Params:      []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type: func(args []cty.Value) (cty.Type, error) {
		switch t := args[0].Type(); {
		case t.IsTupleType() && t.Length() == 0:
			return cty.DynamicPseudoType, nil
		case t.IsTupleType() && t.Length() == 1:
			return t.TupleElementType(0), nil
		case t.IsListType() || t.IsSetType():
			return t.ElementType(), nil
		}
		return cty.NilType, function.NewArgErrorf(0, "the argument must be a list or set of at most one element")
	},
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		switch args[0].LengthInt() {
		case 0:
			return cty.NullVal(t), nil
		case 1:
			it := args[0].ElementIterator()
			it.Next()
			_, v := it.Element()
			return v, nil
		}
		return cty.NilVal, function.NewArgErrorf(0, "the list must have at most one element, not %d", args[0].LengthInt())
	},
})

var matchKeys = function.New(&function.Spec{
	Description: "The values whose key, at the same index of the second list, is in the third list.",
	Params: []function.Parameter{
		{Name: "values", Type: cty.List(cty.DynamicPseudoType)}, {Name: "keys", Type: cty.List(cty.DynamicPseudoType)}, {Name: "wanted", Type: cty.List(cty.DynamicPseudoType)},
	},
	Type: func(args []cty.Value) (cty.Type, error) {
		if unified, _ := convert.UnifyUnsafe([]cty.Type{args[1].Type(), args[2].Type()}); unified == cty.NilType {
			return cty.NilType, function.NewArgErrorf(2, "its elements must have the type of the keys")
		}
		return args[0].Type(), nil
	},
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() || !args[1].IsWhollyKnown() || !args[2].IsWhollyKnown() {
			return cty.UnknownVal(t), nil
		}
		unified, _ := convert.UnifyUnsafe([]cty.Type{args[1].Type(), args[2].Type()})
		keyList, err := convert.Convert(args[1], unified)
		if err != nil {
			return cty.NilVal, function.NewArgError(1, err)
		}
		wantedList, err := convert.Convert(args[2], unified)
		if err != nil {
			return cty.NilVal, function.NewArgError(2, err)
		}
		values, keys, wanted := args[0].AsValueSlice(), keyList.AsValueSlice(), wantedList.AsValueSlice()
		if len(values) != len(keys) {
			return cty.NilVal, function.NewArgErrorf(1, "there are %d keys for %d values", len(keys), len(values))
		}
		among := valueSet{}
		for _, w := range wanted {
			among.add(w)
		}
		var out []cty.Value
		for i, k := range keys {
			if among.has(k) {
				out = append(out, values[i])
			}
		}
		if len(out) == 0 {
			return cty.ListValEmpty(t.ElementType()), nil
		}
		return cty.ListVal(out), nil
	},
})

var transpose = function.New(&function.Spec{
	Description: "Inverts a map of lists of strings: each string becomes a key for the list of its former keys.",
	Params:      []function.Parameter{{Name: "map", Type: cty.Map(cty.List(cty.String))}},
	Type:        function.StaticReturnType(cty.Map(cty.List(cty.String))),
	Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) {
		if !args[0].IsWhollyKnown() {
			return cty.UnknownVal(t), nil
		}
		turned := map[string][]cty.Value{}
		for it := args[0].ElementIterator(); it.Next(); {
			k, list := it.Element()
			if list.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "a list is null")
			}
			for _, v := range list.AsValueSlice() {
				if v.IsNull() {
					return cty.NilVal, function.NewArgErrorf(0, "a string is null")
				}
				turned[v.AsString()] = append(turned[v.AsString()], k)
			}
		}
		if len(turned) == 0 {
			return cty.MapValEmpty(cty.List(cty.String)), nil
		}
		out := map[string]cty.Value{}
		for s, keys := range turned {
			out[s] = cty.ListVal(keys)
		}
		return cty.MapVal(out), nil
	},
})

// lookup finds an element of a map by its key. Without a default, a key that is not there is an error.
var lookup = function.New(&function.Spec{
	Description: "The element of a map or an object with the key. Without such an element, the default.",
	Params: []function.Parameter{
		{Name: "map", Type: cty.DynamicPseudoType, AllowMarked: true, AllowDynamicType: true},
		{Name: "key", Type: cty.String, AllowMarked: true},
	},
	VarParam: &function.Parameter{Name: "default", Type: cty.DynamicPseudoType, AllowUnknown: true, AllowNull: true, AllowMarked: true, AllowDynamicType: true},
	Type: func(args []cty.Value) (cty.Type, error) {
		if len(args) > 2 {
			return stdlib.LookupFunc.ReturnTypeForValues(args)
		}
		v, err := element(args)
		return v.Type(), err
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if len(args) > 2 {
			return stdlib.LookupFunc.Call(args)
		}
		return element(args)
	},
})

// element is the element of a map or an object with a key that must be there.
func element(args []cty.Value) (cty.Value, error) {
	m, k := args[0], args[1]
	collection, mapMarks := m.Unmark()
	key, keyMarks := k.Unmark()
	if !collection.IsKnown() || !key.IsKnown() {
		return cty.DynamicVal.WithMarks(mapMarks, keyMarks), nil
	}
	switch name, t := key.AsString(), collection.Type(); {
	case !t.IsMapType() && !t.IsObjectType():
		return cty.DynamicVal, function.NewArgErrorf(0, "the argument must be a map or an object")
	case t.IsObjectType() && t.HasAttribute(name):
		return collection.GetAttr(name).WithMarks(mapMarks, keyMarks), nil
	case t.IsMapType() && collection.HasIndex(key).True():
		return collection.Index(key).WithMarks(mapMarks, keyMarks), nil
	}
	return cty.DynamicVal, function.NewArgErrorf(1, "the key does not exist: give a default as the third argument")
}
