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
)

// rule is what the tags pattern, enum, min and max say of a field's value.
type rule struct {
	pattern  *regexp.Regexp
	enum     []string
	min, max *float64
}

// parseRule reads the tags of a field whose values are of type t; nil if there are none.
func parseRule(tag reflect.StructTag, t cty.Type) (*rule, error) {
	r := &rule{}
	some := false
	if text, ok := tag.Lookup("pattern"); ok {
		var err error
		if r.pattern, err = regexp.Compile(text); err != nil {
			return nil, fmt.Errorf("the pattern: %w", err)
		}
		some = true
	}
	if text, ok := tag.Lookup("enum"); ok {
		r.enum = strings.Split(text, ",")
		some = true
	}
	if some && elementOf(t) != cty.String {
		return nil, fmt.Errorf("pattern and enum are for texts, and lists and maps of them, not for %s", t.FriendlyName())
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
func (r *rule) check(v cty.Value, path cty.Path) Errors {
	if r == nil || !v.IsKnown() || v.IsNull() {
		return nil
	}
	var found Errors
	fail := func(path cty.Path, format string, args ...any) {
		found = append(found, Errorf(stepsOf(path), format, args...))
	}
	what, n := r.measure(v)
	if r.min != nil && n < *r.min {
		fail(path, "%s, and at least %s %s needed", what, number(*r.min), are(v, *r.min))
	}
	if r.max != nil && n > *r.max {
		fail(path, "%s, and at most %s %s allowed", what, number(*r.max), are(v, *r.max))
	}
	r.each(v, path, func(s string, path cty.Path) {
		switch {
		case len(r.enum) > 0 && !slices.Contains(r.enum, s):
			fail(path, "there is no %q here: choose %s", s, oneOf(r.enum))
		case r.pattern != nil && !r.pattern.MatchString(s):
			fail(path, "%q does not match %s", s, r.pattern)
		}
	})
	return found
}

// measure is what min and max bound, and how a message tells it.
func (r *rule) measure(v cty.Value) (what string, n float64) {
	switch {
	case v.Type() == cty.Number:
		n, _ = v.AsBigFloat().Float64()
		return "this is " + number(n), n
	case v.Type() == cty.String:
		n = float64(len([]rune(v.AsString())))
		return fmt.Sprintf("this has %s characters", number(n)), n
	case v.Type().IsListType() || v.Type().IsMapType():
		n = float64(v.LengthInt())
		return fmt.Sprintf("there are %s elements", number(n)), n
	}
	return "", 0
}

// each calls f for each text that is known.
func (r *rule) each(v cty.Value, path cty.Path, f func(string, cty.Path)) {
	if v.Type() == cty.String {
		f(v.AsString(), path)
		return
	}
	if elementOf(v.Type()) != cty.String || v.Type() == cty.Number {
		return
	}
	for it := v.ElementIterator(); it.Next(); {
		if k, e := it.Element(); e.IsKnown() && !e.IsNull() {
			f(e.AsString(), append(path, cty.IndexStep{Key: k}))
		}
	}
}

func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

func are(v cty.Value, n float64) string {
	if n == 1 || v.Type() == cty.Number {
		return "is"
	}
	return "are"
}

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
