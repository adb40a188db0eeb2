package wire

import (
	"errors"
	"fmt"
	"math"
	"math/big"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// deepest is how many values of any type may be in one another: each brings its own type along, so
// that the type that is decoded does not bound how deep they go.
const deepest = 100

// decoder decodes one value, from left to right.
type decoder struct {
	left    msgpack.Raw
	dynamic int // how many values of any type it is in
}

func (d *decoder) value(t cty.Type) (cty.Value, error) {
	kind := d.left.Kind()
	switch {
	case kind == msgpack.Extension:
		return unknown(d.next(), t)
	case kind == msgpack.Nil:
		d.next()
		return cty.NullVal(t), nil
	case t == cty.String:
		if kind != msgpack.Text {
			return cty.NilVal, errors.New("a string is required")
		}
		return cty.StringVal(d.next().Text()), nil
	case t == cty.Bool:
		if kind != msgpack.Bool {
			return cty.NilVal, errors.New("a bool is required")
		}
		return cty.BoolVal(d.next().Bool()), nil
	case t == cty.Number:
		return number(d.next())
	case t.IsObjectType():
		return d.object(t.AttributeTypes())
	case t.IsMapType():
		return d.mapping(t.ElementType())
	case t.IsListType(), t.IsSetType(), t.IsTupleType():
		return d.sequence(t)
	case t == cty.DynamicPseudoType:
		return d.any()
	}
	return cty.NilVal, fmt.Errorf("values of type %s cannot be sent", t.FriendlyName())
}

// next takes the next value whole.
func (d *decoder) next() (r msgpack.Raw) {
	r, d.left = d.left.Cut()
	return r
}

// open goes into a list or a map, and returns how many elements or pairs there are.
func (d *decoder) open() (n int) {
	n, d.left = d.left.Elements()
	return n
}

// key takes the name of an attribute or the key of a map.
func (d *decoder) key() (string, error) {
	if d.left.Kind() != msgpack.Text {
		return "", errors.New("keys must be strings")
	}
	return d.next().Text(), nil
}

func number(r msgpack.Raw) (cty.Value, error) {
	switch r.Kind() {
	case msgpack.Int:
		n, large := r.Int()
		if large > 0 {
			return cty.NumberUIntVal(large), nil
		}
		return cty.NumberIntVal(n), nil
	case msgpack.Float:
		if f := r.Float(); !math.IsNaN(f) && !math.IsInf(f, 0) {
			return cty.NumberFloatVal(f), nil
		}
	case msgpack.Text: // one that is too large or too precise for the others
		if v, err := cty.ParseNumberVal(r.Text()); err == nil {
			return v, writable(v.AsBigFloat())
		}
	}
	return cty.NilVal, errors.New("a number is required")
}

// farthest is the largest exponent of a number.
const farthest = 1 << 16

// writable refuses numbers that a few bytes can say, and whose digits nobody could write down.
func writable(n *big.Float) error {
	if e := n.MantExp(nil); n.IsInf() || e < -farthest || e > farthest {
		return fmt.Errorf("the number must be at most 2^%d, and at least 2^-%[1]d away from zero", farthest)
	}
	return nil
}

func (d *decoder) object(types map[string]cty.Type) (cty.Value, error) {
	if d.left.Kind() != msgpack.Map {
		return cty.NilVal, errors.New("an object is required")
	}
	n := d.open()
	if n != len(types) {
		return cty.NilVal, fmt.Errorf("an object of %d attributes is required, not of %d", len(types), n)
	}
	vals := make(map[string]cty.Value, n)
	for range n {
		name, err := d.key()
		if err != nil {
			return cty.NilVal, err
		}
		t, there := types[name]
		if !there {
			return cty.NilVal, fmt.Errorf("the attribute %q does not exist", name)
		}
		if vals[name], err = d.value(t); err != nil {
			return cty.NilVal, fmt.Errorf("%s: %w", name, err)
		}
	}
	if len(vals) != n {
		return cty.NilVal, errors.New("an attribute occurs twice")
	}
	return cty.ObjectVal(vals), nil
}

func (d *decoder) mapping(t cty.Type) (cty.Value, error) {
	if d.left.Kind() != msgpack.Map {
		return cty.NilVal, errors.New("a map is required")
	}
	n := d.open()
	if n == 0 {
		return cty.MapValEmpty(t), nil
	}
	vals := make(map[string]cty.Value, n)
	for range n {
		key, err := d.key()
		if err != nil {
			return cty.NilVal, err
		}
		if vals[key], err = d.value(t); err != nil {
			return cty.NilVal, fmt.Errorf("[%q]: %w", key, err)
		}
	}
	return cty.MapVal(vals), nil
}

// sequence decodes a list, a set or a tuple.
func (d *decoder) sequence(t cty.Type) (cty.Value, error) {
	if d.left.Kind() != msgpack.Array {
		return cty.NilVal, fmt.Errorf("a %s is required", t.FriendlyName())
	}
	if t.IsTupleType() {
		return d.tuple(t.TupleElementTypes())
	}
	vals := make([]cty.Value, d.open())
	for i := range vals {
		var err error
		if vals[i], err = d.value(t.ElementType()); err != nil {
			return cty.NilVal, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	switch {
	case t.IsSetType() && len(vals) == 0:
		return cty.SetValEmpty(t.ElementType()), nil
	case t.IsSetType():
		return cty.SetVal(vals), nil
	case len(vals) == 0:
		return cty.ListValEmpty(t.ElementType()), nil
	}
	return cty.ListVal(vals), nil
}

func (d *decoder) tuple(types []cty.Type) (cty.Value, error) {
	if n := d.open(); n != len(types) {
		return cty.NilVal, fmt.Errorf("a tuple of %d elements is required, not of %d", len(types), n)
	}
	vals := make([]cty.Value, len(types))
	for i, t := range types {
		var err error
		if vals[i], err = d.value(t); err != nil {
			return cty.NilVal, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return cty.TupleVal(vals), nil
}

// any decodes a value that brings its type along: an array of the type, as JSON, and the value.
func (d *decoder) any() (cty.Value, error) {
	if d.dynamic++; d.dynamic > deepest {
		return cty.NilVal, errTooDeep
	}
	defer func() { d.dynamic-- }()
	if d.left.Kind() != msgpack.Array || d.open() != 2 || d.left.Kind() != msgpack.Text {
		return cty.NilVal, errors.New("a type and a value are required")
	}
	t, err := ctyjson.UnmarshalType([]byte(d.next().Text()))
	if err != nil {
		return cty.NilVal, err
	}
	return d.value(t)
}

var errTooDeep = errors.New("values are nested too deeply")
