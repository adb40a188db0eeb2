package record

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/gocty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// IgnoredSecrets are the paths of sensitive arguments that were applied, and whose changes are ignored.
func IgnoredSecrets(now cty.Value, rec *state.Record, l config.Lifecycle) map[string]bool {
	ignored := map[string]bool{}
	secret.Parts(now, func(path string, _ cty.Value) {
		if rec.Fingerprints[path] != "" && (l.IgnoreAll || slices.ContainsFunc(l.Ignore, func(t hcl.Traversal) bool { return isWithin(path, t) })) {
			ignored[path] = true
		}
	})
	return ignored
}

// isWithin tells whether a path leads to what is named, or to a part of it.
func isWithin(path string, named hcl.Traversal) bool {
	var of cty.Path
	for _, step := range named {
		switch step := step.(type) {
		case hcl.TraverseAttr:
			of = of.GetAttr(step.Name)
		case hcl.TraverseIndex:
			of = of.Index(step.Key)
		default:
			return false
		}
	}
	rest, ok := strings.CutPrefix(path, plan.PathString(of))
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// WithArguments is a configuration with the values of an earlier one, but for what is sensitive and so not in state.
func WithArguments(now, before cty.Value) cty.Value {
	attrs := now.AsValueMap()
	for name := range attrs {
		if before.Type().HasAttribute(name) {
			attrs[name] = withSecretsOf(attrs[name], before.GetAttr(name))
		}
	}
	return cty.ObjectVal(attrs)
}

// withSecretsOf is an earlier value with what is sensitive now in its place: state does not have that. Elements of lists are told by their index.
func withSecretsOf(now, before cty.Value) cty.Value {
	switch {
	case now.IsMarked():
		return now
	case !deep.Marked(now), before.IsNull(), !before.IsKnown(), !now.Type().Equals(before.Type()):
		return before
	case now.Type().IsListType() || now.Type().IsTupleType():
		is, was := now.AsValueSlice(), before.AsValueSlice()
		for i := range min(len(is), len(was)) {
			was[i] = withSecretsOf(is[i], was[i])
		}
		return listLike(before, was)
	case now.Type().IsMapType() || now.Type().IsObjectType():
		is, was := now.AsValueMap(), before.AsValueMap()
		for name := range was {
			if v, there := is[name]; there {
				was[name] = withSecretsOf(v, was[name])
			}
		}
		return mapLike(before, was)
	}
	return before
}

// listLike is a list or a tuple, as another value is, of other elements.
func listLike(v cty.Value, elements []cty.Value) cty.Value {
	switch {
	case len(elements) == 0:
		return v
	case v.Type().IsTupleType():
		return cty.TupleVal(elements)
	}
	return cty.ListVal(elements)
}

// mapLike is a map or an object, as another value is, of other elements.
func mapLike(v cty.Value, elements map[string]cty.Value) cty.Value {
	switch {
	case v.Type().IsObjectType():
		return cty.ObjectVal(elements)
	case len(elements) == 0:
		return cty.MapValEmpty(v.Type().ElementType())
	}
	return cty.MapVal(elements)
}

// WithOld is a value with the old one at a path in it.
func WithOld(now, old cty.Value, path hcl.Traversal) (cty.Value, error) {
	if len(path) == 0 || now.IsMarked() {
		return withSecretsOf(now, old), nil
	}
	if now.IsNull() || !now.IsKnown() || old.IsNull() || !now.CanIterateElements() {
		return now, nil
	}
	var key cty.Value
	switch step := path[0].(type) {
	case hcl.TraverseAttr:
		key = cty.StringVal(step.Name)
	case hcl.TraverseIndex:
		key = step.Key
	default:
		return now, fmt.Errorf("a splat cannot be ignored")
	}
	if key.Type() == cty.Number && (now.Type().IsListType() || now.Type().IsTupleType()) {
		return elementWithOld(now, old, key, path[1:])
	}
	if key.Type() != cty.String || (!now.Type().IsMapType() && !now.Type().IsObjectType()) {
		return now, fmt.Errorf("only attributes, keys of maps and indexes of lists can be named")
	}
	elements := now.AsValueMap()
	if elements == nil {
		elements = map[string]cty.Value{}
	}
	oldElements := old.AsValueMap()
	name := key.AsString()
	before, had := oldElements[name]
	after, has := elements[name]
	switch {
	case had && has:
		v, err := WithOld(after, before, path[1:])
		if err != nil {
			return now, err
		}
		elements[name] = v
	case had && now.Type().IsMapType():
		elements[name] = before
	case has && now.Type().IsMapType():
		delete(elements, name)
	}
	return mapLike(now, elements), nil
}

// elementWithOld is a list with the old value at a path in one of its elements. An element that is new, or that is gone, is left as it is.
func elementWithOld(now, old, key cty.Value, path hcl.Traversal) (cty.Value, error) {
	var index int
	if err := gocty.FromCtyValue(key, &index); err != nil {
		return now, fmt.Errorf("%s is not an index of a list", key.AsBigFloat().String())
	}
	elements := now.AsValueSlice()
	if !old.CanIterateElements() || index < 0 || index >= len(elements) || index >= old.LengthInt() {
		return now, nil
	}
	v, err := WithOld(elements[index], old.AsValueSlice()[index], path)
	if err != nil {
		return now, err
	}
	elements[index] = v
	return listLike(now, elements), nil
}
