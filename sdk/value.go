package sdk

import (
	"fmt"
	"strings"
)

// Value is a T that may be unknown while planning, or null. The zero Value is null.
type Value[T any] struct {
	v      T
	state  valueState
	prefix string
	pieces string // joined by gap; "": no more is known than the prefix
}

// gap stands between the known pieces of a text. No text on the wire has it in it.
const gap = "\x00"

type valueState uint8

const (
	valueNull valueState = iota
	valueKnown
	valueUnknown
	valueUnknownOrNull // only davit makes these: a plugin that hands one on promises nothing
)

// Known returns a known value.
func Known[T any](v T) Value[T] { return Value[T]{v: v, state: valueKnown} }

// Unknown returns a value that is known only after apply, but will not be null.
func Unknown[T any]() Value[T] { return Value[T]{state: valueUnknown} }

// UnknownPrefix returns an unknown string of which the start is known.
func UnknownPrefix(prefix string) Value[string] {
	return Value[string]{state: valueUnknown, prefix: prefix}
}

// UnknownPieces returns an unknown string of which pieces are known, in their order: one unknown piece is between each two.
func UnknownPieces(known ...string) Value[string] {
	if len(known) == 0 {
		return Unknown[string]()
	}
	return Value[string]{state: valueUnknown, prefix: known[0], pieces: strings.Join(known, gap)}
}

// Get returns the value, and whether it is known and not null.
func (v Value[T]) Get() (T, bool) { return v.v, v.state == valueKnown }

// OrZero returns the value, or the zero T when it is unknown or null.
func (v Value[T]) OrZero() T { return v.v }

// IsUnknown tells whether the value is known only after apply.
func (v Value[T]) IsUnknown() bool { return v.state == valueUnknown || v.state == valueUnknownOrNull }

// IsNull tells whether there is no value.
func (v Value[T]) IsNull() bool { return v.state == valueNull }

// String returns the value as fmt prints it, "null" if there is no value, and for an unknown one its known start and
// "(known after apply)".
func (v Value[T]) String() string {
	switch {
	case v.IsNull():
		return "null"
	case v.IsUnknown():
		return v.prefix + "(known after apply)"
	}
	return fmt.Sprint(v.v)
}

// Prefix returns what is known of the start of an unknown string.
func (v Value[T]) Prefix() string { return v.prefix }

// Pieces returns the known pieces of an unknown string, in their order: one unknown piece is between each two. It returns nil when no more is
// known than the prefix. davit tells them for arguments of managed types while it plans, where a text was put together of known and unknown
// values, for example by yamlencode.
func (v Value[T]) Pieces() []string {
	if v.pieces == "" || !v.IsUnknown() {
		return nil
	}
	return strings.Split(v.pieces, gap)
}
