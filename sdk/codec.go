package sdk

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// Duration is a length of time, written as "30s" or "5m" in a configuration.
type Duration time.Duration

// Duration returns the standard library's form.
func (d Duration) Duration() time.Duration { return time.Duration(d) }

// codec turns one Go type into cty values and back. Codecs are made once, in New.
type codec interface {
	typ() cty.Type // with optional attributes
	decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path)
	encode(v reflect.Value) (cty.Value, error)
}

// decoder gathers what a value says that Go cannot hold.
type decoder struct {
	unknown []cty.Path // plain fields whose value is not known
	errs    Errors
}

func (d *decoder) fail(path cty.Path, format string, args ...any) {
	d.errs = append(d.errs, Errorf(stepsOf(path), format, args...))
}

func stepsOf(path cty.Path) []any {
	var steps []any
	for _, s := range path {
		switch s := s.(type) {
		case cty.GetAttrStep:
			steps = append(steps, s.Name)
		case cty.IndexStep:
			if s.Key.Type() == cty.String {
				steps = append(steps, s.Key.AsString())
				continue
			}
			n, _ := s.Key.AsBigFloat().Int64()
			steps = append(steps, int(n))
		}
	}
	return steps
}

// plainly says whether v has a value that a plain Go type can hold; it notes an unknown one.
func (d *decoder) plainly(v cty.Value, path cty.Path) bool {
	if !v.IsKnown() {
		d.unknown = append(d.unknown, path.Copy())
		return false
	}
	return !v.IsNull()
}

type scalar struct{ t cty.Type }

func (c scalar) typ() cty.Type { return c.t }

func (c scalar) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	switch {
	case into.Type() == reflect.TypeFor[Duration]():
		x, err := time.ParseDuration(v.AsString())
		if err != nil {
			d.fail(path, "%q is not a length of time such as \"30s\" or \"5m\"", v.AsString())
			return
		}
		into.SetInt(int64(x))
	case into.Kind() == reflect.String:
		into.SetString(v.AsString())
	case into.Kind() == reflect.Bool:
		into.SetBool(v.True())
	case into.CanInt():
		n, exact := v.AsBigFloat().Int64()
		if exact != big.Exact || into.OverflowInt(n) {
			d.fail(path, "%s is not a whole number that fits", v.AsBigFloat().Text('f', -1))
			return
		}
		into.SetInt(n)
	default:
		f, _ := v.AsBigFloat().Float64()
		into.SetFloat(f)
	}
}

func (c scalar) encode(v reflect.Value) (cty.Value, error) {
	switch {
	case v.Type() == reflect.TypeFor[Duration]():
		return cty.StringVal(time.Duration(v.Int()).String()), nil
	case v.Kind() == reflect.String:
		return cty.StringVal(strings.ToValidUTF8(v.String(), "\uFFFD")), nil
	case v.Kind() == reflect.Bool:
		return cty.BoolVal(v.Bool()), nil
	case v.CanInt():
		return cty.NumberIntVal(v.Int()), nil
	}
	return cty.NumberFloatVal(v.Float()), nil
}

type pointer struct{ elem codec }

func (c pointer) typ() cty.Type { return c.elem.typ() }

func (c pointer) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	into.Set(reflect.New(into.Type().Elem()))
	c.elem.decode(d, v, into.Elem(), path)
}

func (c pointer) encode(v reflect.Value) (cty.Value, error) {
	if v.IsNil() {
		return cty.NullVal(c.typ().WithoutOptionalAttributesDeep()), nil
	}
	return c.elem.encode(v.Elem())
}

type list struct{ elem codec }

func (c list) typ() cty.Type { return cty.List(c.elem.typ()) }

func (c list) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	into.Set(reflect.MakeSlice(into.Type(), v.LengthInt(), v.LengthInt()))
	i := 0
	for it := v.ElementIterator(); it.Next(); i++ {
		k, e := it.Element()
		c.elem.decode(d, e, into.Index(i), append(path, cty.IndexStep{Key: k}))
	}
}

func (c list) encode(v reflect.Value) (cty.Value, error) {
	if v.Len() == 0 {
		return cty.ListValEmpty(c.elem.typ().WithoutOptionalAttributesDeep()), nil
	}
	vals := make([]cty.Value, v.Len())
	for i := range vals {
		var err error
		if vals[i], err = c.elem.encode(v.Index(i)); err != nil {
			return cty.NilVal, err
		}
	}
	return cty.ListVal(vals), nil
}

type mapping struct{ elem codec }

func (c mapping) typ() cty.Type { return cty.Map(c.elem.typ()) }

func (c mapping) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	into.Set(reflect.MakeMapWithSize(into.Type(), v.LengthInt()))
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		x := reflect.New(into.Type().Elem()).Elem()
		c.elem.decode(d, e, x, append(path, cty.IndexStep{Key: k}))
		into.SetMapIndex(reflect.ValueOf(k.AsString()).Convert(into.Type().Key()), x)
	}
}

func (c mapping) encode(v reflect.Value) (cty.Value, error) {
	if v.Len() == 0 {
		return cty.MapValEmpty(c.elem.typ().WithoutOptionalAttributesDeep()), nil
	}
	vals := make(map[string]cty.Value, v.Len())
	for it := v.MapRange(); it.Next(); {
		e, err := c.elem.encode(it.Value())
		if err != nil {
			return cty.NilVal, err
		}
		vals[strings.ToValidUTF8(it.Key().String(), "\uFFFD")] = e
	}
	return cty.MapVal(vals), nil
}

// anyValue is how a codec reaches into a Value[T].
type anyValue interface {
	elem() reflect.Type
	parts() (v any, state valueState, prefix string)
	set(state valueState, prefix string) (into reflect.Value)
}

func (v *Value[T]) elem() reflect.Type { return reflect.TypeFor[T]() }

func (v *Value[T]) parts() (any, valueState, string) { return v.v, v.state, v.prefix }

func (v *Value[T]) set(state valueState, prefix string) reflect.Value {
	v.state, v.prefix = state, prefix
	return reflect.ValueOf(&v.v).Elem()
}

type value struct{ inner codec }

func (c value) typ() cty.Type { return c.inner.typ() }

func (c value) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	x := into.Addr().Interface().(anyValue)
	switch {
	case !v.IsKnown():
		prefix := ""
		if v.Type() == cty.String {
			prefix = v.Range().StringPrefix()
		}
		x.set(valueUnknown, prefix)
	case v.IsNull():
		x.set(valueNull, "")
	default:
		inner := &decoder{}
		c.inner.decode(inner, v, x.set(valueKnown, ""), path)
		d.errs = append(d.errs, inner.errs...)
		if len(inner.unknown) > 0 { // unknown somewhere inside
			x.set(valueUnknown, "").SetZero()
		}
	}
}

func (c value) encode(v reflect.Value) (cty.Value, error) {
	addressable := reflect.New(v.Type())
	addressable.Elem().Set(v)
	x, state, prefix := addressable.Interface().(anyValue).parts()
	t := c.typ().WithoutOptionalAttributesDeep()
	switch state {
	case valueNull:
		return cty.NullVal(t), nil
	case valueUnknown:
		b := cty.UnknownVal(t).Refine().NotNull()
		if prefix != "" && t == cty.String {
			b = b.StringPrefixFull(prefix)
		}
		return b.NewValue(), nil
	}
	return c.inner.encode(reflect.ValueOf(x))
}

// parseDefault reads the default tag: a plain string for strings and durations, JSON for others.
func parseDefault(text string, t cty.Type) (cty.Value, error) {
	t = t.WithoutOptionalAttributesDeep()
	if t == cty.String {
		return cty.StringVal(text), nil
	}
	if t.IsPrimitiveType() {
		return convert.Convert(cty.StringVal(text), t)
	}
	if !json.Valid([]byte(text)) {
		return cty.NilVal, fmt.Errorf("the default %s is not JSON", strconv.Quote(text))
	}
	return ctyjson.Unmarshal([]byte(text), t)
}
