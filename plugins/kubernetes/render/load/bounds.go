package load

import (
	"bytes"
	"errors"
	"io"

	yaml "go.yaml.in/yaml/v3"
)

const (
	// maxDepth is how deep maps and lists may be nested. Definitions of custom resources reach about 60.
	maxDepth = 200
	// maxNodes is how many values a YAML document may have once its aliases are written out, beyond those that are written in it.
	maxAliased = 100_000
)

// checkBounds refuses a text that is small and becomes large, or is nested too deep, when it is read as YAML. A text
// that is no YAML passes: its reader will say so. Most texts can do neither, and are not parsed here.
func checkBounds(file string, data []byte) error {
	if !mayGrow(data) && !mayNest(data) {
		return nil
	}
	for _, text := range [][]byte{data, nil} {
		documents := [][]byte{text}
		if text == nil { // Kustomize cuts documents by their lines before it parses each
			documents = documents[:0]
			for _, d := range split(data) {
				documents = append(documents, d.text)
			}
			if len(documents) == 1 {
				return nil
			}
		}
		for _, d := range documents {
			if err := checkDocuments(file, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkDocuments(file string, data []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var n yaml.Node
		err := decoder.Decode(&n)
		if err != nil {
			if errors.Is(err, io.EOF) || !deepError(err) {
				return nil //nolint:nilerr // who reads it as YAML gets the same error, with the line
			}
			return tooMuch(file, "nests maps and lists more than %d deep", maxDepth)
		}
		m := measure{expanded: map[*yaml.Node]size{}, open: map[*yaml.Node]bool{}}
		s := m.of(&n)
		switch {
		case m.circle:
			return tooMuch(file, "has an alias that contains itself")
		case s.depth > maxDepth+1: // the document is a node, too
			return tooMuch(file, "nests maps and lists more than %d deep", maxDepth)
		case s.nodes > m.written+maxAliased:
			return tooMuch(file, "has aliases that expand to more than %d values", maxAliased)
		}
	}
}

// deepError tells whether the parser gave up because of the depth.
func deepError(err error) bool {
	return bytes.Contains([]byte(err.Error()), []byte("exceeded max depth"))
}

// mayGrow tells whether a text can have both an anchor and an alias for it.
func mayGrow(data []byte) bool {
	return bytes.IndexByte(data, '&') >= 0 && bytes.IndexByte(data, '*') >= 0
}

// mayNest tells whether a text can be nested deeper than maxDepth. Each level needs a bracket, or a column of indentation.
func mayNest(data []byte) bool {
	if bytes.Count(data, []byte{'['})+bytes.Count(data, []byte{'{'}) > maxDepth/2 {
		return true
	}
	for line := range bytes.Lines(data) {
		if len(line)-len(bytes.TrimLeft(line, " \t-?")) > maxDepth/4 {
			return true
		}
	}
	return false
}

// size is what a value has once its aliases are written out.
type size struct {
	nodes int64
	depth int
}

// measure measures the values of one document, each once.
type measure struct {
	expanded map[*yaml.Node]size
	open     map[*yaml.Node]bool
	written  int64
	circle   bool
}

func (m *measure) of(n *yaml.Node) size {
	if known, ok := m.expanded[n]; ok {
		return known
	}
	if m.open[n] {
		m.circle = true
		return size{}
	}
	m.open[n] = true
	m.written++
	s := size{nodes: 1}
	add := func(c size) {
		const enough = 1 << 40 // sums of these do not overflow
		s.nodes = min(s.nodes+c.nodes, enough)
		s.depth = max(s.depth, c.depth)
	}
	for _, child := range n.Content {
		add(m.of(child))
	}
	if n.Alias != nil {
		add(m.of(n.Alias))
	} else if n.Kind != yaml.ScalarNode {
		s.depth++
	}
	delete(m.open, n)
	m.expanded[n] = s
	return s
}

// depthOf returns how deep a decoded value is nested, or a number above most when it is deeper than most.
func depthOf(v any, most int) int {
	if most < 0 {
		return 0
	}
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			deepest = max(deepest, depthOf(e, most-1))
		}
		return deepest + 1
	case []any:
		for _, e := range v {
			deepest = max(deepest, depthOf(e, most-1))
		}
		return deepest + 1
	}
	return 0
}
