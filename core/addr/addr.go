// Package addr names the blocks of a stack and their instances, in modules as well.
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

// Module names an instance of a module, as text: `module.a["x"].module.b`. The root module is "".
type Module string

// Child names an instance of a module that m calls.
func (m Module) Child(name string, key Key) Module {
	s := "module." + name + key.String()
	if m != "" {
		s = string(m) + "." + s
	}
	return Module(s)
}

// prefix is what the address of something in the module begins with.
func (m Module) prefix() string {
	if m == "" {
		return ""
	}
	return string(m) + "."
}

// Contains tells whether o is m, or is called by it, directly or not. A module without a key contains all of its instances.
func (m Module) Contains(o Module) bool {
	rest, ok := strings.CutPrefix(string(o), string(m))
	return ok && (m == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
}

// Step is one call on the way to a module instance.
type Step struct {
	Name string
	Key  Key
}

// Steps takes a module's name apart. It returns an error for a text that names no module.
func (m Module) Steps() ([]Step, error) {
	if m == "" {
		return nil, nil
	}
	t, diags := hclsyntax.ParseTraversalAbs([]byte(m), "address", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, notAnAddress(string(m))
	}
	steps, rest := moduleSteps(t)
	if len(rest) > 0 || len(steps) == 0 {
		return nil, notAnAddress(string(m))
	}
	return steps, nil
}

// Node names a block: kind.type.name, in a module instance.
type Node struct {
	Module           Module
	Kind, Type, Name string
}

// In is the block of the same name in a module instance.
func (n Node) In(m Module) Node {
	n.Module = m
	return n
}

func (n Node) String() string { return n.Module.prefix() + n.Kind + "." + n.Type + "." + n.Name }

// Instance names one expansion of a block.
type Instance struct {
	Node
	Key Key
}

func (i Instance) String() string {
	var room [128]byte // most addresses fit in: a plan asks for thousands of them, several times
	b := append(room[:0], i.Module.prefix()...)
	b = append(append(b, i.Kind...), '.')
	b = append(append(b, i.Type...), '.')
	b = append(b, i.Name...)
	return string(i.Key.appendTo(b))
}

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

func (k Key) String() string { return string(k.appendTo(nil)) }

// appendTo appends the key as String writes it.
func (k Key) appendTo(b []byte) []byte {
	switch k.kind {
	case keyInt:
		return append(strconv.AppendInt(append(b, '['), int64(k.n), 10), ']')
	case keyString:
		b = append(b, '[')
		if strings.ContainsAny(k.s, "$%") {
			b = append(b, quote(k.s)...)
		} else {
			b = strconv.AppendQuote(b, k.s)
		}
		return append(b, ']')
	}
	return b
}

// quote writes an HCL string literal.
func quote(s string) []byte {
	q := strconv.AppendQuote(nil, s)
	if strings.ContainsAny(s, "$%") {
		q = []byte(strings.ReplaceAll(string(q), "${", "$${"))
		q = []byte(strings.ReplaceAll(string(q), "%{", "%%{"))
	}
	return q
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

// CompareKeys orders keys: none, then numbers, then strings.
func CompareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.n, b.n), cmp.Compare(a.s, b.s))
}

// Compare orders instances by module, kind, type, name and key.
func Compare(a, b Instance) int {
	return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Type, b.Type),
		cmp.Compare(a.Name, b.Name), CompareKeys(a.Key, b.Key))
}

func notAnAddress(s string) error {
	return fmt.Errorf("%q is not an address such as application.kubernetes.api or module.shop.application.kubernetes.api[\"prod\"]", s)
}

// Parse reads the address of an instance as String writes it.
func Parse(s string) (Instance, error) {
	if i, ok := plain(s); ok {
		return i, nil
	}
	t, diags := hclsyntax.ParseTraversalAbs([]byte(s), "address", hcl.InitialPos)
	if diags.HasErrors() {
		return Instance{}, notAnAddress(s)
	}
	p, err := FromTraversal(t)
	if err != nil || p.IsModule() {
		return Instance{}, notAnAddress(s)
	}
	return p.Instance, nil
}

// plain reads the common forms without a module, without a parser: no key, a number, or a text that is written as it is.
func plain(s string) (Instance, bool) {
	kind, rest, ok1 := strings.Cut(s, ".")
	typ, name, ok2 := strings.Cut(rest, ".")
	name, index, indexed := strings.Cut(name, "[")
	if !ok1 || !ok2 || kind == "module" || !identifier(kind) || !identifier(typ) || !identifier(name) {
		return Instance{}, false
	}
	i := Instance{Node: Node{Kind: kind, Type: typ, Name: name}}
	if indexed {
		i.Key, indexed = plainKey(index)
		return i, indexed
	}
	return i, true
}

// plainKey reads a key and the bracket behind it. It returns false for texts that are quoted, or that are no key.
func plainKey(s string) (Key, bool) {
	s, ok := strings.CutSuffix(s, "]")
	if !ok || s == "" {
		return Key{}, false
	}
	if s[0] != '"' {
		n, err := strconv.Atoi(s)
		return IntKey(n), err == nil && n >= 0 && strconv.Itoa(n) == s
	}
	if len(s) < 2 || s[len(s)-1] != '"' {
		return Key{}, false
	}
	s = s[1 : len(s)-1]
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '$' || c == '%' {
			return Key{}, false
		}
	}
	return StringKey(s), true
}

func identifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || (c|0x20 >= 'a' && c|0x20 <= 'z')
		if !letter && (i == 0 || (c != '-' && (c < '0' || c > '9'))) {
			return false
		}
	}
	return s != ""
}

// Place is what a person may name: an instance, a block with all of its instances, or a module with all that is in it.
type Place struct {
	Instance        // Kind is empty when a module is meant; then only Module is set
	AllKeys  bool   // no key was given: every instance of the block
	text     string // as it was written
}

// ParsePlace reads what a person names.
func ParsePlace(s string) (Place, error) {
	t, diags := hclsyntax.ParseTraversalAbs([]byte(s), "address", hcl.InitialPos)
	if diags.HasErrors() {
		return Place{}, notAnAddress(s)
	}
	p, err := FromTraversal(t)
	if err != nil {
		return Place{}, notAnAddress(s)
	}
	return p, nil
}

// IsModule tells whether a whole module is meant.
func (p Place) IsModule() bool { return p.Kind == "" }

func (p Place) String() string { return p.text }

// Matches tells whether an instance is meant by the place.
func (p Place) Matches(i Instance) bool {
	if p.IsModule() {
		return p.Module.Contains(i.Module)
	}
	return i.Node == p.Node && (p.AllKeys || i.Key == p.Key)
}

// Move is where an instance gets to when one place is renamed to another of the same sort. A whole block, or a whole module,
// keeps the keys of its instances; a place with a key, or one that gets a key, is that one instance. It returns false for an
// instance that is not meant.
func Move(from, to Place, i Instance) (Instance, bool) {
	switch {
	case from.IsModule():
		rest, ok := strings.CutPrefix(string(i.Module), string(from.Module))
		if !ok || (rest != "" && rest[0] != '.' && (rest[0] != '[' || !IsWhole(from, to))) {
			return i, false
		}
		i.Module = Module(string(to.Module) + rest)
		return i, true
	case i.Node != from.Node:
		return i, false
	case IsWhole(from, to):
	case i.Key != from.Key:
		return i, false
	default:
		i.Key = to.Key
	}
	i.Node = to.Node
	return i, true
}

// IsWhole tells whether moving one place to another is about all instances of a block or of a module, whatever their keys.
func IsWhole(from, to Place) bool {
	if from.IsModule() {
		return !from.Module.hasKey() && !to.Module.hasKey()
	}
	return from.AllKeys && to.AllKeys
}

// hasKey tells whether one instance of for_each or count is named.
func (m Module) hasKey() bool { return strings.HasSuffix(string(m), "]") }

// FromTraversal reads a place as an expression has it.
func FromTraversal(t hcl.Traversal) (Place, error) {
	steps, rest := moduleSteps(t)
	var p Place
	for _, s := range steps {
		p.Module = p.Module.Child(s.Name, s.Key)
	}
	if len(rest) == 0 && len(steps) > 0 {
		p.text = string(p.Module)
		return p, nil
	}
	if len(rest) < 3 || len(rest) > 4 {
		return Place{}, notAnAddress("this")
	}
	names := make([]string, 3)
	for i := range names {
		name, ok := stepName(rest[i])
		if !ok {
			return Place{}, notAnAddress("this")
		}
		names[i] = name
	}
	p.Kind, p.Type, p.Name = names[0], names[1], names[2]
	p.AllKeys = len(rest) == 3
	if len(rest) == 4 {
		index, ok := rest[3].(hcl.TraverseIndex)
		if !ok {
			return Place{}, notAnAddress("this")
		}
		if p.Key, ok = KeyFromValue(index.Key); !ok {
			return Place{}, notAnAddress("this")
		}
	}
	p.text = p.Instance.String()
	return p, nil
}

func stepName(s hcl.Traverser) (string, bool) {
	switch s := s.(type) {
	case hcl.TraverseRoot:
		return s.Name, true
	case hcl.TraverseAttr:
		return s.Name, true
	}
	return "", false
}

// moduleSteps splits the calls of modules off a traversal.
func moduleSteps(t hcl.Traversal) (steps []Step, rest hcl.Traversal) {
	for len(t) >= 2 {
		if word, ok := stepName(t[0]); !ok || word != "module" {
			break
		}
		name, ok := t[1].(hcl.TraverseAttr)
		if !ok {
			break
		}
		step := Step{Name: name.Name}
		t = t[2:]
		if len(t) > 0 {
			if index, ok := t[0].(hcl.TraverseIndex); ok {
				if step.Key, ok = KeyFromValue(index.Key); !ok {
					return nil, nil
				}
				t = t[1:]
			}
		}
		steps = append(steps, step)
	}
	return steps, t
}
