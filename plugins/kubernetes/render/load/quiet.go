package load

import (
	"bytes"
	"path"
	"regexp"
	"strings"

	yaml "go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/chart"
)

// mask stands for a value that is not shown.
const mask = "(sensitive)"

var word = regexp.MustCompile(`[\pL\pN]+`)

// onlyKnown masks every word of a message that is not known. Words are masked by where they are from, not by what they look like: a
// library's error may quote a value, or what a template has made of it.
func onlyKnown(message string, known func(word string) bool) string {
	masked := word.ReplaceAllStringFunc(message, func(w string) string {
		if known(w) {
			return w
		}
		return "\x00"
	})
	return regexp.MustCompile(`\x00([^\s\pL\pN]*\x00)*`).ReplaceAllString(masked, mask)
}

type words map[string]bool

func (w words) add(text string) {
	for _, found := range word.FindAllString(text, -1) {
		w[found] = true
	}
}

// helmWords are the words of Helm's and its template engine's own errors.
const helmWords = `execution error at template executing calling include tpl required fail nil pointer evaluating interface map has no entry for key
can t evaluate field in type wrong type for value expected got string int int64 float64 bool slice list dict function not defined undefined
unexpected EOF parse unclosed action unterminated quoted character constant bad operand missing argument arguments too many few want
range over iterate invalid unknown index out of error converting YAML JSON line did not find cannot unmarshal into the its dependency is charts run helm
build and commit result chart metadata version name apiVersion Chart yaml file missing or not v1 v2 with on at from values Values Release Capabilities
rendering template has a nested reference exceeded maximum depth unable to while of be an must contain only comparable types incompatible
comparison basic kind zero non error raised`

// chartMessage is a Helm error as it may be shown: with the words of Helm and of the chart's templates, and without those of values.
func chartMessage(c *chart.Chart, message string) string {
	known := words{}
	known.add(helmWords)
	var add func(*chart.Chart, int)
	add = func(c *chart.Chart, depth int) {
		known.add(c.Name())
		for _, t := range c.Templates {
			known.add(t.Name)
			known.add(string(t.Data))
		}
		for _, d := range c.Dependencies() {
			if depth < maxDepth {
				add(d, depth+1)
			}
		}
	}
	if c != nil {
		add(c, 0)
	}
	line := regexp.MustCompile(`:[0-9]+(:[0-9]+)?[:)]`) // places in a file
	for _, place := range line.FindAllString(message, -1) {
		known.add(place)
	}
	return bounded(onlyKnown(message, func(w string) bool { return known[w] }))
}

// kustomizeMessage is an error of Kustomize as it may be shown: without the words that are values in the files that it has read.
// Keys, kinds, names and paths are kept.
func (s *source) kustomizeMessage(message string) string {
	// What follows is the text of a file or of a patch.
	for _, quote := range []string{"node contents:", "unable to parse SM or JSON patch from", "invalid patch:"} {
		message, _, _ = strings.Cut(message, quote)
	}
	const most = 8 << 20
	if s.bytes > most {
		return ""
	}
	shown, values := words{}, words{}
	for name, content := range s.contents {
		shown.add(name)
		values.add(string(content))
		decoder := yaml.NewDecoder(bytes.NewReader(content))
		for {
			var n yaml.Node
			if decoder.Decode(&n) != nil {
				break
			}
			shown.structure(&n, 0)
		}
	}
	const longest = 40 // a longer word is no word of a message
	return bounded(onlyKnown(message, func(w string) bool { return (shown[w] || !values[w]) && len(w) <= longest }))
}

// named are the fields whose values are no secrets: they say what an object is, or where a file is.
var named = map[string]bool{"apiVersion": true, "kind": true, "name": true, "namespace": true, "path": true, "resources": true, "bases": true, "components": true,
	"generators": true, "transformers": true, "validators": true, "crds": true, "configurations": true, "files": true, "envs": true, "env": true}

// structure adds the keys of a document, and the values of named fields.
func (w words) structure(n *yaml.Node, depth int) {
	if depth > maxDepth {
		return
	}
	for i, child := range n.Content {
		if n.Kind != yaml.MappingNode {
			w.structure(child, depth+1)
			continue
		}
		if i%2 == 1 {
			key := n.Content[i-1].Value
			if !secretFields[key] {
				w.structure(child, depth+1)
			}
			if named[key] {
				w.scalars(child)
			}
			continue
		}
		w.add(child.Value)
	}
}

// secretFields hold free keys and values.
var secretFields = map[string]bool{"data": true, "stringData": true, "literals": true, "patch": true}

func (w words) scalars(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && !strings.Contains(n.Value, "\n") {
		w.add(path.Clean(n.Value))
	}
	if n.Kind == yaml.SequenceNode {
		for _, child := range n.Content {
			w.scalars(child)
		}
	}
}
