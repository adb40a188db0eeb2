// Package addr names the blocks of a stack and their instances.
package addr

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Node names a block: kind.type.name.
type Node struct {
	Kind, Type, Name string
}

func (n Node) String() string { return n.Kind + "." + n.Type + "." + n.Name }

// Instance names one expansion of a block.
type Instance struct {
	Node
	Key Key
}

func (i Instance) String() string { return i.Node.String() + i.Key.String() }

// Key tells the instances of a block apart. The zero Key is that of a block without for_each and count.
type Key struct {
	kind keyKind
	s    string
	n    int
}

type keyKind uint8

const (
	keyNone keyKind = iota
	keyInt
	keyString
)

// StringKey is the key of an instance made by for_each.
func StringKey(s string) Key { return Key{kind: keyString, s: s} }

// IntKey is the key of an instance made by count.
func IntKey(n int) Key { return Key{kind: keyInt, n: n} }

// IsNone tells whether this is the key of a block without for_each and count.
func (k Key) IsNone() bool { return k.kind == keyNone }

// Value returns the key as each.key or count.index has it.
func (k Key) Value() cty.Value {
	switch k.kind {
	case keyInt:
		return cty.NumberIntVal(int64(k.n))
	case keyString:
		return cty.StringVal(k.s)
	}
	return cty.NullVal(cty.String)
}

func (k Key) String() string {
	switch k.kind {
	case keyInt:
		return "[" + strconv.Itoa(k.n) + "]"
	case keyString:
		return "[" + string(quote(k.s)) + "]"
	}
	return ""
}

// quote writes an HCL string literal.
func quote(s string) []byte {
	q := strconv.AppendQuote(nil, s)
	q = []byte(strings.ReplaceAll(string(q), "${", "$${"))
	return []byte(strings.ReplaceAll(string(q), "%{", "%%{"))
}

// KeyFromValue makes a key of an index: a whole number or a string, known and not null.
func KeyFromValue(v cty.Value) (Key, bool) {
	v, _ = v.Unmark()
	if !v.IsKnown() || v.IsNull() {
		return Key{}, false
	}
	switch v.Type() {
	case cty.String:
		return StringKey(v.AsString()), true
	case cty.Number:
		if n, acc := v.AsBigFloat().Int64(); acc == 0 {
			return IntKey(int(n)), true
		}
	}
	return Key{}, false
}

// Compare orders instances by kind, type, name and key.
func Compare(a, b Instance) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Key.kind, b.Key.kind), cmp.Compare(a.Key.n, b.Key.n), cmp.Compare(a.Key.s, b.Key.s))
}

// Parse reads an address as String writes it.
func Parse(s string) (Instance, error) {
	fail := func() (Instance, error) {
		return Instance{}, fmt.Errorf("%q is not an address: it should look like application.kubernetes.api or application.kubernetes.api[\"prod\"]", s)
	}
	t, diags := hclsyntax.ParseTraversalAbs([]byte(s), "address", hcl.InitialPos)
	if diags.HasErrors() || len(t) < 3 || len(t) > 4 {
		return fail()
	}
	typ, ok1 := t[1].(hcl.TraverseAttr)
	name, ok2 := t[2].(hcl.TraverseAttr)
	if !ok1 || !ok2 {
		return fail()
	}
	i := Instance{Node: Node{Kind: t.RootName(), Type: typ.Name, Name: name.Name}}
	if len(t) == 4 {
		index, ok := t[3].(hcl.TraverseIndex)
		if !ok {
			return fail()
		}
		if i.Key, ok = KeyFromValue(index.Key); !ok {
			return fail()
		}
	}
	return i, nil
}
