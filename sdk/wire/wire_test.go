package wire_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

var everything = cty.Object(map[string]cty.Type{
	"s": cty.String, "n": cty.Number, "b": cty.Bool, "l": cty.List(cty.String), "m": cty.Map(cty.Number),
	"o": cty.List(cty.Object(map[string]cty.Type{"x": cty.String, "y": cty.Bool})),
})

// rest are the types that no struct of a plugin has, and that a plugin in another language may.
var rest = cty.Tuple([]cty.Type{cty.DynamicPseudoType, cty.Set(cty.Number), cty.Map(cty.DynamicPseudoType)})

func msgpack(b []byte) *pluginv1.Value {
	return &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: b}}
}

func TestRoundTrip(t *testing.T) {
	object := func(x string) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"x": cty.StringVal(x), "y": cty.True})
	}
	many := make([]cty.Value, 70_000)
	for i := range many {
		many[i] = cty.StringVal("x")
	}
	values := map[string]cty.Value{
		"full": cty.ObjectVal(map[string]cty.Value{
			"s": cty.StringVal(strings.Repeat("long ", 100_000)), "n": cty.MustParseNumberVal("12345678901234567890.5"), "b": cty.False,
			"l": cty.ListVal(many), "m": cty.MapVal(map[string]cty.Value{"a": cty.NumberIntVal(-1), "b": cty.NumberFloatVal(0.25), "c": cty.NumberIntVal(1 << 40)}),
			"o": cty.ListVal([]cty.Value{object("1"), object("2")}),
		}),
		"unknown": cty.ObjectVal(map[string]cty.Value{
			"s": cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull("registry.example.com/api:1.0.").NewValue(),
			"n": cty.UnknownVal(cty.Number), "b": cty.UnknownVal(cty.Bool).RefineNotNull(),
			"l": cty.ListVal([]cty.Value{cty.UnknownVal(cty.String)}), "m": cty.UnknownVal(cty.Map(cty.Number)),
			"o": cty.NullVal(everything.AttributeType("o")),
		}),
		"null": cty.NullVal(everything),
	}
	for name, want := range values {
		t.Run(name, func(t *testing.T) {
			v, err := wire.Encode(want, everything)
			if err != nil {
				t.Fatal(err)
			}
			got, err := wire.Decode(v, everything)
			if err != nil {
				t.Fatal(err)
			}
			if !got.RawEquals(want) {
				t.Errorf("%#v became %#v", want, got)
			}
		})
	}
}

func TestDecodeOther(t *testing.T) {
	got, err := wire.Decode(nil, cty.String)
	if err != nil || !got.RawEquals(cty.NullVal(cty.String)) {
		t.Errorf("no value is %#v, %v; want a null", got, err)
	}
	got, err = wire.Decode(&pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: []byte(`["a"]`)}}, cty.List(cty.String))
	if err != nil || !got.RawEquals(cty.ListVal([]cty.Value{cty.StringVal("a")})) {
		t.Errorf("JSON is %#v, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	list := cty.List(everything.AttributeType("o").ElementType())
	cases := map[string]struct {
		bytes []byte
		t     cty.Type
	}{
		"nothing":                         {nil, cty.String},
		"a list of 4 billion":             {[]byte{0xdd, 0xff, 0xff, 0xff, 0xff}, list},
		"a map of 4 billion":              {[]byte{0xdf, 0xff, 0xff, 0xff, 0xff}, cty.Map(cty.String)},
		"many lists of many":              {append(bytes.Repeat([]byte{0xdc, 0x00, 0xff}, 100), bytes.Repeat([]byte{0xc0}, 300)...), list},
		"a string that is cut":            {[]byte{0xd9, 0x05, 'a'}, cty.String},
		"a length that is cut":            {[]byte{0xdb, 0x00}, cty.String},
		"an extension that is cut":        {[]byte{0xc9, 0xff, 0xff, 0xff, 0xff, 0x0c}, cty.String},
		"a code that there is not":        {[]byte{0xc1}, cty.String},
		"more after the end":              {[]byte{0xc0, 0xc0}, cty.String},
		"any in any in any":               {append(bytes.Repeat([]byte("\x92\xa9\"dynamic\""), 100_000), 0xc0), cty.DynamicPseudoType},
		"a number of a billion digits":    {[]byte("\xac1e1000000000"), cty.Number},
		"the infinite":                    {[]byte("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"), cty.Number},
		"a number too near to zero":       {[]byte("\xac1e-100000000"), cty.Number},
		"another type":                    {[]byte{0xa1, 'a'}, cty.Number},
		"an object without attributes":    {[]byte{0x80}, everything},
		"objects that differ in one list": {[]byte{0x92, 0x80, 0x82, 0xa1, 'x', 0xa1, 'a', 0xa1, 'y', 0xc3}, list},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if v, err := wire.Decode(msgpack(c.bytes), c.t); err == nil {
				t.Errorf("it was taken for %#v", v)
			}
		})
	}
}

// Who reads that something is wrong is told where.
func TestDecodeTellsWhere(t *testing.T) {
	typ := cty.Object(map[string]cty.Type{"rules": cty.List(cty.Map(cty.Tuple([]cty.Type{cty.Bool, cty.Number})))})
	b := []byte("\x81\xa5rules\x91\x81\xa3a b\x92\xc3\xa1x")
	if _, err := wire.Decode(msgpack(b), typ); err == nil || err.Error() != `rules: [0]: ["a b"]: [1]: a number is required` {
		t.Errorf("it says %v", err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, v := range map[string]cty.Value{
		"the infinite": cty.PositiveInfinity, "a number of 30 million digits": cty.MustParseNumberVal("-1e30000000"),
	} {
		if b, err := wire.Encode(cty.ListVal([]cty.Value{v}), cty.List(cty.Number)); err == nil {
			t.Errorf("%s was written as %d bytes", name, len(b.GetMsgpack()))
		}
	}
}

func FuzzDecode(f *testing.F) {
	v, err := wire.Encode(cty.ObjectVal(map[string]cty.Value{
		"s": cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull("v").NewValue(), "n": cty.NumberIntVal(300), "b": cty.True,
		"l": cty.ListVal([]cty.Value{cty.StringVal("a")}), "m": cty.MapVal(map[string]cty.Value{"a": cty.NumberFloatVal(.5)}),
		"o": cty.ListValEmpty(everything.AttributeType("o").ElementType()),
	}), everything)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v.GetMsgpack(), false)
	f.Add([]byte("\x93\x92\xc4\x08\"number\"\x05\x92\x01\x02\x81\xa1a\x92\xc4\x08\"string\"\xa1b"), false)
	f.Add([]byte(`[{"type":"number","value":5},[1,2],{"a":{"value":"b","type":"string"}}]`), true)
	f.Add([]byte(`{"s":"","n":1e9,"b":null,"l":[],"m":{},"o":[]}`), true)
	f.Fuzz(func(t *testing.T, b []byte, json bool) {
		v := msgpack(b)
		if json {
			v = &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: b}}
		}
		for _, typ := range []cty.Type{everything, rest} {
			val, err := wire.Decode(v, typ)
			if err != nil {
				continue
			}
			if _, err := wire.Encode(val, typ); err != nil {
				t.Errorf("what was decoded cannot be encoded: %v", err)
			}
		}
	})
}
