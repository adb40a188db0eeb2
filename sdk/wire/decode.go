package wire

import (
	"errors"
	"fmt"
	"math"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// deepest is how many values of any type may be in one another: each brings its own type along, so
// that the type that is decoded does not bound how deep they go.
const deepest = 100

// decoder decodes one value.
type decoder struct {
	dynamic int // how many values of any type it is in
}

func (d *decoder) value(r msgpack.Raw, t cty.Type) (cty.Value, error) {
	kind := r.Kind()
	switch {
	case kind == msgpack.Extension:
		return unknown(r, t)
	case kind == msgpack.Nil:
		return cty.NullVal(t), nil
	case t == cty.String:
		if kind != msgpack.Text {
			return cty.NilVal, errors.New("a string is required")
		}
		return cty.StringVal(r.Text()), nil
	case t == cty.Bool:
		if kind != msgpack.Bool {
			return cty.NilVal, errors.New("a bool is required")
		}
		return cty.BoolVal(r.Bool()), nil
	case t == cty.Number:
		return number(r, kind)
	case t.IsObjectType():
		return d.object(r, kind, t.AttributeTypes())
	case t.IsMapType():
		return d.mapping(r, kind, t.ElementType())
	case t.IsListType(), t.IsSetType(), t.IsTupleType():
		return d.sequence(r, kind, t)
	case t == cty.DynamicPseudoType:
		return d.any(r, kind)
	}
	return cty.NilVal, fmt.Errorf("there are no values of type %s on the wire", t.FriendlyName())
}

func number(r msgpack.Raw, kind msgpack.Kind) (cty.Value, error) {
	switch kind {
	case msgpack.Int:
		n, large := r.Int()
		if large > 0 {
			return cty.NumberUIntVal(large), nil
		}
		return cty.NumberIntVal(n), nil
	case msgpack.Float:
		if f := r.Float(); !math.IsNaN(f) {
			return cty.NumberFloatVal(f), nil
		}
	case msgpack.Text: // one that is too large or too precise for the others
		if v, err := cty.ParseNumberVal(r.Text()); err == nil {
			return v, nil
		}
	}
	return cty.NilVal, errors.New("a number is required")
}

func (d *decoder) object(r msgpack.Raw, kind msgpack.Kind, types map[string]cty.Type) (cty.Value, error) {
	if kind != msgpack.Map {
		return cty.NilVal, errors.New("an object is required")
	}
	n, rest := r.Elements()
	if n != len(types) {
		return cty.NilVal, fmt.Errorf("an object of %d attributes is required, not of %d", len(types), n)
	}
	vals := make(map[string]cty.Value, n)
	for range n {
		var name, v msgpack.Raw
		name, rest = rest.Cut()
		v, rest = rest.Cut()
		if name.Kind() != msgpack.Text {
			return cty.NilVal, errors.New("the names of attributes must be strings")
		}
		key := name.Text()
		t, there := types[key]
		if !there {
			return cty.NilVal, fmt.Errorf("there is no attribute %q", key)
		}
		x, err := d.value(v, t)
		if err != nil {
			return cty.NilVal, err
		}
		vals[key] = x
	}
	if len(vals) != n {
		return cty.NilVal, errors.New("an attribute is there twice")
	}
	return cty.ObjectVal(vals), nil
}

func (d *decoder) mapping(r msgpack.Raw, kind msgpack.Kind, t cty.Type) (cty.Value, error) {
	if kind != msgpack.Map {
		return cty.NilVal, errors.New("a map is required")
	}
	n, rest := r.Elements()
	if n == 0 {
		return cty.MapValEmpty(t), nil
	}
	vals := make(map[string]cty.Value, n)
	for range n {
		var key, v msgpack.Raw
		key, rest = rest.Cut()
		v, rest = rest.Cut()
		if key.Kind() != msgpack.Text {
			return cty.NilVal, errors.New("the keys of a map must be strings")
		}
		x, err := d.value(v, t)
		if err != nil {
			return cty.NilVal, err
		}
		vals[key.Text()] = x
	}
	return cty.MapVal(vals), nil
}

// sequence decodes a list, a set or a tuple.
func (d *decoder) sequence(r msgpack.Raw, kind msgpack.Kind, t cty.Type) (cty.Value, error) {
	if kind != msgpack.Array {
		return cty.NilVal, fmt.Errorf("a %s is required", t.FriendlyName())
	}
	n, rest := r.Elements()
	var types []cty.Type
	if t.IsTupleType() {
		if types = t.TupleElementTypes(); len(types) != n {
			return cty.NilVal, fmt.Errorf("a tuple of %d elements is required, not of %d", len(types), n)
		}
	}
	vals := make([]cty.Value, n)
	for i := range vals {
		of := cty.NilType
		if types != nil {
			of = types[i]
		} else {
			of = t.ElementType()
		}
		var v msgpack.Raw
		v, rest = rest.Cut()
		var err error
		if vals[i], err = d.value(v, of); err != nil {
			return cty.NilVal, err
		}
	}
	switch {
	case t.IsTupleType():
		return cty.TupleVal(vals), nil
	case t.IsSetType() && n == 0:
		return cty.SetValEmpty(t.ElementType()), nil
	case t.IsSetType():
		return cty.SetVal(vals), nil
	case n == 0:
		return cty.ListValEmpty(t.ElementType()), nil
	}
	return cty.ListVal(vals), nil
}

// any decodes a value that brings its type along: an array of the type, as JSON, and the value.
func (d *decoder) any(r msgpack.Raw, kind msgpack.Kind) (cty.Value, error) {
	if d.dynamic++; d.dynamic > deepest {
		return cty.NilVal, errors.New("values of any type are too deep in one another")
	}
	defer func() { d.dynamic-- }()
	n, rest := 0, msgpack.Raw("")
	if kind == msgpack.Array {
		n, rest = r.Elements()
	}
	if n != 2 || rest.Kind() != msgpack.Text {
		return cty.NilVal, errors.New("a type and a value are required")
	}
	name, v := rest.Cut()
	t, err := ctyjson.UnmarshalType([]byte(name.Text()))
	if err != nil {
		return cty.NilVal, err
	}
	return d.value(v, t)
}
