package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/davit-sh/davit/sdk"
)

// checkMetadata finds labels and annotations whose values are not strings. The API machinery reads such a map as
// empty, so that all of its other entries would be lost without a word.
func checkMetadata(name string, d document, objects []Object) sdk.Errors {
	var errs sdk.Errors
	for i, o := range objects {
		metadata, isMap := o.Object["metadata"].(map[string]any)
		if !isMap {
			continue
		}
		for _, field := range []string{"labels", "annotations"} {
			key, problem := notStrings(metadata[field])
			if problem == "" {
				continue
			}
			at := fmt.Sprintf("metadata.%s", field)
			if key != "" {
				at = fmt.Sprintf("metadata.%s[%q]", field, key)
			}
			errs = append(errs, &sdk.Error{
				Summary: fmt.Sprintf("%s:%d: %s of %s %s", name, metadataLine(d, i, len(objects), field, key), at, short(o.Object), problem),
				Code:    "kubernetes.metadata", Path: sdk.At("path"),
				Hint: "Labels and annotations are strings: put numbers, true, false and dates in quotes, and remove keys without a value.",
			})
		}
	}
	return errs
}

// notStrings returns the first key of m whose value is not a string, and what the value is instead. A problem without a key
// is one of m itself. Values are not quoted: an annotation may hold a secret.
func notStrings(m any) (key, problem string) {
	values, isMap := m.(map[string]any)
	if !isMap {
		if m == nil {
			return "", ""
		}
		return "", "must be a map of strings, not " + kindOf(m)
	}
	for _, k := range slices.Sorted(maps.Keys(values)) {
		if _, isString := values[k].(string); !isString {
			return k, "must be a string, not " + kindOf(values[k])
		}
	}
	return "", ""
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a bool"
	case string:
		return "a string"
	case []any:
		return "a list"
	case map[string]any:
		return "a map"
	}
	return "a number"
}

// metadataLine is the line of an entry of an object's labels or annotations in the file, the document's first line when it
// cannot be found. i is the object's index among the count objects of the document.
func metadataLine(d document, i, count int, field, key string) int {
	node, err := kyaml.Parse(string(d.text))
	if err != nil {
		return firstLine(d)
	}
	object := node.YNode()
	if items := valueOf(object, "items"); items != nil && items.Kind == kyaml.SequenceNode && len(items.Content) == count {
		object = items.Content[i]
	}
	at := keyOf(valueOf(object, "metadata"), field)
	if entry := keyOf(valueOf(valueOf(object, "metadata"), field), key); entry != nil {
		at = entry
	}
	if at == nil {
		return firstLine(d)
	}
	return d.line + at.Line - 1
}

// keyOf returns the node of a key in a mapping, nil when it is not there.
func keyOf(mapping *kyaml.Node, key string) *kyaml.Node {
	if i := indexOf(mapping, key); i >= 0 {
		return mapping.Content[i]
	}
	return nil
}

// valueOf returns the node of a key's value in a mapping, nil when it is not there.
func valueOf(mapping *kyaml.Node, key string) *kyaml.Node {
	if i := indexOf(mapping, key); i >= 0 {
		return mapping.Content[i+1]
	}
	return nil
}

func indexOf(mapping *kyaml.Node, key string) int {
	if mapping == nil || mapping.Kind != kyaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// repeatedKey returns the first key that an object in a JSON text has twice, and the offset behind its second occurrence.
// It returns "" for a text without one, and for one that is not JSON.
func repeatedKey(text []byte) (key string, offset int64) {
	type level struct {
		keys  map[string]bool // nil in a list
		value bool            // the next token is a key's value
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	var open []level
	for {
		token, err := decoder.Token()
		if err != nil {
			return "", 0
		}
		var inner *level
		if len(open) > 0 {
			inner = &open[len(open)-1]
		}
		if name, isString := token.(string); isString && inner != nil && inner.keys != nil && !inner.value {
			if inner.keys[name] {
				return name, decoder.InputOffset()
			}
			inner.keys[name], inner.value = true, true
			continue
		}
		if inner != nil {
			inner.value = false
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{keys: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
		}
	}
}

// lineAt is the line in the file of an offset in a document.
func lineAt(d document, offset int64) int {
	return d.line + bytes.Count(d.text[:min(int(offset), len(d.text))], []byte("\n"))
}
