// Package wire reads and writes the values of the plugin protocol. Both sides use it: what
// comes from another process is checked before it is decoded.
package wire

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// Encode writes a value as MessagePack. It must have the type t and no marks; it may be unknown.
func Encode(v cty.Value, t cty.Type) (*pluginv1.Value, error) {
	b, err := appendValue(make([]byte, 0, room), v, t)
	if err != nil {
		return nil, err
	}
	return &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: b}}, nil
}

// room is what the encoding of most values fits in.
const room = 192

// Decode reads a value of type t, which must have no optional attributes. No value is a
// null. Bytes that are not such a value are an error, whatever they are.
func Decode(v *pluginv1.Value, t cty.Type) (val cty.Value, err error) {
	// cty panics on some values that are well-formed and fit no type, such as a list whose
	// elements are of any type, and differ.
	defer func() {
		if p := recover(); p != nil {
			val, err = cty.NilVal, fmt.Errorf("not a value of type %s", t.FriendlyName())
		}
	}()
	switch e := v.GetEncoding().(type) {
	case *pluginv1.Value_Msgpack:
		raw, err := msgpack.Parse(e.Msgpack)
		if err != nil {
			return cty.NilVal, err
		}
		return (&decoder{}).value(raw, t)
	case *pluginv1.Value_Json:
		return decodeJSON(e.Json, t)
	default:
		return cty.NullVal(t), nil
	}
}

func decodeJSON(b []byte, t cty.Type) (cty.Value, error) {
	val, err := ctyjson.Unmarshal(b, t)
	if err != nil {
		return cty.NilVal, err
	}
	// An object that names no attribute, or one twice, lacks attributes by now.
	if wrong := val.Type().TestConformance(t); len(wrong) > 0 {
		return cty.NilVal, wrong[0]
	}
	return val, nil
}
