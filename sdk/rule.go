package sdk

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// rule is what the tags pattern, enum, min and max say of a field's value.
type rule struct {
	of       cty.Type
	pattern  *regexp.Regexp
	enum     []string
	min, max *float64
}

// parseRule reads the tags of a field whose values are of type t; nil if there are none.
func parseRule(tag reflect.StructTag, t cty.Type) (*rule, error) {
	r := &rule{of: t}
	some := false
	if text, ok := tag.Lookup("pattern"); ok {
		var err error
		if r.pattern, err = regexp.Compile(text); err != nil {
			return nil, fmt.Errorf("the pattern: %w", err)
		}
		some = true
	}
	if text, ok := tag.Lookup("enum"); ok {
		for choice := range strings.SplitSeq(text, ",") {
			r.enum = append(r.enum, strings.TrimSpace(choice))
		}
		some = true
	}
	if some && elementOf(t) != cty.String {
		return nil, fmt.Errorf("pattern and enum are for texts and for lists and maps of texts, not for %s", t.FriendlyName())
	}
	for name, into := range map[string]**float64{"min": &r.min, "max": &r.max} {
		text, ok := tag.Lookup(name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%s %q is not a number", name, text)
		}
		if t != cty.Number && t != cty.String && !t.IsListType() && !t.IsMapType() {
			return nil, fmt.Errorf("%s is for numbers, texts, lists and maps, not for %s", name, t.FriendlyName())
		}
		*into, some = &n, true
	}
	if !some {
		return nil, nil
	}
	if r.min != nil && r.max != nil && *r.min > *r.max {
		return nil, errors.New("min is larger than max")
	}
	return r, nil
}

// elementOf is the type of the elements of a list or map, and of anything else itself.
func elementOf(t cty.Type) cty.Type {
	if t.IsListType() || t.IsMapType() {
		return t.ElementType()
	}
	return t
}

// check tells what is wrong with a value. What is not known, or null, is not wrong.
func (r *rule) check(v msgpack.Raw, at Path) Errors {
	if kind := v.Kind(); kind == msgpack.Nil || kind == msgpack.Extension {
		return nil
	}
	var found Errors
	fail := func(at Path, format string, args ...any) {
		found = append(found, Errorf(slices.Clone(at), format, args...))
	}
	unit, n := r.measure(v)
	if r.min != nil && n < *r.min {
		fail(at, "%s", bound("at least", *r.min, n, unit))
	}
	if r.max != nil && n > *r.max {
		fail(at, "%s", bound("at most", *r.max, n, unit))
	}
	r.each(v, at, func(s string, at Path) {
		switch {
		case len(r.enum) > 0 && !slices.Contains(r.enum, s):
			fail(at, "must be %s, not %q", oneOf(r.enum), s)
		case r.pattern != nil && !r.pattern.MatchString(s):
			fail(at, "%q does not match %s", s, r.pattern)
		}
	})
	return found
}

// measure returns the number that min and max limit, and its unit: "" for a number's own value, "character" for the length of a
// text, "element" for that of a list or map.
func (r *rule) measure(v msgpack.Raw) (unit string, n float64) {
	switch {
	case r.min == nil && r.max == nil:
		return "", 0
	case r.of == cty.Number:
		n, _ = new(decoder).number(v).Float64()
		return "", n
	case r.of == cty.String:
		return "character", float64(len([]rune(normal(v.Text()))))
	}
	elements, _ := v.Elements()
	return "element", float64(elements)
}

// bound is the message about n beyond a limit: "must be at least 0, not -4", "must have at most 2 elements, not 3".
func bound(which string, limit, n float64, unit string) string {
	if unit == "" {
		return fmt.Sprintf("must be %s %s, not %s", which, number(limit), number(n))
	}
	if limit != 1 {
		unit += "s"
	}
	return fmt.Sprintf("must have %s %s %s, not %s", which, number(limit), unit, number(n))
}

// each calls f for each text that is known.
func (r *rule) each(v msgpack.Raw, at Path, f func(string, Path)) {
	if r.enum == nil && r.pattern == nil {
		return
	}
	if r.of == cty.String {
		f(normal(v.Text()), at)
		return
	}
	n, rest := v.Elements()
	for i := range n {
		s := Step{kind: atIndex, index: i}
		var e msgpack.Raw
		if r.of.IsMapType() {
			e, rest = rest.Cut()
			s = Step{kind: atKey, name: normal(e.Text())}
		}
		if e, rest = rest.Cut(); e.Kind() == msgpack.Text {
			f(normal(e.Text()), append(slices.Clone(at), s))
		}
	}
}

func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// oneOf writes a choice: "a", "b" or "c".
func oneOf(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " or " + quoted[len(quoted)-1]
}

// hidden says what a sensitive value should be, without it.
func (r *rule) hidden() string {
	if r.pattern != nil {
		return ": it must match " + r.pattern.String()
	}
	return ""
}

// describe puts the rule into a schema.
func (r *rule) describe(a *pluginv1.Attribute) {
	if r == nil {
		return
	}
	if r.pattern != nil {
		a.Pattern = r.pattern.String()
	}
	a.Enum, a.Min, a.Max = r.enum, r.min, r.max
}
