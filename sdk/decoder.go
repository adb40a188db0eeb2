package sdk

import (
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"sync"

	"github.com/zclconf/go-cty/cty"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/internal/msgpack"
	"github.com/davit-sh/davit/sdk/wire"
)

// notes are facts about a value that a Go struct cannot hold: unknown parts and deprecated arguments.
type notes struct {
	unknown    []Path // plain fields whose value is not known
	errs       Errors // values that Go cannot hold
	broken     Errors // values that break a rule of their field
	deprecated Errors // warnings about fields that are set
}

func (n *notes) err() error {
	if len(n.errs) == 0 {
		return nil
	}
	return n.errs
}

// decoder decodes one value, and collects notes and errors.
type decoder struct {
	notes
	unfit error         // the value is not of the type
	at    Path          // where the value is that is being decoded
	raws  []msgpack.Raw // the attributes of the objects that are being decoded
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decode decodes one value with a decoder that is used again.
func decode(c codec, r msgpack.Raw, into reflect.Value) (notes, error) {
	d, _ := decoders.Get().(*decoder)
	if r.Kind() == msgpack.Extension {
		r, _ = d.next(r, c)
	}
	c.decode(d, r, into)
	said, err := d.notes, d.unfit
	clear(d.raws[:cap(d.raws)]) // it holds on to nothing
	clear(d.at[:cap(d.at)])
	*d = decoder{at: d.at[:0], raws: d.raws[:0]}
	decoders.Put(d)
	return said, err
}

func (d *decoder) in(s Step) { d.at = append(d.at, s) }

func (d *decoder) out() { d.at = d.at[:len(d.at)-1] }

func (d *decoder) fail(format string, args ...any) {
	d.errs = append(d.errs, Errorf(slices.Clone(d.at), format, args...))
}

// misfit notes that the value does not have the type of the schema. davit never sends such a value.
func (d *decoder) misfit(what string) {
	if d.unfit != nil {
		return
	}
	d.unfit = errors.New(what)
	if len(d.at) > 0 {
		d.unfit = fmt.Errorf("%s: %s", d.at, what)
	}
}

// known returns whether a plain Go type can hold the value. It notes an unknown value.
func (d *decoder) known(r msgpack.Raw) bool {
	switch r.Kind() {
	case msgpack.Nil:
		return false
	case msgpack.Extension:
		d.unknown = append(d.unknown, slices.Clone(d.at))
		return false
	}
	return true
}

// plainly returns whether a plain Go type can hold a value of this kind.
func (d *decoder) plainly(r msgpack.Raw, kind msgpack.Kind, t cty.Type) bool {
	if r.Kind() == kind {
		return true
	}
	if d.known(r) {
		d.misfit("a " + t.FriendlyName() + " is required")
	}
	return false
}

// number reads a number; nil if it is not known.
func (d *decoder) number(r msgpack.Raw) *big.Float {
	if !d.known(r) {
		return nil
	}
	v, err := wire.Decode(valueOf(r), cty.Number)
	if err != nil {
		d.misfit(err.Error())
		return nil
	}
	return v.AsBigFloat()
}

// next cuts the first value off r. An unknown value whose refinements admit exactly one value is decoded as that value.
func (d *decoder) next(r msgpack.Raw, c codec) (first, rest msgpack.Raw) {
	first, rest = r.Cut()
	if first.Kind() != msgpack.Extension || first == notNull {
		return first, rest
	}
	v, err := wire.Decode(valueOf(first), c.null().Type())
	if err == nil && v.IsKnown() {
		first, err = rawOf(v)
	}
	if err != nil {
		d.misfit(err.Error())
	}
	return first, rest
}

// notNull is the unknown value that is not null.
const notNull msgpack.Raw = "\xc7\x03\x0c\x81\x01\xc2"

func valueOf(r msgpack.Raw) *pluginv1.Value {
	return &pluginv1.Value{Encoding: &pluginv1.Value_Msgpack{Msgpack: []byte(r)}}
}

func rawOf(v cty.Value) (msgpack.Raw, error) {
	x, err := wire.Encode(v, v.Type())
	return msgpack.Raw(x.GetMsgpack()), err
}
