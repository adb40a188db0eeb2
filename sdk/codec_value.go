package sdk

import (
	"reflect"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/sdk/internal/msgpack"
	"github.com/davit-sh/davit/sdk/wire"
)

// anyValue is how a codec reaches into a Value[T].
type anyValue interface {
	elem() reflect.Type
	get() (v reflect.Value, state valueState, prefix string)
	set(state valueState, prefix string) (into reflect.Value)
	setPieces(pieces []string)
}

func (v *Value[T]) elem() reflect.Type { return reflect.TypeFor[T]() }

func (v *Value[T]) get() (reflect.Value, valueState, string) {
	return reflect.ValueOf(&v.v).Elem(), v.state, v.prefix
}

func (v *Value[T]) set(state valueState, prefix string) reflect.Value {
	v.state, v.prefix = state, prefix
	return reflect.ValueOf(&v.v).Elem()
}

func (v *Value[T]) setPieces(pieces []string) {
	if v.IsUnknown() {
		v.pieces = strings.Join(pieces, gap)
	}
}

// value is the codec of a Value[T].
type value struct {
	form
	inner   codec
	perhaps cty.Value // unknown, and perhaps null
}

func newValueCodec(inner codec) value {
	k := formOf(inner.typ())
	return value{form: k, inner: inner, perhaps: cty.UnknownVal(k.nothing.Type())}
}

func (c value) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	x, _ := reflect.TypeAssert[anyValue](into.Addr())
	switch r.Kind() {
	case msgpack.Nil:
		x.set(valueNull, "")
	case msgpack.Extension:
		if r == notNull {
			x.set(valueUnknown, "")
			return
		}
		v, err := wire.Decode(valueOf(r), c.nothing.Type())
		if err != nil {
			d.misfit(err.Error())
			return
		}
		x.set(unknownState(v), prefixOf(v))
	default:
		before := len(d.unknown)
		c.inner.decode(d, r, x.set(valueKnown, ""))
		if len(d.unknown) > before { // unknown somewhere inside
			d.unknown = d.unknown[:before]
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

func (c value) encode(b []byte, v reflect.Value) ([]byte, error) {
	if !v.CanAddr() { // an element of a map
		at := reflect.New(v.Type()).Elem()
		at.Set(v)
		v = at
	}
	a, _ := reflect.TypeAssert[anyValue](v.Addr())
	x, state, prefix := a.get()
	switch {
	case state == valueNull:
		return msgpack.AppendNil(b), nil
	case state == valueKnown:
		return c.inner.encode(b, x)
	case state == valueUnknown && prefix == "":
		return append(b, notNull...), nil
	}
	u := c.perhaps
	if prefix != "" && c.t == cty.String {
		u = u.Refine().StringPrefixFull(utf8(prefix)).NewValue()
	}
	if state == valueUnknown {
		u = u.RefineNotNull()
	}
	r, err := rawOf(u)
	return append(b, r...), err
}
