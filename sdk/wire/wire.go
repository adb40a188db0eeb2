// Package wire reads and writes the values of the plugin protocol. Both sides use it: what
// comes from another process is checked before it is decoded.
package wire

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"

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
	raw, err := Raw(v, t)
	if err != nil {
		return cty.NilVal, err
	}
	return (&decoder{left: raw}).value(t)
}

// Raw returns a value as MessagePack, in whichever way it came. It is well-formed, and not yet known to be of type t.
func Raw(v *pluginv1.Value, t cty.Type) (msgpack.Raw, error) {
	switch e := v.GetEncoding().(type) {
	case *pluginv1.Value_Msgpack:
		return msgpack.Parse(e.Msgpack)
	case *pluginv1.Value_Json:
		b, err := rewrite(e.Json, t)
		return msgpack.Raw(b), err
	}
	return msgpack.Raw(msgpack.AppendNil(nil)), nil
}
