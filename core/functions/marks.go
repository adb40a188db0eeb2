package functions

import (
	"reflect"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/customdecode"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// mark is the type of the marks that values carry.
type mark string

// Sensitive marks a value that must not be shown or stored.
const Sensitive = mark("sensitive")

func marker(impl func(cty.Value) cty.Value) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true}},
		Type:   func(args []cty.Value) (cty.Type, error) { return impl(args[0]).Type(), nil },
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return impl(args[0]), nil },
	})
}

var (
	sensitive    = marker(func(v cty.Value) cty.Value { return v.Mark(Sensitive) })
	nonsensitive = marker(func(v cty.Value) cty.Value {
		u, _ := v.Unmark()
		return u
	})
	// isSensitive of an unknown value without the mark is unknown: the value may turn out to be sensitive.
	isSensitive = marker(func(v cty.Value) cty.Value {
		if !v.IsKnown() && !v.IsMarked() {
			return cty.UnknownVal(cty.Bool)
		}
		return cty.BoolVal(v.IsMarked())
	})
)

// to makes the function that converts to a type, as tostring and its like do.
func to(want cty.Type) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if args[0].Type() == cty.DynamicPseudoType {
				return cty.DynamicPseudoType, nil
			}
			if set, ok := strings(args[0].Type(), want); ok {
				return set, nil
			}
			v, err := convert.Convert(args[0], want)
			if err != nil {
				return cty.NilType, function.NewArgErrorf(0, "this %s cannot be converted to %s", args[0].Type().FriendlyName(), want.FriendlyNameForConstraint())
			}
			return v.Type(), nil
		},
		Impl: func(args []cty.Value, t cty.Type) (cty.Value, error) { return convert.Convert(args[0], t) },
	})
}

// strings tells whether a tuple of nothing but strings becomes a collection: its type is clear without comparing
// each element's with each other's, which is slow for thousands.
func strings(from, want cty.Type) (cty.Type, bool) {
	if !from.IsTupleType() || from.Length() == 0 || (!want.IsSetType() && !want.IsListType()) {
		return cty.NilType, false
	}
	for _, t := range from.TupleElementTypes() {
		if t != cty.String {
			return cty.NilType, false
		}
	}
	if want.IsSetType() {
		return cty.Set(cty.String), true
	}
	return cty.List(cty.String), true
}

// typeArgument is the second argument of convert: a type, written as a variable's type is.
type typeArgument struct {
	want     cty.Type
	defaults *typeexpr.Defaults
}

// convertTo makes convert.
func convertTo() function.Function {
	var capsule cty.Type
	capsule = cty.CapsuleWithOps("type", reflect.TypeFor[typeArgument](), &cty.CapsuleOps{
		ExtensionData: func(key any) any { // hcl asks how to read the argument: as a type, not as a value
			if key != customdecode.CustomExpressionDecoder {
				return nil
			}
			return customdecode.CustomExpressionDecoderFunc(func(x hcl.Expression, _ *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
				t, defaults, diags := typeexpr.TypeConstraintWithDefaults(x)
				if diags.HasErrors() {
					return cty.DynamicVal, diags
				}
				return cty.CapsuleVal(capsule, &typeArgument{t, defaults}), nil
			})
		},
	})
	return function.New(&function.Spec{
		Description: "A value converted to a type, in the syntax of a variable's type.",
		Params: []function.Parameter{
			{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true}, {Name: "type", Type: capsule},
		},
		Type: func(args []cty.Value) (cty.Type, error) {
			return args[1].EncapsulatedValue().(*typeArgument).want.WithoutOptionalAttributesDeep(), nil
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			a, v := args[1].EncapsulatedValue().(*typeArgument), args[0]
			if a.defaults != nil && v.IsKnown() && !v.IsNull() {
				v = a.defaults.Apply(v)
			}
			v, err := convert.Convert(v, a.want)
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return v, nil
		},
	})
}
