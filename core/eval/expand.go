package eval

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
)

// Expand evaluates for_each or count of something: its instances' keys in order and what each
// of them sees. What has neither has one instance with no key.
func (s *Scope) Expand(name string, forEach, count hcl.Expression) ([]Each, hcl.Diagnostics) {
	switch {
	case forEach != nil:
		return s.forEach(name, forEach)
	case count != nil:
		return s.count(name, count)
	}
	return []Each{{}}, nil
}

func (s *Scope) forEach(name string, expr hcl.Expression) ([]Each, hcl.Diagnostics) {
	v, diags := s.Value(expr, Each{})
	if diags.HasErrors() {
		return nil, diags
	}
	fail := func(format string, args ...any) ([]Each, hcl.Diagnostics) {
		return nil, append(diags, diag.Errorf(expr.Range(), "for_each cannot be expanded", format, args...))
	}
	if v.IsMarked() {
		return fail("The instances of %s would show a sensitive value in their addresses.", name)
	}
	t := v.Type()
	switch {
	case v.IsKnown() && v.IsNull():
		return fail("for_each of %s is null. Use an empty map for no instances.", name)
	case !v.IsKnown():
		return fail("The number of instances of %s is not known before apply. Use keys that are known now, and unknown values only as values of the map.", name)
	case t.IsSetType() && t.ElementType() == cty.String, t.IsMapType(), t.IsObjectType():
	case t.IsSetType() && v.LengthInt() == 0:
	default:
		return fail("for_each of %s must be a map or a set of strings, not %s. Turn a list into a set with toset(...).", name, t.FriendlyName())
	}
	var list []Each
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		if k, _ = k.Unmark(); !k.IsKnown() || k.IsNull() {
			return fail("A key of for_each of %s is null or not known before apply.", name)
		}
		list = append(list, Each{Key: addr.StringKey(k.AsString()), Value: e})
	}
	return list, diags
}

func (s *Scope) count(name string, expr hcl.Expression) ([]Each, hcl.Diagnostics) {
	v, diags := s.Value(expr, Each{})
	if diags.HasErrors() {
		return nil, diags
	}
	v, _ = v.Unmark()
	number, err := convert.Convert(v, cty.Number) // a value from a command line may be a text
	n := -1
	if k, ok := addr.KeyFromValue(number); err == nil && ok {
		i, _ := k.Value().AsBigFloat().Int64()
		n = int(i)
	}
	if n < 0 || n > maxCount {
		return nil, append(diags, diag.Errorf(expr.Range(), "count cannot be expanded",
			"count of %s must be a whole number from 0 to %d that is known before apply.", name, maxCount))
	}
	list := make([]Each, n)
	for i := range list {
		list[i] = Each{Key: addr.IntKey(i)}
	}
	return list, diags
}

// maxCount is how many instances a count may make: more is a mistake that would eat all memory.
const maxCount = 1_000_000
