package wire

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// appendValue encodes a value of type t.
func appendValue(b []byte, v cty.Value, t cty.Type) ([]byte, error) {
	if v.IsMarked() {
		return nil, errors.New("a marked value cannot be sent")
	}
	have := v.Type()
	switch {
	case t == cty.DynamicPseudoType && have != cty.DynamicPseudoType:
		return appendAny(b, v, have)
	case !v.IsKnown():
		return appendUnknown(b, v.Range())
	case v.IsNull():
		return msgpack.AppendNil(b), nil
	case t == cty.String && have == t:
		return msgpack.AppendText(b, v.AsString()), nil
	case t == cty.Bool && have == t:
		return msgpack.AppendBool(b, v.True()), nil
	case t == cty.Number && have == t:
		if err := writable(v.AsBigFloat()); err != nil {
			return nil, err
		}
		return appendNumber(b, v), nil
	case t.IsObjectType() && have.IsObjectType():
		return appendObject(b, v, t.AttributeTypes())
	case t.IsTupleType() && have.IsTupleType() && t.Length() == have.Length():
		return appendElements(b, v, t.TupleElementTypes())
	case t.IsListType() && have.IsListType(), t.IsSetType() && have.IsSetType():
		return appendElements(b, v, []cty.Type{t.ElementType()})
	case t.IsMapType() && have.IsMapType():
		return appendMap(b, v, t.ElementType())
	}
	return nil, fmt.Errorf("a value of type %s is required, not of type %s", t.FriendlyName(), have.FriendlyName())
}

func appendNumber(b []byte, v cty.Value) []byte {
	n := v.AsBigFloat()
	if i, exactly := n.Int64(); exactly == big.Exact {
		return msgpack.AppendInt(b, i)
	}
	if f, exactly := n.Float64(); exactly == big.Exact && !n.IsInt() {
		return msgpack.AppendFloat(b, f)
	}
	return msgpack.AppendText(b, n.Text('f', -1))
}

func appendObject(b []byte, v cty.Value, types map[string]cty.Type) ([]byte, error) {
	if n := len(v.Type().AttributeTypes()); n != len(types) {
		return nil, fmt.Errorf("an object of %d attributes is required, not of %d", len(types), n)
	}
	var most [16]string
	names := most[:0]
	for name := range types {
		names = append(names, name)
	}
	slices.Sort(names)
	b = msgpack.AppendMap(b, len(names))
	for _, name := range names {
		if !v.Type().HasAttribute(name) {
			return nil, fmt.Errorf("the attribute %q is missing", name)
		}
		var err error
		if b, err = appendValue(msgpack.AppendText(b, name), v.GetAttr(name), types[name]); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return b, nil
}

// appendElements encodes a list or a set of one type, or a tuple of as many types as it has elements.
func appendElements(b []byte, v cty.Value, types []cty.Type) ([]byte, error) {
	b = msgpack.AppendArray(b, v.LengthInt())
	i := 0
	for it := v.ElementIterator(); it.Next(); i++ {
		_, e := it.Element()
		var err error
		if b, err = appendValue(b, e, types[min(i, len(types)-1)]); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	return b, nil
}

func appendMap(b []byte, v cty.Value, t cty.Type) ([]byte, error) {
	b = msgpack.AppendMap(b, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		key := k.AsString()
		var err error
		if b, err = appendValue(msgpack.AppendText(b, key), e, t); err != nil {
			return nil, fmt.Errorf("[%q]: %w", key, err)
		}
	}
	return b, nil
}

// appendAny encodes a value together with its type.
func appendAny(b []byte, v cty.Value, t cty.Type) ([]byte, error) {
	name, err := ctyjson.MarshalType(t)
	if err != nil {
		return nil, err
	}
	return appendValue(msgpack.AppendBytes(msgpack.AppendArray(b, 2), name), v, t)
}
