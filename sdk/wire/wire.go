// Package wire reads and writes the values of the plugin protocol. Both sides use it: what
// comes from another process is checked before it is decoded.
package wire

import (
	"errors"
	"fmt"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"github.com/zclconf/go-cty/cty/msgpack"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Encode writes a value as MessagePack. It must have the type t and no marks; it may be unknown.
func Encode(v cty.Value, t cty.Type) (*pluginv1.Value, error) {
	b, err := msgpack.Marshal(v, t)
	if err != nil {
		return nil, err
	}
	return &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: b}}, nil
}

// Decode reads a value of type t, which must have no optional attributes. No value is a
// null. Bytes that are not such a value are an error, whatever they are.
func Decode(v *pluginv1.Value, t cty.Type) (val cty.Value, err error) {
	// cty panics on some values that are well-formed and fit no type, such as a list
	// whose objects differ.
	defer func() {
		if p := recover(); p != nil {
			val, err = cty.NilVal, fmt.Errorf("not a value of type %s", t.FriendlyName())
		}
	}()
	switch e := v.GetEncoding().(type) {
	case *pluginv1.Value_Msgpack:
		if err := check(e.Msgpack); err != nil {
			return cty.NilVal, err
		}
		val, err = msgpack.Unmarshal(e.Msgpack, t)
	case *pluginv1.Value_Json:
		val, err = ctyjson.Unmarshal(e.Json, t)
	default:
		return cty.NullVal(t), nil
	}
	if err != nil {
		return cty.NilVal, err
	}
	// An object that names no attribute, or one twice, lacks attributes by now.
	if wrong := val.Type().TestConformance(t); len(wrong) > 0 {
		return cty.NilVal, wrong[0]
	}
	return val, nil
}

var errCut = errors.New("the MessagePack value ends early")

// check walks over one MessagePack value. It refuses lists and maps that say that they
// have more elements than there are bytes left: a decoder makes room for all of them first,
// and five bytes would take all memory.
func check(b []byte) error {
	i := 0
	for left := 1; left > 0; left-- {
		if i >= len(b) {
			return errCut
		}
		head, skip, elements, ok := header(b[i:])
		if !ok {
			return fmt.Errorf("byte %d of the MessagePack value is not the start of a value", i)
		}
		i += head
		if skip > len(b)-i || elements > len(b)-i {
			return errCut
		}
		i += skip
		left += elements
		if left-1 > len(b)-i {
			return errCut
		}
	}
	if i != len(b) {
		return errors.New("there is more after the end of the MessagePack value")
	}
	return nil
}

// form is how a MessagePack code goes on: so many bytes of length, then what it counts.
type form struct {
	length int // bytes of the length
	fixed  int // bytes besides
	counts int // 0: bytes, 1: elements, 2: pairs
}

// forms are the codes 0xc0 to 0xdf, by the MessagePack specification.
var forms = [32]form{
	0xc4 - 0xc0: {length: 1}, {length: 2}, {length: 4}, // bin
	0xc7 - 0xc0: {length: 1, fixed: 1}, {length: 2, fixed: 1}, {length: 4, fixed: 1}, // ext: length, type, bytes
	0xca - 0xc0: {fixed: 4}, {fixed: 8}, // float
	0xcc - 0xc0: {fixed: 1}, {fixed: 2}, {fixed: 4}, {fixed: 8}, // uint
	0xd0 - 0xc0: {fixed: 1}, {fixed: 2}, {fixed: 4}, {fixed: 8}, // int
	0xd4 - 0xc0: {fixed: 2}, {fixed: 3}, {fixed: 5}, {fixed: 9}, {fixed: 17}, // fixext: type, bytes
	0xd9 - 0xc0: {length: 1}, {length: 2}, {length: 4}, // str
	0xdc - 0xc0: {length: 2, counts: 1}, {length: 4, counts: 1}, // array
	0xde - 0xc0: {length: 2, counts: 2}, {length: 4, counts: 2}, // map
}

// header reads the head of a value: how long it is, how many bytes follow it that are no
// values, and how many values do.
func header(b []byte) (head, skip, elements int, ok bool) {
	switch c := b[0]; {
	case c <= 0x7f || c >= 0xe0: // small integers
		return 1, 0, 0, true
	case c <= 0x8f:
		return 1, 0, 2 * int(c&0x0f), true
	case c <= 0x9f:
		return 1, 0, int(c & 0x0f), true
	case c <= 0xbf:
		return 1, int(c & 0x1f), 0, true
	case c == 0xc1: // never used
		return 0, 0, 0, false
	default:
		f := forms[c-0xc0]
		if len(b) < 1+f.length {
			return 1, f.length, 0, true // the caller sees that it is cut
		}
		n := 0
		for _, x := range b[1 : 1+f.length] {
			n = n<<8 | int(x)
		}
		if f.counts > 0 {
			return 1 + f.length, 0, n * f.counts, true
		}
		return 1 + f.length, n + f.fixed, 0, true
	}
}
