package msgpack

import (
	"encoding/binary"
	"math"
)

// AppendNil writes a nil.
func AppendNil(b []byte) []byte { return append(b, 0xc0) }

// AppendBool writes a bool.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

// AppendInt writes an int in as few bytes as it takes.
func AppendInt(b []byte, n int64) []byte {
	switch {
	case n >= 0:
		return appendLarge(b, uint64(n))
	case n >= -32:
		return append(b, byte(n))
	case n >= math.MinInt8:
		return append(b, 0xd0, byte(n))
	case n >= math.MinInt16:
		return binary.BigEndian.AppendUint16(append(b, 0xd1), uint16(n))
	case n >= math.MinInt32:
		return binary.BigEndian.AppendUint32(append(b, 0xd2), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(n))
}

func appendLarge(b []byte, n uint64) []byte {
	switch {
	case n <= 0x7f:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
}

// AppendFloat writes a float of eight bytes.
func AppendFloat(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(f))
}

// AppendText writes a text.
func AppendText[S ~string | ~[]byte](b []byte, s S) []byte {
	switch n := len(s); {
	case n <= 31:
		b = append(b, 0xa0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xd9, byte(n))
	default:
		b = appendLength(b, n, 0xda)
	}
	return append(b, s...)
}

// AppendBytes writes a text that says it is bytes.
func AppendBytes(b, s []byte) []byte {
	if n := len(s); n <= math.MaxUint8 {
		b = append(b, 0xc4, byte(n))
	} else {
		b = appendLength(b, n, 0xc5)
	}
	return append(b, s...)
}

// AppendArray begins an array: its n elements come after it.
func AppendArray(b []byte, n int) []byte {
	if n <= 15 {
		return append(b, 0x90|byte(n))
	}
	return appendLength(b, n, 0xdc)
}

// AppendMap begins a map: its n keys come after it, each before its value.
func AppendMap(b []byte, n int) []byte {
	if n <= 15 {
		return append(b, 0x80|byte(n))
	}
	return appendLength(b, n, 0xde)
}

// OpenArray begins an array of which it is not known yet how many elements it has: Close says it.
func OpenArray(b []byte) []byte { return append(b, 0xdd, 0, 0, 0, 0) }

// OpenMap begins a map of which it is not known yet how many pairs it has: Close says it.
func OpenMap(b []byte) []byte { return append(b, 0xdf, 0, 0, 0, 0) }

// Close says how many elements or pairs have come after the array or the map that was opened at a place of b.
func Close(b []byte, at, n int) { binary.BigEndian.PutUint32(b[at+1:], uint32(n)) }

// AppendExtension writes an extension.
func AppendExtension(b []byte, code int8, body []byte) []byte {
	switch n := len(body); n {
	case 1, 2, 4, 8, 16:
		b = append(b, 0xd4+byte(bitsOf(n)), byte(code))
	default:
		if n <= math.MaxUint8 {
			b = append(b, 0xc7, byte(n))
		} else {
			b = appendLength(b, n, 0xc8)
		}
		b = append(b, byte(code))
	}
	return append(b, body...)
}

// bitsOf is the logarithm of 1, 2, 4, 8 and 16.
func bitsOf(n int) int {
	i := 0
	for ; n > 1; n >>= 1 {
		i++
	}
	return i
}

// appendLength writes a length of two bytes, or of four with the code after.
func appendLength(b []byte, n int, code byte) []byte {
	if n <= math.MaxUint16 {
		return binary.BigEndian.AppendUint16(append(b, code), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, code+1), uint32(n))
}
