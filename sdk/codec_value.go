package sdk

import (
	"reflect"

	"github.com/zclconf/go-cty/cty"
)

// anyValue is how a codec reaches into a Value[T].
type anyValue interface {
	elem() reflect.Type
	get() (v reflect.Value, state valueState, prefix string)
	set(state valueState, prefix string) (into reflect.Value)
}

func (v *Value[T]) elem() reflect.Type { return reflect.TypeFor[T]() }

func (v *Value[T]) get() (reflect.Value, valueState, string) {
	return reflect.ValueOf(&v.v).Elem(), v.state, v.prefix
}

func (v *Value[T]) set(state valueState, prefix string) reflect.Value {
	v.state, v.prefix = state, prefix
	return reflect.ValueOf(&v.v).Elem()
}

// value is the codec of a Value[T].
type value struct {
	form
	inner            codec
	unknown, perhaps cty.Value // unknown and not null; unknown and perhaps null
}

func newValueCodec(inner codec) value {
	k := formOf(inner.typ())
	perhaps := cty.UnknownVal(k.nothing.Type())
	return value{form: k, inner: inner, perhaps: perhaps, unknown: perhaps.RefineNotNull()}
}

func (c value) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	x, _ := reflect.TypeAssert[anyValue](into.Addr())
	switch {
	case !v.IsKnown():
		x.set(unknownState(v), prefixOf(v))
	case v.IsNull():
		x.set(valueNull, "")
	default:
		inner := &decoder{}
		c.inner.decode(inner, v, x.set(valueKnown, ""), path)
		d.errs, d.broken, d.deprecated = append(d.errs, inner.errs...), append(d.broken, inner.broken...), append(d.deprecated, inner.deprecated...)
		if len(inner.unknown) > 0 { // unknown somewhere inside
			x.set(valueUnknown, "").SetZero()
		}
	}
}

func unknownState(v cty.Value) valueState {
	if v.Range().DefinitelyNotNull() {
		return valueUnknown
	}
	return valueUnknownOrNull
}

func prefixOf(v cty.Value) string {
	if v.Type() == cty.String {
		return v.Range().StringPrefix()
	}
	return ""
}

func (c value) encode(v reflect.Value) (cty.Value, error) {
	if !v.CanAddr() { // an element of a map
		at := reflect.New(v.Type()).Elem()
		at.Set(v)
		v = at
	}
	a, _ := reflect.TypeAssert[anyValue](v.Addr())
	x, state, prefix := a.get()
	switch {
	case state == valueNull:
		return c.nothing, nil
	case state == valueKnown:
		return c.inner.encode(x)
	case prefix != "" && c.t == cty.String:
		b := cty.UnknownVal(cty.String).Refine().StringPrefixFull(utf8(prefix))
		if state == valueUnknown {
			b = b.NotNull()
		}
		return b.NewValue(), nil
	case state == valueUnknown:
		return c.unknown, nil
	}
	return c.perhaps, nil
}
