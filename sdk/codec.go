package sdk

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/ctystrings"

	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// Duration is a duration, written as "30s" or "5m" in a configuration.
type Duration time.Duration

// Duration returns the standard library's form.
func (d Duration) Duration() time.Duration { return time.Duration(d) }

// codec turns one Go type into values of the wire and back. Codecs are made once, in New, and used
// by many goroutines at once.
type codec interface {
	typ() cty.Type   // with optional attributes
	null() cty.Value // of the type without optional attributes
	// decode reads one value. Into can be set, and is zero; a null leaves it so.
	decode(d *decoder, r msgpack.Raw, into reflect.Value)
	// encode appends one value.
	encode(b []byte, v reflect.Value) ([]byte, error)
}

// form is embedded in all codecs.
type form struct {
	t       cty.Type
	nothing cty.Value
}

func formOf(t cty.Type) form {
	return form{t: t, nothing: cty.NullVal(t.WithoutOptionalAttributesDeep())}
}

func (k form) typ() cty.Type   { return k.t }
func (k form) null() cty.Value { return k.nothing }

type text struct{ form }

func (c text) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	if d.plainly(r, msgpack.Text, c.t) {
		into.SetString(normal(r.Text()))
	}
}

func (c text) encode(b []byte, v reflect.Value) ([]byte, error) {
	return msgpack.AppendText(b, normal(utf8(v.String()))), nil
}

type boolean struct{ form }

func (c boolean) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	if d.plainly(r, msgpack.Bool, c.t) {
		into.SetBool(r.Bool())
	}
}

func (c boolean) encode(b []byte, v reflect.Value) ([]byte, error) {
	return msgpack.AppendBool(b, v.Bool()), nil
}

type integer struct{ form }

func (c integer) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	if r.Kind() == msgpack.Int {
		if n, large := r.Int(); large == 0 && !into.OverflowInt(n) {
			into.SetInt(n)
			return
		}
	}
	x := d.number(r)
	if x == nil {
		return
	}
	n, exact := x.Int64()
	if exact != big.Exact || into.OverflowInt(n) {
		d.fail("%s is not a whole number, or too large", x.Text('g', 20))
		return
	}
	into.SetInt(n)
}

func (c integer) encode(b []byte, v reflect.Value) ([]byte, error) {
	return msgpack.AppendInt(b, v.Int()), nil
}

type float struct{ form }

func (c float) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	x := d.number(r)
	if x == nil {
		return
	}
	f, _ := x.Float64()
	if math.IsInf(f, 0) {
		d.fail("%s is too large a number", x.Text('g', 20))
		return
	}
	into.SetFloat(f)
}

// encode writes a whole number as one, as davit does: in digits if it is larger than an int can be.
func (c float) encode(b []byte, v reflect.Value) ([]byte, error) {
	f := v.Float()
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return nil, fmt.Errorf("%v cannot be stored as a number", f)
	case f != math.Trunc(f):
		return msgpack.AppendFloat(b, f), nil
	case f >= -1<<63 && f < 1<<63:
		return msgpack.AppendInt(b, int64(f)), nil
	}
	return msgpack.AppendText(b, big.NewFloat(f).Text('f', -1)), nil
}

type duration struct{ form }

func (c duration) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	if !d.plainly(r, msgpack.Text, c.t) {
		return
	}
	x, err := time.ParseDuration(r.Text())
	if err != nil {
		d.fail("%q is not a duration such as \"30s\" or \"5m\"", r.Text())
		return
	}
	into.SetInt(int64(x))
}

func (c duration) encode(b []byte, v reflect.Value) ([]byte, error) {
	return msgpack.AppendText(b, time.Duration(v.Int()).String()), nil
}

type pointer struct {
	form
	elem codec
}

func (c pointer) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	if !d.known(r) {
		return
	}
	into.Set(reflect.New(into.Type().Elem()))
	c.elem.decode(d, r, into.Elem())
}

func (c pointer) encode(b []byte, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return msgpack.AppendNil(b), nil
	}
	return c.elem.encode(b, v.Elem())
}

type list struct {
	form
	elem  codec
	empty reflect.Value // not nil
}

func (c list) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	if !d.plainly(r, msgpack.Array, c.t) {
		return
	}
	n, rest := r.Elements()
	if n == 0 {
		into.Set(c.empty)
		return
	}
	into.Grow(n)
	into.SetLen(n)
	for i := range n {
		var e msgpack.Raw
		e, rest = d.next(rest, c.elem)
		d.in(Step{kind: atIndex, index: i})
		c.elem.decode(d, e, into.Index(i))
		d.out()
	}
}

// encode writes a nil slice as an empty list: an output is easier to use when it is never null.
func (c list) encode(b []byte, v reflect.Value) ([]byte, error) {
	b = msgpack.AppendArray(b, v.Len())
	for i := range v.Len() {
		var err error
		if b, err = c.elem.encode(b, v.Index(i)); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return b, nil
}

type mapping struct {
	form
	elem codec
	spot *sync.Pool // of entries
}

// entry is where one key and its element are made before they go into a map. Both are zero between uses.
type entry struct{ key, elem reflect.Value }

func newMapping(t reflect.Type, elem codec) mapping {
	return mapping{formOf(cty.Map(elem.typ())), elem, &sync.Pool{New: func() any {
		return &entry{reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()}
	}}}
}

func (c mapping) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	if !d.plainly(r, msgpack.Map, c.t) {
		return
	}
	n, rest := r.Elements()
	into.Set(reflect.MakeMapWithSize(into.Type(), n))
	spot, _ := c.spot.Get().(*entry)
	for range n {
		var k, e msgpack.Raw
		k, rest = rest.Cut()
		if k.Kind() != msgpack.Text {
			d.misfit("the keys of a map must be strings")
			return
		}
		name := normal(k.Text())
		e, rest = d.next(rest, c.elem)
		d.in(Step{kind: atKey, name: name})
		c.elem.decode(d, e, spot.elem)
		d.out()
		spot.key.SetString(name)
		into.SetMapIndex(spot.key, spot.elem)
		spot.key.SetZero()
		spot.elem.SetZero()
	}
	c.spot.Put(spot)
}

func (c mapping) encode(b []byte, v reflect.Value) ([]byte, error) {
	type pair struct {
		key, given string
		value      reflect.Value
	}
	pairs := make([]pair, 0, v.Len())
	for it := v.MapRange(); it.Next(); {
		given := it.Key().String()
		pairs = append(pairs, pair{normal(utf8(given)), given, it.Value()})
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		return cmp.Or(strings.Compare(a.key, b.key), strings.Compare(a.given, b.given))
	})
	// Two keys may be one when they have become text. It is always the same of them that stays.
	pairs = slices.CompactFunc(pairs, func(a, b pair) bool { return a.key == b.key })
	b = msgpack.AppendMap(b, len(pairs))
	for _, e := range pairs {
		var err error
		if b, err = c.elem.encode(msgpack.AppendText(b, e.key), e.value); err != nil {
			return nil, fmt.Errorf("[%q]: %w", e.key, err)
		}
	}
	return b, nil
}

// utf8 makes a text that the protocol takes: neither cty nor protobuf has other bytes.
func utf8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// normal is a text in Unicode's normal form C, as cty has all texts.
func normal(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return ctystrings.Normalize(s)
		}
	}
	return s
}
