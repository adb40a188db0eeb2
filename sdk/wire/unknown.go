package wire

import (
	"errors"
	"math"
	"unicode/utf8"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/ctystrings"

	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// An unknown value is an extension. What is known of it all the same is a map with these keys, in an
// extension of the code refined.
const (
	refined = 0x0c

	isNull       = 1
	prefix       = 2
	lowerBound   = 3
	upperBound   = 4
	leastLength  = 5
	largestCount = 6
)

const (
	mostRefined = 1024 // bytes that a reader takes
	longPrefix  = 256  // bytes that a writer writes, and only the start of what is longer
)

// nothingKnown is what a writer writes when nothing is known of a value.
var nothingKnown = []byte{0}

func appendUnknown(b []byte, known cty.ValueRange) ([]byte, error) {
	t := known.TypeConstraint()
	if t == cty.DynamicPseudoType {
		return msgpack.AppendExtension(b, 0, nothingKnown), nil
	}
	var buf [32]byte
	n, body := 0, buf[:0]
	say := func(key int64) {
		n++
		body = msgpack.AppendInt(body, key)
	}
	bound := func(key int64, v cty.Value, inclusive bool) {
		if v.IsKnown() && v != cty.NegativeInfinity && v != cty.PositiveInfinity {
			say(key)
			body = msgpack.AppendBool(appendNumber(msgpack.AppendArray(body, 2), v), inclusive)
		}
	}
	if known.DefinitelyNotNull() {
		say(isNull)
		body = msgpack.AppendBool(body, false)
	}
	switch {
	case t == cty.Number:
		v, inclusive := known.NumberLowerBound()
		bound(lowerBound, v, inclusive)
		v, inclusive = known.NumberUpperBound()
		bound(upperBound, v, inclusive)
	case t == cty.String:
		if p := known.StringPrefix(); p != "" {
			if len(p) > longPrefix {
				p = ctystrings.SafeKnownPrefix(p[:longPrefix-1])
			}
			say(prefix)
			body = msgpack.AppendText(body, p)
		}
	case t.IsCollectionType():
		if least := known.LengthLowerBound(); least != 0 {
			say(leastLength)
			body = msgpack.AppendInt(body, int64(least))
		}
		if most := known.LengthUpperBound(); most != math.MaxInt {
			say(largestCount)
			body = msgpack.AppendInt(body, int64(most))
		}
	}
	if n == 0 {
		return msgpack.AppendExtension(b, 0, nothingKnown), nil
	}
	return msgpack.AppendExtension(b, refined, append(msgpack.AppendMap(nil, n), body...)), nil
}

var errRefined = errors.New("the refinements of an unknown value have the wrong type")

// unknown decodes an unknown value. When what is said of it leaves one value only, it is known.
func unknown(r msgpack.Raw, t cty.Type) (cty.Value, error) {
	code, body := r.Extension()
	switch {
	case len(body) <= 1:
		return cty.UnknownVal(t), nil
	case code != refined || len(body) > mostRefined:
		return cty.NilVal, errRefined
	}
	said, err := msgpack.Prefix(body) // what comes after it is left to a later version
	if err != nil || said.Kind() != msgpack.Map {
		return cty.NilVal, errRefined
	}
	if t == cty.DynamicPseudoType {
		return cty.UnknownVal(t), nil
	}
	of := cty.UnknownVal(t).Refine()
	n, rest := said.Elements()
	for range n {
		var key, v msgpack.Raw
		key, rest = rest.Cut()
		v, rest = rest.Cut()
		if key.Kind() != msgpack.Int {
			return cty.NilVal, errRefined
		}
		k, _ := key.Int()
		if !refine(of, k, v, t) {
			return cty.NilVal, errRefined
		}
	}
	return of.NewValue(), nil
}

// refine adds one thing that is known, unless it cannot be said of the type. Keys of a later version are passed over.
func refine(of *cty.RefinementBuilder, key int64, v msgpack.Raw, t cty.Type) bool {
	switch key {
	case isNull:
		if v.Kind() != msgpack.Bool {
			return false
		}
		if v.Bool() {
			of.Null()
		} else {
			of.NotNull()
		}
	case prefix:
		if t != cty.String || v.Kind() != msgpack.Text || !utf8.ValidString(v.Text()) {
			return false
		}
		of.StringPrefixFull(v.Text())
	case lowerBound, upperBound:
		n, inclusive, ok := boundOf(v)
		if t != cty.Number || !ok {
			return false
		}
		if key == lowerBound {
			of.NumberRangeLowerBound(n, inclusive)
		} else {
			of.NumberRangeUpperBound(n, inclusive)
		}
	case leastLength, largestCount:
		if !t.IsCollectionType() || v.Kind() != msgpack.Int {
			return false
		}
		n, large := v.Int()
		if large > 0 || n > math.MaxInt {
			return false
		}
		if key == leastLength {
			of.CollectionLengthLowerBound(int(n))
		} else {
			of.CollectionLengthUpperBound(int(n))
		}
	}
	return true
}

// boundOf reads a number and whether it is included.
func boundOf(v msgpack.Raw) (n cty.Value, inclusive, ok bool) {
	if v.Kind() != msgpack.Array {
		return cty.NilVal, false, false
	}
	count, rest := v.Elements()
	if count != 2 {
		return cty.NilVal, false, false
	}
	first, second := rest.Cut()
	n, err := number(first)
	return n, err == nil && second.Kind() == msgpack.Bool && second.Bool(), err == nil && second.Kind() == msgpack.Bool
}
