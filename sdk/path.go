package sdk

import (
	"fmt"
	"slices"
	"strings"
)

// Path leads to a value inside of a configuration. The zero Path is the configuration itself. Paths are made by At:
//
//	sdk.At("images").Key("acme/api")
//	sdk.At("rule").Index(1).Attribute("name")
type Path []Step

// Step is an attribute of an object or block, a key of a map, or an index of a list.
type Step struct {
	kind  stepKind
	name  string
	index int
}

type stepKind uint8

const (
	atAttribute stepKind = iota
	atKey
	atIndex
)

// At returns the path of an argument or a nested block of the configuration.
func At(name string) Path { return Path{{kind: atAttribute, name: name}} }

// Attribute returns the path of an attribute of the object or block at p.
func (p Path) Attribute(name string) Path { return p.with(Step{kind: atAttribute, name: name}) }

// Key returns the path of an element of the map at p.
func (p Path) Key(key string) Path { return p.with(Step{kind: atKey, name: key}) }

// Index returns the path of an element of the list at p. The first one has the index 0.
func (p Path) Index(i int) Path { return p.with(Step{kind: atIndex, index: i}) }

// Join returns the path of the value that inner leads to from the value at p.
func (p Path) Join(inner Path) Path { return slices.Concat(p, inner) }

// with returns a copy, so that two paths never share their steps.
func (p Path) with(s Step) Path { return append(slices.Clip(slices.Clone(p)), s) }

// String writes a path as a configuration does: rule[1].labels["app"].
func (p Path) String() string {
	var b strings.Builder
	for i, s := range p {
		switch s.kind {
		case atAttribute:
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.name)
		case atKey:
			fmt.Fprintf(&b, "[%q]", s.name)
		case atIndex:
			fmt.Fprintf(&b, "[%d]", s.index)
		}
	}
	return b.String()
}
