// Package msgpack reads and writes MessagePack in place: a value is a part of the text that it came in, and is
// looked at without making anything of it. What the values mean is known to package wire and to the codecs of the sdk.
package msgpack

import (
	"errors"
	"fmt"
	"math"
)

// Raw is a value, or several, one after the other, as they were written. Parse has checked it: reading the kinds
// that are there neither fails nor leaves it. A text that is read shares its bytes.
type Raw string

// Kind is what the next value of a Raw is.
type Kind uint8

// The kinds of values. An int is signed or not; a text is also one that says it is bytes.
const (
	None Kind = iota // the end
	Nil
	Bool
	Int
	Float
	Text
	Array
	Map
	Extension
)

var errCut = errors.New("the MessagePack value ends early")

// Parse takes one value. It refuses what is cut, and with it lists and maps that say that they have more elements
// than there are bytes: a reader may make room for all that a list says it has.
func Parse(b []byte) (Raw, error) {
	all := Raw(b)
	one, err := Prefix(all)
	if err == nil && len(one) < len(all) {
		err = errors.New("data follows the end of the MessagePack value")
	}
	return one, err
}

// Prefix takes the value that untrusted bytes begin with.
func Prefix(all Raw) (Raw, error) {
	i := 0
	for left := 1; left > 0; left-- {
		if i >= len(all) {
			return "", errCut
		}
		h, ok := headOf(all[i:])
		if !ok {
			if all[i] == neverUsed {
				return "", fmt.Errorf("byte %d of the MessagePack value is not the start of a value", i)
			}
			return "", errCut
		}
		i += h.size + h.bytes
		left += h.values
		if left-1 > len(all)-i {
			return "", errCut
		}
	}
	return all[:i], nil
}

// head is the beginning of a value, and what follows it.
type head struct {
	kind   Kind
	size   int // bytes of it, with the whole of a number
	bytes  int // of a text or an extension
	values int // in a list, or keys and values in a map
}

// neverUsed is the one code that no value begins with.
const neverUsed = 0xc1

// form is how a code goes on: so many bytes of length, and then others.
type form struct {
	kind          Kind
	length, fixed uint8
	bytes         uint8 // what the length would say
}

// forms are the codes 0xc0 to 0xdf, by the MessagePack specification.
var forms = [32]form{
	{kind: Nil}, {}, {kind: Bool}, {kind: Bool},
	{Text, 1, 0, 0}, {Text, 2, 0, 0}, {Text, 4, 0, 0}, // bin
	{Extension, 1, 1, 0}, {Extension, 2, 1, 0}, {Extension, 4, 1, 0}, // ext: length, type, bytes
	{Float, 0, 4, 0}, {Float, 0, 8, 0},
	{Int, 0, 1, 0}, {Int, 0, 2, 0}, {Int, 0, 4, 0}, {Int, 0, 8, 0}, // uint
	{Int, 0, 1, 0}, {Int, 0, 2, 0}, {Int, 0, 4, 0}, {Int, 0, 8, 0}, // int
	{Extension, 0, 1, 1}, {Extension, 0, 1, 2}, {Extension, 0, 1, 4}, {Extension, 0, 1, 8}, {Extension, 0, 1, 16}, // fixext: type, bytes
	{Text, 1, 0, 0}, {Text, 2, 0, 0}, {Text, 4, 0, 0}, // str
	{Array, 2, 0, 0}, {Array, 4, 0, 0},
	{Map, 2, 0, 0}, {Map, 4, 0, 0},
}

// headOf reads the head of a value. It is not ok when it, or what it says that follows, is not there: each
// value that follows has a byte at least.
func headOf(s Raw) (h head, ok bool) {
	switch c := s[0]; {
	case c <= 0x7f, c >= 0xe0:
		return head{kind: Int, size: 1}, true
	case c <= 0x8f:
		h = head{kind: Map, size: 1, values: 2 * int(c&0x0f)}
	case c <= 0x9f:
		h = head{kind: Array, size: 1, values: int(c & 0x0f)}
	case c <= 0xbf:
		h = head{kind: Text, size: 1, bytes: int(c & 0x1f)}
	default:
		if h, ok = long(s, forms[c-0xc0]); !ok {
			return h, false
		}
	}
	return h, h.size+h.bytes+h.values <= len(s)
}

// long reads a head of several bytes.
func long(s Raw, f form) (head, bool) {
	h := head{kind: f.kind, size: 1 + int(f.length+f.fixed), bytes: int(f.bytes)}
	if f.kind == None || h.size > len(s) {
		return h, false
	}
	n := unsigned(s[1 : 1+f.length])
	if n > uint64(len(s)) {
		return h, false
	}
	switch f.kind {
	case Array:
		h.values = int(n)
	case Map:
		h.values = 2 * int(n)
	default:
		h.bytes += int(n)
	}
	return h, true
}

// unsigned reads a number of as many bytes as there are.
func unsigned(s Raw) (n uint64) {
	for i := range len(s) {
		n = n<<8 | uint64(s[i])
	}
	return n
}

// Kind tells what the next value is.
func (r Raw) Kind() Kind {
	if r == "" {
		return None
	}
	switch c := r[0]; {
	case c <= 0x7f, c >= 0xe0:
		return Int
	case c <= 0x8f:
		return Map
	case c <= 0x9f:
		return Array
	case c <= 0xbf:
		return Text
	default:
		return forms[c-0xc0].kind
	}
}

// Cut splits the next value off.
func (r Raw) Cut() (first, rest Raw) {
	i := 0
	for left := 1; left > 0; left-- {
		h, _ := headOf(r[i:])
		i += h.size + h.bytes
		left += h.values
	}
	return r[:i], r[i:]
}

// Has tells whether there is a value of a kind, however deep inside.
func (r Raw) Has(kind Kind) bool {
	for r != "" {
		h, _ := headOf(r)
		if h.kind == kind {
			return true
		}
		r = r[h.size+h.bytes:]
	}
	return false
}

// Elements returns how many elements an array has, and them; or how many pairs a map has, and those, key by value.
func (r Raw) Elements() (n int, elements Raw) {
	h, _ := headOf(r)
	if h.kind == Map {
		return h.values / 2, r[h.size:]
	}
	return h.values, r[h.size:]
}

// Bool reads a bool.
func (r Raw) Bool() bool { return r[0] == 0xc3 }

// Text reads a text.
func (r Raw) Text() string {
	h, _ := headOf(r)
	return string(r[h.size : h.size+h.bytes])
}

// Extension reads the code and the bytes of an extension.
func (r Raw) Extension() (code int8, body Raw) {
	h, _ := headOf(r)
	return int8(r[h.size-1]), r[h.size : h.size+h.bytes]
}

// Int reads an int. It is unsigned when it is larger than an int64 can be.
func (r Raw) Int() (signed int64, large uint64) {
	switch c := r[0]; {
	case c <= 0x7f, c >= 0xe0:
		return int64(int8(c)), 0
	case c <= 0xcf:
		n := unsigned(r[1 : 1+forms[c-0xc0].fixed])
		if n > math.MaxInt64 {
			return 0, n
		}
		return int64(n), 0
	default:
		fixed := forms[c-0xc0].fixed
		unused := 64 - 8*fixed
		return int64(unsigned(r[1:1+fixed])<<unused) >> unused, 0
	}
}

// Float reads a float of either size.
func (r Raw) Float() float64 {
	if r[0] == 0xca {
		return float64(math.Float32frombits(uint32(unsigned(r[1:5]))))
	}
	return math.Float64frombits(unsigned(r[1:9]))
}
