package msgpack_test

import (
	"math"
	"strings"
	"testing"

	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

func TestParseRefuses(t *testing.T) {
	for name, b := range map[string]string{
		"nothing":             "",
		"a truncated text":    "\xa3gi",
		"a length that is":    "\xdb\x00\x00",
		"a number that is":    "\xcb\x00\x00\x00",
		"an extension":        "\xc7\x02\x0c\x00",
		"a list of 4 billion": "\xdd\xff\xff\xff\xff",
		"a map of 4 billion":  "\xdf\xff\xff\xff\xff\xc0\xc0",
		"a pair without half": "\x81\xa1a",
		"lists in lists":      strings.Repeat("\xdc\x00\x10", 1000) + strings.Repeat("\xc0", 2000),
		"no value":            "\x91\xc1",
		"two values":          "\xc0\xc0",
	} {
		t.Run(name, func(t *testing.T) {
			if r, err := msgpack.Parse([]byte(b)); err == nil {
				t.Errorf("it was taken for %x", string(r))
			}
		})
	}
}

func TestIntsTakeFewBytes(t *testing.T) {
	for n, bytes := range map[int64]int{
		0: 1, 127: 1, -32: 1, 128: 2, 255: 2, -33: 2, -128: 2, 256: 3, -129: 3, math.MaxUint16: 3, math.MinInt16: 3, math.MaxUint16 + 1: 5,
		math.MinInt16 - 1: 5, math.MaxUint32: 5, math.MinInt32: 5, math.MaxUint32 + 1: 9, math.MinInt32 - 1: 9, math.MaxInt64: 9, math.MinInt64: 9,
	} {
		b := msgpack.AppendInt(nil, n)
		if got, large := msgpack.Raw(b).Int(); got != n || large != 0 || len(b) != bytes || msgpack.Raw(b).Kind() != msgpack.Int {
			t.Errorf("%d became %x, which is %d and %d", n, b, got, large)
		}
	}
	if n, large := msgpack.Raw("\xcf\xff\xff\xff\xff\xff\xff\xff\xff").Int(); n != 0 || large != math.MaxUint64 {
		t.Errorf("the largest int is %d and %d", n, large)
	}
}

func TestTakingApart(t *testing.T) {
	b := msgpack.AppendMap(nil, 2)
	b = msgpack.AppendBool(msgpack.AppendText(b, "yes"), true)
	b = msgpack.AppendArray(msgpack.AppendText(b, "list"), 3)
	b = msgpack.AppendExtension(msgpack.AppendFloat(msgpack.AppendNil(b), 0.1), -1, make([]byte, 16))
	r, err := msgpack.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	n, rest := r.Elements()
	key, rest := rest.Cut()
	yes, rest := rest.Cut()
	name, list := rest.Cut()
	if n != 2 || key.Text() != "yes" || !yes.Bool() || name.Text() != "list" || list.Kind() != msgpack.Array {
		t.Fatalf("the pairs are %x", string(r))
	}
	n, rest = list.Elements()
	null, rest := rest.Cut()
	float, rest := rest.Cut()
	code, body := rest.Extension()
	if n != 3 || null.Kind() != msgpack.Nil || float.Float() != 0.1 || code != -1 || len(body) != 16 {
		t.Fatalf("the list is %x", string(list))
	}
	if !r.Has(msgpack.Extension) || r.Has(msgpack.Int) {
		t.Error("it has an extension, and no int")
	}
	if _, rest = rest.Cut(); rest.Kind() != msgpack.None {
		t.Error("there is something behind the end")
	}
}

// Whatever Parse takes can be walked over without leaving it.
func FuzzParse(f *testing.F) {
	f.Add([]byte("\x82\xa1a\x92\xc0\xcb\x00\x00\x00\x00\x00\x00\x00\x00\xa1b\xc7\x03\x0c\x81\x01\xc2"))
	f.Add([]byte("\xdf\x00\x00\x00\x01\xd9\x01a\xc4\x02bc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := msgpack.Parse(b)
		if err != nil {
			return
		}
		if n := walk(r); n != 1 {
			t.Errorf("%x are %d values", b, n)
		}
	})
}

// walk reads everything, and returns how many values there are one after the other.
func walk(r msgpack.Raw) (n int) {
	for r != "" {
		var one msgpack.Raw
		one, r = r.Cut()
		n++
		switch one.Kind() {
		case msgpack.Int:
			one.Int()
		case msgpack.Float:
			one.Float()
		case msgpack.Text:
			_ = one.Text()
		case msgpack.Extension:
			one.Extension()
		case msgpack.Array, msgpack.Map:
			count, elements := one.Elements()
			if one.Kind() == msgpack.Map {
				count *= 2
			}
			if walk(elements) != count {
				return -1
			}
		}
	}
	return n
}
