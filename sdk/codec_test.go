package sdk

import (
	"bytes"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/zclconf/go-cty/cty"
	ctymsgpack "github.com/zclconf/go-cty/cty/msgpack"
	"pgregory.net/rapid"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

type mode string

type inner struct {
	Name  string        `davit:"name"`
	Count int           `davit:"count,optional" default:"3"`
	Late  Value[string] `davit:"late,optional"`
}

// all has every form that a field can have.
type all struct {
	SourceOutputs
	Text     string                  `davit:"text,optional"`
	Mode     mode                    `davit:"mode,optional" default:"fast"`
	Flag     bool                    `davit:"flag,optional"`
	Int      int                     `davit:"int,optional"`
	Int64    int64                   `davit:"int64,optional"`
	Float    float64                 `davit:"float,optional"`
	Duration Duration                `davit:"duration,optional" default:"1m30s"`
	Object   inner                   `davit:"object,optional"`
	List     []string                `davit:"list,optional"`
	Objects  []inner                 `davit:"objects,optional"`
	Lists    [][]int                 `davit:"lists,optional"`
	Map      map[string]string       `davit:"map,optional"`
	Values   map[mode]Value[string]  `davit:"values,optional"`
	Pointer  *string                 `davit:"pointer,optional"`
	Pointed  *inner                  `davit:"pointed,optional"`
	Late     Value[string]           `davit:"late,optional"`
	LateInt  Value[int]              `davit:"late_int,optional"`
	LateObj  Value[inner]            `davit:"late_object,optional"`
	LateList Value[[]string]         `davit:"late_list,optional"`
	LateMap  Value[map[string]inner] `davit:"late_map,optional"`
	Lates    []Value[bool]           `davit:"lates,optional"`
	Block    *inner                  `davit:"block,block"`
	Blocks   []inner                 `davit:"blocks,block"`
	Untagged func()
}

func objectOf[T any](t testing.TB) *object {
	t.Helper()
	o, err := new(compiler).object(reflect.TypeFor[T](), inConfig)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// decodeInto decodes attributes; those that are not named are null.
func decodeInto[T any](t testing.TB, attrs map[string]cty.Value) (T, notes) {
	t.Helper()
	o := objectOf[T](t)
	full := map[string]cty.Value{}
	for i := range o.fields {
		full[o.fields[i].name] = o.fields[i].codec.null()
	}
	maps.Copy(full, attrs)
	v, err := wire.Encode(cty.ObjectVal(full), o.null().Type())
	if err != nil {
		t.Fatal(err)
	}
	got, d, err := o.read(v)
	if err != nil {
		t.Fatal(err)
	}
	return typed[T](got), d
}

var compareValues = cmp.Options{
	cmp.AllowUnexported(Value[string]{}, Value[int]{}, Value[bool]{}, Value[inner]{}, Value[[]string]{}, Value[map[string]inner]{}),
	cmpopts.EquateEmpty(),
}

func TestRoundTrip(t *testing.T) {
	o := objectOf[all](t)
	rapid.Check(t, func(t *rapid.T) {
		want := drawAll(t)
		v, err := o.write(reflect.ValueOf(&want).Elem())
		if err != nil {
			t.Fatal(err)
		}
		got, d, err := o.read(v)
		if err != nil || d.err() != nil || len(d.unknown) > 0 {
			t.Fatal(err, d.err(), d.unknown)
		}
		if diff := cmp.Diff(want, typed[all](got), compareValues, cmpopts.IgnoreFields(all{}, "Untagged")); diff != "" {
			t.Fatalf("what comes back differs (- before, + after):\n%s", diff)
		}
		// It is written as go-cty writes it, byte for byte.
		c, err := ctymsgpack.Unmarshal(v.GetMsgpack(), o.null().Type())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := ctymsgpack.Marshal(c, o.null().Type()); err != nil || !bytes.Equal(b, v.GetMsgpack()) {
			t.Fatalf("it was written as\n%x, and go-cty writes\n%x, %v", v.GetMsgpack(), b, err)
		}
	})
}

// What is not a value of the type is refused, and nothing else is.
func TestReadRefusesWhatCtyDoes(t *testing.T) {
	o := objectOf[all](t)
	rapid.Check(t, func(t *rapid.T) {
		want := drawAll(t)
		v, err := o.write(reflect.ValueOf(&want).Elem())
		if err != nil {
			t.Fatal(err)
		}
		b := v.GetMsgpack()
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.SampledFrom([]byte{0xc0, 0xc3, 0x05, 0x90, 0x80, 0xa0, 0xa1, 0xd4, 'x', 0xcb, 0xc7}).Draw(t, "byte")
		}
		_, _, err = o.read(v)
		if _, same := wire.Decode(v, o.null().Type()); (err == nil) != (same == nil) {
			t.Fatalf("of %x is said %v, and by cty %v", b, err, same)
		}
	})
}

func drawAll(t *rapid.T) all {
	// cty keeps text in Unicode's normal form C.
	text := rapid.Map(rapid.String(), cty.NormalizeString)
	ints := rapid.Int()
	object := rapid.Custom(func(t *rapid.T) inner {
		return inner{Name: text.Draw(t, "name"), Count: ints.Draw(t, "count"), Late: drawValue(t, text)}
	})
	a := all{
		SourceOutputs: SourceOutputs{Revision: text.Draw(t, "revision"), Tree: Tree{Path: text.Draw(t, "path")}},
		Text:          text.Draw(t, "text"), Mode: mode(text.Draw(t, "mode")), Flag: rapid.Bool().Draw(t, "flag"),
		Int: ints.Draw(t, "int"), Int64: rapid.Int64().Draw(t, "int64"), Float: rapid.Float64().Draw(t, "float"),
		Duration: Duration(rapid.Int64().Draw(t, "duration")), Object: object.Draw(t, "object"),
		List: rapid.SliceOf(text).Draw(t, "list"), Objects: rapid.SliceOfN(object, 0, 3).Draw(t, "objects"),
		Lists: rapid.SliceOfN(rapid.SliceOfN(ints, 0, 3), 0, 3).Draw(t, "lists"), Map: rapid.MapOf(text, text).Draw(t, "map"),
		Pointer: rapid.Ptr(text, true).Draw(t, "pointer"), Pointed: rapid.Ptr(object, true).Draw(t, "pointed"),
		Late: drawValue(t, text), LateInt: drawValue(t, ints), LateObj: drawValue(t, object), LateList: drawValue(t, rapid.SliceOf(text)),
		LateMap: drawValue(t, rapid.MapOfN(text, object, 0, 3)), Block: rapid.Ptr(object, true).Draw(t, "block"), Blocks: rapid.SliceOfN(object, 0, 3).Draw(t, "blocks"),
		Values: map[mode]Value[string]{},
	}
	for _, k := range rapid.SliceOfN(text, 0, 3).Draw(t, "keys") {
		a.Values[mode(k)] = drawValue(t, text)
	}
	for range rapid.IntRange(0, 3).Draw(t, "lates") {
		a.Lates = append(a.Lates, drawValue(t, rapid.Bool()))
	}
	return a
}

func drawValue[T any](t *rapid.T, of *rapid.Generator[T]) Value[T] {
	switch rapid.IntRange(0, 4).Draw(t, "state") {
	case 0:
		return Value[T]{}
	case 1:
		return Unknown[T]()
	case 2:
		return Value[T]{state: valueUnknownOrNull}
	case 3:
		if v, ok := any(UnknownPrefix("registry.example.com/api:")).(Value[T]); ok {
			return v
		}
	}
	return Known(of.Draw(t, "value"))
}

func TestDecodeDefaults(t *testing.T) {
	got, d := decodeInto[all](t, map[string]cty.Value{
		"blocks": cty.ListVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{
			"name": cty.StringVal("x"), "count": cty.NullVal(cty.Number), "late": cty.NullVal(cty.String),
		})}),
	})
	want := all{Mode: "fast", Duration: Duration(90e9), Blocks: []inner{{Name: "x", Count: 3}}}
	if diff := cmp.Diff(want, got, compareValues, cmpopts.IgnoreFields(all{}, "Untagged")); diff != "" || d.err() != nil {
		t.Errorf("of nulls came (- want, + got):\n%s%v", diff, d.err())
	}
	if got.List != nil || got.Map != nil || got.Pointer != nil || got.Block != nil {
		t.Errorf("a null became something: %+v", got)
	}
}

func TestDecodeUnknown(t *testing.T) {
	object := func(name, late cty.Value) cty.Value {
		return cty.ObjectVal(map[string]cty.Value{"name": name, "count": cty.NumberIntVal(1), "late": late})
	}
	known, unknown := cty.StringVal("x"), cty.UnknownVal(cty.String)
	cases := map[string]struct {
		attr  string
		value cty.Value
		plain string // the plain field that is not known
		check func(all) bool
	}{
		"text":              {"text", unknown, "text", nil},
		"whole object":      {"object", cty.UnknownVal(object(known, known).Type()), "object", nil},
		"inside of object":  {"object", object(unknown, known), "object.name", nil},
		"whole list":        {"list", cty.UnknownVal(cty.List(cty.String)), "list", nil},
		"element of a list": {"list", cty.ListVal([]cty.Value{known, unknown}), "list[1]", nil},
		"element of a map":  {"map", cty.MapVal(map[string]cty.Value{"a.b": unknown}), `map["a.b"]`, nil},
		"in a block":        {"blocks", cty.ListVal([]cty.Value{object(known, known), object(unknown, known)}), "blocks[1].name", nil},
		"pointer":           {"pointer", unknown, "pointer", nil},
		"Value":             {"late", cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull("v1.").NewValue(), "", func(a all) bool { return a.Late == UnknownPrefix("v1.") }},
		"Value, not null":   {"late", unknown.RefineNotNull(), "", func(a all) bool { return a.Late == Unknown[string]() }},
		"Value, any":        {"late", unknown, "", func(a all) bool { return a.Late.IsUnknown() && !a.Late.IsNull() && a.Late.Prefix() == "" }},
		"Value in an object": {"object", object(known, unknown), "", func(a all) bool {
			return a.Object.Name == "x" && a.Object.Late.IsUnknown()
		}},
		"Value in a map": {"values", cty.MapVal(map[string]cty.Value{"a": unknown, "b": known}), "", func(a all) bool {
			return a.Values["a"].IsUnknown() && a.Values["b"] == Known("x")
		}},
		"inside of a Value": {"late_object", object(unknown, known), "", func(a all) bool {
			_, ok := a.LateObj.Get()
			return !ok && a.LateObj.IsUnknown() && a.LateObj.OrZero() == inner{}
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, d := decodeInto[all](t, map[string]cty.Value{c.attr: c.value})
			var plain string
			if len(d.unknown) > 0 {
				plain = d.unknown[0].String()
			}
			if plain != c.plain || len(d.unknown) > 1 || d.err() != nil {
				t.Errorf("not known is %q (%v), want %q", plain, d.err(), c.plain)
			}
			if c.check != nil && !c.check(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	type config struct {
		Int      int      `davit:"int,optional"`
		Float    float64  `davit:"float,optional"`
		Duration Duration `davit:"duration,optional"`
		Key      Duration `davit:"key,optional,sensitive"`
		Rules    []inner  `davit:"rule,block"`
	}
	rule := func(count cty.Value) cty.Value {
		return cty.ListVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal("x"), "count": count, "late": cty.NullVal(cty.String)})})
	}
	cases := map[string]struct {
		attr  string
		value cty.Value
		want  string
		path  Path
	}{
		"fraction":     {"int", cty.NumberFloatVal(1.5), "1.5 is not a whole number, or too large", At("int")},
		"huge":         {"int", cty.MustParseNumberVal("1e10000"), "e+10000 is not a whole number", At("int")},
		"huge float":   {"float", cty.MustParseNumberVal("-1e10000"), "too large a number", At("float")},
		"duration":     {"duration", cty.StringVal("5 minutes"), `"5 minutes" is not a duration such as "30s"`, At("duration")},
		"in a block":   {"rule", rule(cty.NumberFloatVal(.5)), "0.5 is not a whole number", At("rule").Index(0).Attribute("count")},
		"keeps secret": {"key", cty.StringVal("hunter2"), "this value has the wrong type", At("key")},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, d := decodeInto[config](t, map[string]cty.Value{c.attr: c.value})
			if len(d.errs) != 1 || !strings.Contains(d.errs[0].Error(), c.want) || len(d.errs[0].Error()) > 200 {
				t.Fatalf("got %v, want %q", d.errs, c.want)
			}
			if diff := cmp.Diff(c.path.String(), d.errs[0].Path.String()); diff != "" {
				t.Errorf("path:\n%s", diff)
			}
		})
	}
}

func TestEncodeErrors(t *testing.T) {
	o := objectOf[all](t)
	a := all{Float: math.NaN()}
	if _, err := o.write(reflect.ValueOf(a)); err == nil || !strings.Contains(err.Error(), "float: NaN") {
		t.Errorf("NaN: %v", err)
	}
	if _, err := o.write(reflect.ValueOf(inner{})); err == nil || !strings.Contains(err.Error(), "inner") {
		t.Errorf("another type: %v", err)
	}
	v, err := o.write(reflect.ValueOf(all{Text: "caf\xe9", Late: Known("\xff")}))
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := o.read(v)
	if a := typed[all](got); err != nil || a.Text != "caf\uFFFD" || a.Late != Known("\uFFFD") {
		t.Errorf("bytes that are not text became %q, %q, %v", a.Text, a.Late.OrZero(), err)
	}
}

// Keys that are one when they are text: the same of them stays each time, or plans would differ.
func TestEncodeKeysThatBecomeOne(t *testing.T) {
	o := objectOf[all](t)
	for range 30 {
		v, err := o.write(reflect.ValueOf(all{Map: map[string]string{"\u00e9": "a", "e\u0301": "b"}}))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := o.read(v)
		if m := typed[all](got).Map; err != nil || len(m) != 1 || m["\u00e9"] != "b" {
			t.Fatalf("it became %q, %v", m, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	o := objectOf[all](f)
	for _, a := range []all{{}, {List: []string{"a"}, Late: UnknownPrefix("x"), Block: &inner{}, Map: map[string]string{"a": "b"}, LateObj: Known(inner{Name: "x"})}} {
		v, err := o.write(reflect.ValueOf(a))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(v.GetMsgpack(), false)
	}
	f.Add([]byte(`{"list":["a","\u00e4"],"late":null,"int":-12}`), true)
	f.Fuzz(func(t *testing.T, b []byte, json bool) {
		v := &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: b}}
		if json {
			v = &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: b}}
		}
		got, d, err := o.read(v)
		if err != nil || d.err() != nil || len(d.unknown) > 0 {
			return
		}
		if _, err := o.write(got); err != nil {
			t.Errorf("what was decoded cannot be encoded: %v", err)
		}
	})
}
