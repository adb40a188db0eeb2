package sdk

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// Duration is a length of time, written as "30s" or "5m" in a configuration.
type Duration time.Duration

// Duration returns the standard library's form.
func (d Duration) Duration() time.Duration { return time.Duration(d) }

// codec turns one Go type into cty values and back. Codecs are made once, in New, and used
// by many goroutines at once.
type codec interface {
	typ() cty.Type   // with optional attributes
	null() cty.Value // of the type without optional attributes
	decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path)
	encode(v reflect.Value) (cty.Value, error)
}

// form is what all codecs have.
type form struct {
	t       cty.Type
	nothing cty.Value
}

func formOf(t cty.Type) form {
	return form{t: t, nothing: cty.NullVal(t.WithoutOptionalAttributesDeep())}
}

func (k form) typ() cty.Type   { return k.t }
func (k form) null() cty.Value { return k.nothing }

// decoder gathers what a value says that Go cannot hold.
type decoder struct {
	unknown    []cty.Path // plain fields whose value is not known
	errs       Errors     // values that Go cannot hold
	broken     Errors     // values that break a rule of their field
	deprecated Errors     // warnings about fields that are set
}

func (d *decoder) fail(path cty.Path, format string, args ...any) {
	d.errs = append(d.errs, Errorf(stepsOf(path), format, args...))
}

func (d *decoder) err() error {
	if len(d.errs) == 0 {
		return nil
	}
	return d.errs
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

type text struct{ form }

func (c text) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if d.plainly(v, path) {
		into.SetString(v.AsString())
	}
}

func (c text) encode(v reflect.Value) (cty.Value, error) { return cty.StringVal(utf8(v.String())), nil }

type boolean struct{ form }

func (c boolean) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if d.plainly(v, path) {
		into.SetBool(v.True())
	}
}

func (c boolean) encode(v reflect.Value) (cty.Value, error) { return cty.BoolVal(v.Bool()), nil }

type integer struct{ form }

func (c integer) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	n, exact := v.AsBigFloat().Int64()
	if exact != big.Exact || into.OverflowInt(n) {
		d.fail(path, "%s is not a whole number, or too large", v.AsBigFloat().Text('g', 20))
		return
	}
	into.SetInt(n)
}

func (c integer) encode(v reflect.Value) (cty.Value, error) { return cty.NumberIntVal(v.Int()), nil }

type float struct{ form }

func (c float) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	f, _ := v.AsBigFloat().Float64()
	if math.IsInf(f, 0) {
		d.fail(path, "%s is too large a number", v.AsBigFloat().Text('g', 20))
		return
	}
	into.SetFloat(f)
}

func (c float) encode(v reflect.Value) (cty.Value, error) {
	if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
		return cty.NilVal, fmt.Errorf("%v is no number that can be kept", f)
	}
	return cty.NumberFloatVal(v.Float()), nil
}

type duration struct{ form }

func (c duration) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	x, err := time.ParseDuration(v.AsString())
	if err != nil {
		d.fail(path, "%q is not a length of time such as \"30s\" or \"5m\"", v.AsString())
		return
	}
	into.SetInt(int64(x))
}

func (c duration) encode(v reflect.Value) (cty.Value, error) {
	return cty.StringVal(time.Duration(v.Int()).String()), nil
}

type pointer struct {
	form
	elem codec
}

func (c pointer) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	into.Set(reflect.New(into.Type().Elem()))
	c.elem.decode(d, v, into.Elem(), path)
}

func (c pointer) encode(v reflect.Value) (cty.Value, error) {
	if v.IsNil() {
		return c.nothing, nil
	}
	return c.elem.encode(v.Elem())
}

type list struct {
	form
	elem  codec
	empty cty.Value
}

func (c list) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	n := v.LengthInt()
	into.Set(reflect.MakeSlice(into.Type(), n, n))
	i := 0
	for it := v.ElementIterator(); it.Next(); i++ {
		k, e := it.Element()
		c.elem.decode(d, e, into.Index(i), append(path, cty.IndexStep{Key: k}))
	}
}

// encode writes a nil slice as an empty list: an output is easier to use when it is never null.
func (c list) encode(v reflect.Value) (cty.Value, error) {
	if v.Len() == 0 {
		return c.empty, nil
	}
	vals := make([]cty.Value, v.Len())
	for i := range vals {
		var err error
		if vals[i], err = c.elem.encode(v.Index(i)); err != nil {
			return cty.NilVal, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return cty.ListVal(vals), nil
}

type mapping struct {
	form
	elem  codec
	empty cty.Value
}

func (c mapping) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	t := into.Type()
	into.Set(reflect.MakeMapWithSize(t, v.LengthInt()))
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		x := reflect.New(t.Elem()).Elem()
		c.elem.decode(d, e, x, append(path, cty.IndexStep{Key: k}))
		into.SetMapIndex(reflect.ValueOf(k.AsString()).Convert(t.Key()), x)
	}
}

func (c mapping) encode(v reflect.Value) (cty.Value, error) {
	if v.Len() == 0 {
		return c.empty, nil
	}
	vals := make(map[string]cty.Value, v.Len())
	for it := v.MapRange(); it.Next(); {
		e, err := c.elem.encode(it.Value())
		if err != nil {
			return cty.NilVal, fmt.Errorf("[%q]: %w", it.Key().String(), err)
		}
		vals[utf8(it.Key().String())] = e
	}
	return cty.MapVal(vals), nil
}

// utf8 makes a text that the protocol takes: neither cty nor protobuf has other bytes.
func utf8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
