package wire_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"testing"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	ctymsgpack "github.com/zclconf/go-cty/cty/msgpack"
	"pgregory.net/rapid"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

// The format is that of go-cty: what it writes and reads is what is written and read here, byte for byte.
func TestAgreesWithCty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 3, true)
		v := drawValue(t, typ, true)
		want, err := ctymsgpack.Marshal(v, typ)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.Encode(v, typ)
		if err != nil || !bytes.Equal(got.GetMsgpack(), want) {
			t.Fatalf("%#v was written as\n%x, %v, and go-cty writes\n%x", v, got.GetMsgpack(), err, want)
		}
		same, err := ctymsgpack.Unmarshal(want, typ)
		if err != nil {
			t.Fatal(err)
		}
		back, err := wire.Decode(got, typ)
		if err != nil || !back.RawEquals(same) {
			t.Fatalf("%x was read as\n%#v, %v, and go-cty reads\n%#v", want, back, err, same)
		}
	})
}

func TestAgreesWithCtyInJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 3, true)
		v := drawValue(t, typ, false)
		b, err := ctyjson.Marshal(v, typ)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ctyjson.Unmarshal(b, typ)
		if err != nil {
			t.Fatal(err)
		}
		got, err := wire.Decode(&pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: b}}, typ)
		if err != nil || !got.RawEquals(want) {
			t.Fatalf("%s was read as\n%#v, %v, and go-cty reads\n%#v", b, got, err, want)
		}
	})
}

// Values that were cut or changed on the way are read as go-cty reads them, or refused.
func TestAgreesWithCtyOnDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := drawType(t, 3, true)
		b, err := ctymsgpack.Marshal(drawValue(t, typ, false), typ)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		got, err := wire.Decode(msgpack(b), typ)
		if err != nil {
			return
		}
		want, err := reads(b, typ)
		if err != nil || !got.RawEquals(want) {
			t.Fatalf("%x was read as\n%#v, and go-cty reads\n%#v, %v", b, got, want, err)
		}
	})
}

// reads is go-cty's reading, which panics at times.
func reads(b []byte, t cty.Type) (v cty.Value, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("it panics: %v", p)
		}
	}()
	return ctymsgpack.Unmarshal(b, t)
}

// drawType draws a type. Elements of a collection are not of any type: they would have to be of the same.
func drawType(t *rapid.T, depth int, dynamic bool) cty.Type {
	kinds := []string{"string", "number", "bool"}
	if dynamic {
		kinds = append(kinds, "any")
	}
	if depth > 0 {
		kinds = append(kinds, "list", "set", "map", "object", "object", "tuple")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "number":
		return cty.Number
	case "bool":
		return cty.Bool
	case "any":
		return cty.DynamicPseudoType
	case "list":
		return cty.List(drawType(t, depth-1, false))
	case "set":
		return cty.Set(drawType(t, depth-1, false))
	case "map":
		return cty.Map(drawType(t, depth-1, false))
	case "object":
		attrs := map[string]cty.Type{}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "long_name", "ä", "z9"}), 0, 5, rapid.ID).Draw(t, "names") {
			attrs[name] = drawType(t, depth-1, dynamic)
		}
		return cty.Object(attrs)
	case "tuple":
		var types []cty.Type
		for range rapid.IntRange(0, 3).Draw(t, "length") {
			types = append(types, drawType(t, depth-1, dynamic))
		}
		return cty.Tuple(types)
	}
	return cty.String
}

func drawValue(t *rapid.T, typ cty.Type, unknowns bool) cty.Value {
	if typ == cty.DynamicPseudoType {
		switch rapid.IntRange(0, 3).Draw(t, "dynamic") {
		case 0:
			return cty.NullVal(typ)
		case 1:
			if unknowns {
				return cty.DynamicVal
			}
		}
		return drawValue(t, drawType(t, 1, false), unknowns)
	}
	switch rapid.IntRange(0, 6).Draw(t, "state") {
	case 0:
		return cty.NullVal(typ)
	case 1:
		if unknowns {
			return drawUnknown(t, typ)
		}
	}
	n := rapid.SampledFrom([]int{0, 1, 2, 15, 16, 17}).Draw(t, "length")
	switch {
	case typ == cty.String:
		return cty.StringVal(rapid.String().Draw(t, "string") + string(bytes.Repeat([]byte("x"), rapid.SampledFrom([]int{0, 0, 31, 32, 255, 256, 70_000}).Draw(t, "more"))))
	case typ == cty.Bool:
		return cty.BoolVal(rapid.Bool().Draw(t, "bool"))
	case typ == cty.Number:
		return drawNumber(t)
	case typ.IsObjectType():
		vals := map[string]cty.Value{}
		for _, name := range slices.Sorted(maps.Keys(typ.AttributeTypes())) {
			vals[name] = drawValue(t, typ.AttributeType(name), unknowns)
		}
		return cty.ObjectVal(vals)
	case typ.IsTupleType():
		vals := []cty.Value{}
		for _, of := range typ.TupleElementTypes() {
			vals = append(vals, drawValue(t, of, unknowns))
		}
		return cty.TupleVal(vals)
	case typ.IsMapType():
		vals := map[string]cty.Value{}
		for i := range n {
			vals[fmt.Sprint(rapid.SampledFrom([]string{"", "k", "é", "e\u0301"}).Draw(t, "key"), i)] = drawValue(t, typ.ElementType(), unknowns)
		}
		if n == 0 {
			return cty.MapValEmpty(typ.ElementType())
		}
		return cty.MapVal(vals)
	}
	vals := make([]cty.Value, n)
	for i := range vals {
		vals[i] = drawValue(t, typ.ElementType(), unknowns)
	}
	switch {
	case n == 0 && typ.IsSetType():
		return cty.SetValEmpty(typ.ElementType())
	case n == 0:
		return cty.ListValEmpty(typ.ElementType())
	case typ.IsSetType():
		return cty.SetVal(vals)
	}
	return cty.ListVal(vals)
}

func drawNumber(t *rapid.T) cty.Value {
	switch rapid.IntRange(0, 4).Draw(t, "form") {
	case 0:
		return cty.NumberIntVal(rapid.Int64().Draw(t, "int"))
	case 1:
		return cty.NumberUIntVal(rapid.Uint64().Draw(t, "uint"))
	case 2:
		// Not -0: as an element of a set it is another than 0, and there is no such int.
		return cty.NumberFloatVal(rapid.Float64().Filter(func(f float64) bool { return f != 0 }).Draw(t, "float"))
	case 3:
		return cty.MustParseNumberVal(rapid.StringMatching(`-?[1-9][0-9]{0,40}\.[0-9]{1,20}`).Draw(t, "decimal"))
	}
	i, _ := new(big.Int).SetString(rapid.StringMatching(`-?[1-9][0-9]{0,80}`).Draw(t, "digits"), 10)
	return cty.NumberVal(new(big.Float).SetInt(i))
}

func drawUnknown(t *rapid.T, typ cty.Type) cty.Value {
	v := cty.UnknownVal(typ)
	if rapid.Bool().Draw(t, "not null") {
		v = v.RefineNotNull()
	}
	if !rapid.Bool().Draw(t, "refined") {
		return v
	}
	switch {
	case typ == cty.String:
		return v.Refine().StringPrefix(rapid.StringN(0, 400, -1).Draw(t, "prefix")).NewValue()
	case typ == cty.Number:
		least := rapid.Int64Range(-300, 300).Draw(t, "least")
		b := v.Refine().NumberRangeLowerBound(cty.NumberIntVal(least), rapid.Bool().Draw(t, "inclusive"))
		if rapid.Bool().Draw(t, "bounded") {
			b = b.NumberRangeUpperBound(cty.NumberFloatVal(float64(least)+.5), rapid.Bool().Draw(t, "inclusive"))
		}
		return b.NewValue()
	case typ.IsCollectionType():
		least := rapid.IntRange(0, 300).Draw(t, "least")
		return v.Refine().CollectionLengthLowerBound(least).CollectionLengthUpperBound(least + rapid.IntRange(1, 300).Draw(t, "more")).NewValue()
	}
	return v
}
