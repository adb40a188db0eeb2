package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/davit-sh/davit/sdk"
)

// manifests reads all manifests of a folder.
func (l *loader) manifests(dir string, recursive bool) ([]Object, error) {
	var objects []Object
	var errs sdk.Errors
	err := fs.WalkDir(l.tree, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", name, err)
		}
		switch {
		case d.IsDir() && name != dir && (!recursive || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || !isManifest(d.Name()):
			return nil
		}
		found, err := l.manifest(name)
		if problems, ok := errors.AsType[sdk.Errors](err); ok {
			errs = append(errs, problems...)
			return nil
		}
		objects = append(objects, found...)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return objects, nil
}

func isManifest(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
		return !strings.HasPrefix(name, ".")
	}
	return false
}

func (l *loader) manifest(name string) ([]Object, error) {
	data, err := l.read(name)
	if err != nil {
		return nil, err
	}
	return parse(name, data)
}

// document is one document of a file, and the line it starts on.
type document struct {
	text []byte
	line int
}

// split cuts a file at its "---" lines. YAML allows none at the start of a line inside of a value.
func split(data []byte) []document {
	var documents []document
	current := document{line: 1}
	for number, line := range bytes.SplitAfter(data, []byte("\n")) {
		bare := bytes.TrimRight(line, " \t\r\n")
		if bytes.Equal(bare, []byte("---")) || bytes.HasPrefix(line, []byte("--- ")) || bytes.HasPrefix(line, []byte("---\t")) {
			documents = append(documents, current)
			// What follows the dashes on their line belongs to the document.
			current = document{line: number + 1, text: append([]byte("   "), line[3:]...)}
			continue
		}
		current.text = append(current.text, line...)
	}
	return append(documents, current)
}

// parse reads all objects of a file. Its errors are sdk.Errors.
func parse(name string, data []byte) ([]Object, error) {
	if path.Ext(name) != ".json" {
		if err := checkBounds(name, data); err != nil {
			return nil, err
		}
	}
	var objects []Object
	var errs sdk.Errors
	for _, d := range split(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))) {
		value, err := decode(name, d)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if value == nil {
			continue
		}
		where := fmt.Sprintf("%s:%d", name, firstLine(d))
		found, err := toObjects(where, value)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if wrong := checkMetadata(name, d, found); len(wrong) > 0 {
			errs = append(errs, wrong...)
			continue
		}
		objects = append(objects, found...)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return objects, nil
}

// firstLine is the line of the document's first key.
func firstLine(d document) int {
	line := d.line
	for text := range bytes.Lines(d.text) {
		trimmed := bytes.TrimSpace(text)
		if len(trimmed) > 0 && trimmed[0] != '#' {
			return line
		}
		line++
	}
	return d.line
}

// decode returns the document's value, nil when it is empty.
func decode(name string, d document) (map[string]any, *sdk.Error) {
	text := d.text
	if path.Ext(name) != ".json" && !json.Valid(text) {
		converted, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			return nil, syntaxError(name, d, err)
		}
		text = converted
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || bytes.Equal(trimmed, []byte("null")) {
		return nil, nil
	}
	if field, offset := repeatedKey(text); field != "" {
		return nil, &sdk.Error{Summary: fmt.Sprintf("%s:%d has the key %q twice in one object", name, lineAt(d, offset), field),
			Code: "kubernetes.yaml", Path: sdk.At("path"), Hint: "JSON parsers disagree on which of the two applies. Remove one."}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, syntaxError(name, d, err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, &sdk.Error{Summary: fmt.Sprintf("%s:%d has text after the end of its JSON value", name, lineAt(d, decoder.InputOffset())),
			Code: "kubernetes.yaml", Path: sdk.At("path"), Hint: "Write one object in each file, or a List."}
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, &sdk.Error{Summary: fmt.Sprintf("%s:%d is not a Kubernetes object: it is %s", name, firstLine(d), shape(value)),
			Code: "kubernetes.yaml", Path: sdk.At("path"), Hint: objectHint}
	}
	if depthOf(object, maxDepth) > maxDepth {
		return nil, &sdk.Error{Summary: fmt.Sprintf("%s:%d nests maps and lists more than %d deep", name, firstLine(d), maxDepth), Code: "kubernetes.bound", Path: sdk.At("path")}
	}
	numbers(object)
	return object, nil
}

// Decode reads one object's JSON, nil when it is none. Numbers become int64 or float64.
func Decode(text []byte) map[string]any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var object map[string]any
	if decoder.Decode(&object) != nil {
		return nil
	}
	numbers(object)
	return object
}

const objectHint = "All .yaml, .yml and .json files of the folder are applied. Move other files elsewhere."

func shape(v any) string {
	switch v.(type) {
	case []any:
		return "a list"
	case string:
		return "a text"
	default:
		return "a single value"
	}
}

// numbers makes int64 and float64 of JSON numbers, as Kubernetes' own decoder does.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = numbers(e)
		}
	case []any:
		for i, e := range v {
			v[i] = numbers(e)
		}
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i
		}
		f, _ := v.Float64()
		return f
	}
	return v
}

var yamlLine = regexp.MustCompile(`line (\d+)`)

// syntaxError tells where a document cannot be read. It never quotes values: they may be a Secret's.
func syntaxError(name string, d document, err error) *sdk.Error {
	line, message := d.line, strings.TrimPrefix(err.Error(), "error converting YAML to JSON: ")
	if m := yamlLine.FindStringSubmatch(message); m != nil {
		n, _ := strconv.Atoi(m[1])
		line = d.line + n - 1
		_, message, _ = strings.Cut(message, m[0]+": ")
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		line = lineAt(d, syntax.Offset)
	}
	finding := &sdk.Error{Summary: fmt.Sprintf("%s:%d cannot be read", name, line), Detail: withoutValues(message), Code: "kubernetes.yaml", Path: sdk.At("path")}
	if tabbed := tabLine(d); tabbed > 0 && strings.Contains(message, "cannot start any token") {
		finding.Summary = fmt.Sprintf("%s:%d is indented with a tab", name, tabbed)
		finding.Detail, finding.Hint = "", "YAML allows only spaces as indentation: replace the tab."
	}
	return finding
}

func tabLine(d document) int {
	line := d.line
	for text := range bytes.Lines(d.text) {
		indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
		if bytes.ContainsRune(indent, '\t') {
			return line
		}
		line++
	}
	return 0
}

var quoted = regexp.MustCompile("`[^`]*`|anchor '[^']*'")

func withoutValues(message string) string {
	return strings.TrimSpace(quoted.ReplaceAllString(bounded(message), "a value"))
}

// toObjects flattens lists and checks that what remains are objects.
func toObjects(where string, value map[string]any) ([]Object, *sdk.Error) {
	u := &unstructured.Unstructured{Object: value}
	if items, isList := value["items"].([]any); isList && strings.HasSuffix(u.GetKind(), "List") {
		var all []Object
		for i, item := range items {
			m, ok := item.(map[string]any)
			if !ok {
				return nil, &sdk.Error{Summary: fmt.Sprintf("%s: item %d of the list is not a Kubernetes object", where, i+1), Code: "kubernetes.yaml", Path: sdk.At("path")}
			}
			objects, err := toObjects(where, m)
			if err != nil {
				return nil, err
			}
			all = append(all, objects...)
		}
		return all, nil
	}
	if missing := missingIn(u); missing != "" {
		return nil, &sdk.Error{Summary: fmt.Sprintf("%s is not a Kubernetes object that can be applied: it has no %s", where, missing),
			Code: "kubernetes.yaml", Path: sdk.At("path"), Hint: objectHint}
	}
	return []Object{{Object: value, File: where}}, nil
}

func missingIn(u *unstructured.Unstructured) string {
	switch {
	case u.GetAPIVersion() == "":
		return "apiVersion"
	case u.GetKind() == "":
		return "kind"
	case u.GetName() == "":
		return "metadata.name"
	}
	return ""
}

// Applicable tells whether a decoded value is an object that can be applied.
func Applicable(object map[string]any) bool {
	return object != nil && missingIn(&unstructured.Unstructured{Object: object}) == ""
}
