package functions

import (
	"fmt"
	"regexp"
	text "strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// oneText makes a function of a string.
func oneText(description string, f func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Description: description, Params: []function.Parameter{{Name: "text", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := f(args[0].AsString())
			return cty.StringVal(s), err
		},
	})
}

// twoTexts makes a question about two strings.
func twoTexts(description, a, b string, f func(a, b string) (bool, error)) function.Function {
	return function.New(&function.Spec{
		Description: description, Params: []function.Parameter{{Name: a, Type: cty.String}, {Name: b, Type: cty.String}}, Type: function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			yes, err := f(args[0].AsString(), args[1].AsString())
			return cty.BoolVal(yes), err
		},
	})
}

func sure(f func(a, b string) bool) func(a, b string) (bool, error) {
	return func(a, b string) (bool, error) { return f(a, b), nil }
}

var (
	endsWith  = twoTexts("Whether a text ends with another one.", "text", "suffix", sure(text.HasSuffix))
	contains  = twoTexts("Whether a text contains another one.", "text", "part", sure(text.Contains))
	globMatch = twoTexts("Whether a path matches a pattern; ** matches any folders.", "pattern", "path", func(pattern, path string) (bool, error) {
		if !doublestar.ValidatePattern(pattern) {
			return false, function.NewArgErrorf(0, "this is not a pattern")
		}
		return doublestar.Match(pattern, path)
	})

	notDNS = regexp.MustCompile(`[^a-z0-9]+`)
	slug   = oneText("A label of RFC 1123: at most 63 lower-case letters, digits and dashes.", func(s string) (string, error) {
		out := text.Trim(notDNS.ReplaceAllString(text.ToLower(s), "-"), "-")
		if len(out) > 63 {
			out = text.TrimRight(out[:63], "-")
		}
		if out == "" {
			return "", function.NewArgErrorf(0, "it contains no character that is allowed in a host name")
		}
		return out, nil
	})
)

// replace takes a pattern between slashes as a regular expression, as people who know Terraform expect.
var replace = function.New(&function.Spec{
	Description: "Replaces every occurrence; a text between slashes is a regular expression.",
	Params:      []function.Parameter{{Name: "text", Type: cty.String}, {Name: "old", Type: cty.String}, {Name: "new", Type: cty.String}},
	Type:        function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if old := args[1].AsString(); len(old) > 1 && old[0] == '/' && old[len(old)-1] == '/' {
			return stdlib.RegexReplaceFunc.Call([]cty.Value{args[0], cty.StringVal(old[1 : len(old)-1]), args[2]})
		}
		return stdlib.ReplaceFunc.Call(args)
	},
})

var timeCmp = function.New(&function.Spec{
	Description: "-1, 0 or 1: whether a time (RFC 3339) is before another one, the same, or after it.",
	Params:      []function.Parameter{{Name: "a", Type: cty.String}, {Name: "b", Type: cty.String}},
	Type:        function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		var times [2]time.Time
		for i, a := range args {
			t, err := time.Parse(time.RFC3339, a.AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(i, "this is not a time in the form of RFC 3339, such as 2026-01-02T15:04:05Z")
			}
			times[i] = t
		}
		return cty.NumberIntVal(int64(times[0].Compare(times[1]))), nil
	},
})

// documentBreak is what separates the documents of a YAML text.
var documentBreak = regexp.MustCompile(`(?m)^---(?:[ \t].*)?$`)

var yamlDecodeAll = function.New(&function.Spec{
	Description: "Decodes all documents of a YAML text; empty ones are left out.",
	Params:      []function.Parameter{{Name: "text", Type: cty.String}},
	Type:        function.StaticReturnType(cty.DynamicPseudoType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		var list []cty.Value
		for i, doc := range documentBreak.Split(args[0].AsString(), -1) {
			if text.TrimSpace(doc) == "" {
				continue
			}
			v, err := ctyyaml.YAMLDecodeFunc.Call([]cty.Value{cty.StringVal(doc)})
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "document %d: %s", i+1, err)
			}
			list = append(list, v)
		}
		return cty.TupleVal(list), nil
	},
})

var yamlEncodeAll = function.New(&function.Spec{
	Description: "Encodes each element of a list as a YAML document of its own.",
	Params:      []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type:        function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !args[0].CanIterateElements() {
			return cty.NilVal, function.NewArgErrorf(0, "this is not a list")
		}
		var b text.Builder
		for it := args[0].ElementIterator(); it.Next(); {
			_, v := it.Element()
			doc, err := ctyyaml.YAMLEncodeFunc.Call([]cty.Value{v})
			if err != nil {
				return cty.NilVal, err
			}
			if !doc.IsKnown() {
				return cty.UnknownVal(cty.String), nil
			}
			fmt.Fprintf(&b, "---\n%s", doc.AsString())
		}
		return cty.StringVal(b.String()), nil
	},
})

// startsWith can tell of an unknown text too, when enough of its beginning is known.
var startsWith = function.New(&function.Spec{
	Description: "Whether a text begins with another one.",
	Params:      []function.Parameter{{Name: "text", Type: cty.String, AllowUnknown: true}, {Name: "prefix", Type: cty.String}},
	Type:        function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		prefix := args[1].AsString()
		if args[0].IsKnown() {
			return cty.BoolVal(text.HasPrefix(args[0].AsString(), prefix)), nil
		}
		known := args[0].Range().StringPrefix()
		switch {
		case text.HasPrefix(known, prefix):
			return cty.True, nil
		case !text.HasPrefix(prefix, known):
			return cty.False, nil
		}
		return cty.UnknownVal(cty.Bool).RefineNotNull(), nil
	},
})
