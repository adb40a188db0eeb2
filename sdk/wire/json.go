package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// jsonReader reads JSON that is known to be valid, from left to right.
type jsonReader struct {
	left    []byte
	dynamic int // how many values of any type it is in
}

// FromJSON encodes a value that is there in JSON, as cty writes values of type t, without decoding it: that it is
// such a value, who decodes it will see.
func FromJSON(b []byte, t cty.Type) (*pluginv1.Value, error) {
	out, err := rewrite(b, t)
	if err != nil {
		return nil, err
	}
	return &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: out}}, nil
}

// rewrite writes JSON as MessagePack.
func rewrite(b []byte, t cty.Type) ([]byte, error) {
	if !json.Valid(b) {
		return nil, errors.New("the value is not JSON")
	}
	return (&jsonReader{left: b}).value(make([]byte, 0, len(b)), t)
}

func (r *jsonReader) value(b []byte, t cty.Type) ([]byte, error) {
	c := r.peek()
	switch {
	case c == 'n':
		r.literal()
		return msgpack.AppendNil(b), nil
	case t.IsPrimitiveType() && c != '[' && c != '{':
		return r.primitive(b, c, t)
	case t.IsObjectType() && c == '{':
		types := t.AttributeTypes()
		return r.pairs(b, func(name string) (cty.Type, error) {
			if of, there := types[name]; there {
				return of, nil
			}
			return cty.NilType, fmt.Errorf("the attribute %q does not exist", name)
		})
	case t.IsMapType() && c == '{':
		of := t.ElementType()
		return r.pairs(b, func(string) (cty.Type, error) { return of, nil })
	case t.IsTupleType() && c == '[':
		types := t.TupleElementTypes()
		return r.elements(b, func(i int) (cty.Type, error) {
			if i < len(types) {
				return types[i], nil
			}
			return cty.NilType, fmt.Errorf("a tuple of %d elements is required", len(types))
		})
	case (t.IsListType() || t.IsSetType()) && c == '[':
		of := t.ElementType()
		return r.elements(b, func(int) (cty.Type, error) { return of, nil })
	case t == cty.DynamicPseudoType && c == '{':
		return r.any(b)
	}
	return nil, fmt.Errorf("a %s is required", t.FriendlyName())
}

// primitive takes each primitive for each other that it can be read as, as cty does.
func (r *jsonReader) primitive(b []byte, c byte, t cty.Type) ([]byte, error) {
	if c == '"' {
		s := r.text()
		if t != cty.Bool {
			return msgpack.AppendText(b, s), nil // that it is a number is seen by who reads it
		}
		v, err := convert.Convert(cty.StringVal(s), t)
		if err != nil {
			return nil, err
		}
		return msgpack.AppendBool(b, v.True()), nil
	}
	word := r.literal()
	truth := c == 't' || c == 'f'
	switch {
	case t == cty.String:
		return msgpack.AppendText(b, word), nil
	case t == cty.Bool && truth:
		return msgpack.AppendBool(b, c == 't'), nil
	case t == cty.Number && !truth:
		if n, err := strconv.ParseInt(string(word), 10, 64); err == nil {
			return msgpack.AppendInt(b, n), nil
		}
		return msgpack.AppendText(b, word), nil
	}
	return nil, fmt.Errorf("a %s is required", t.FriendlyName())
}

// elements rewrites an array whose elements are of the types that typeOf says.
func (r *jsonReader) elements(b []byte, typeOf func(i int) (cty.Type, error)) ([]byte, error) {
	at, n := len(b), 0
	b = msgpack.OpenArray(b)
	for r.left = r.left[1:]; r.peek() != ']'; n++ {
		t, err := typeOf(n)
		if err != nil {
			return nil, err
		}
		if b, err = r.value(b, t); err != nil {
			return nil, err
		}
		r.comma()
	}
	r.left = r.left[1:]
	msgpack.Close(b, at, n)
	return b, nil
}

// pairs rewrites an object whose values are of the types that typeOf says.
func (r *jsonReader) pairs(b []byte, typeOf func(key string) (cty.Type, error)) ([]byte, error) {
	at, n := len(b), 0
	b = msgpack.OpenMap(b)
	for r.left = r.left[1:]; r.peek() != '}'; n++ {
		key := r.key()
		t, err := typeOf(key)
		if err != nil {
			return nil, err
		}
		if b, err = r.value(msgpack.AppendText(b, key), t); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		r.comma()
	}
	r.left = r.left[1:]
	msgpack.Close(b, at, n)
	return b, nil
}

// any rewrites a value that brings its type along: an object of both.
func (r *jsonReader) any(b []byte) ([]byte, error) {
	if r.dynamic == deepest {
		return nil, errTooDeep
	}
	parts := map[string][]byte{}
	for r.left = r.left[1:]; r.peek() != '}'; r.comma() {
		key := r.key()
		parts[key] = r.skip()
	}
	r.left = r.left[1:]
	if len(parts) != 2 || parts["type"] == nil || parts["value"] == nil {
		return nil, errors.New("a type and a value are required")
	}
	t, err := ctyjson.UnmarshalType(parts["type"])
	if err != nil {
		return nil, err
	}
	inner := &jsonReader{parts["value"], r.dynamic + 1}
	return inner.value(msgpack.AppendBytes(msgpack.AppendArray(b, 2), parts["type"]), t)
}

// peek passes over space, and returns the byte behind it.
func (r *jsonReader) peek() byte {
	i := 0
	for r.left[i] == ' ' || r.left[i] == '\t' || r.left[i] == '\n' || r.left[i] == '\r' {
		i++
	}
	r.left = r.left[i:]
	return r.left[0]
}

func (r *jsonReader) comma() {
	if r.peek() == ',' {
		r.left = r.left[1:]
	}
}

func (r *jsonReader) key() string {
	r.peek()
	key := r.text()
	r.peek()
	r.left = r.left[1:] // the colon
	return key
}

// literal takes a number, true, false or null.
func (r *jsonReader) literal() []byte {
	n := slices.IndexFunc(r.left, func(c byte) bool {
		return c == ',' || c == ']' || c == '}' || c == ' ' || c == '\t' || c == '\n' || c == '\r'
	})
	return r.cut(n)
}

// text takes a string.
func (r *jsonReader) text() string {
	plain := true
	n := 1
	for ; r.left[n] != '"'; n++ {
		if r.left[n] == '\\' {
			n++
			plain = false
		} else if r.left[n] >= 0x80 {
			plain = false // it may not be UTF-8
		}
	}
	quoted := r.cut(n + 1)
	if plain {
		return string(quoted[1:n])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it is valid
	return s
}

// skip takes a value, whatever it is.
func (r *jsonReader) skip() []byte {
	r.peek()
	whole := r.left
	for depth := 0; ; {
		switch r.peek() {
		case '"':
			r.text()
		case '[', '{':
			depth++
			r.left = r.left[1:]
			continue
		case ']', '}':
			depth--
			r.left = r.left[1:]
		case ',', ':':
			r.left = r.left[1:]
			continue
		default:
			r.literal()
		}
		if depth == 0 {
			return whole[:len(whole)-len(r.left)]
		}
	}
}

// cut takes the next n bytes, all if it is less than none.
func (r *jsonReader) cut(n int) []byte {
	if n < 0 {
		n = len(r.left)
	}
	taken := r.left[:n]
	r.left = r.left[n:]
	return taken
}
