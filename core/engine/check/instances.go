package check

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
)

// sees says which names of an instance's own an expression may use, and whose expression it is.
type sees struct {
	who            string
	forEach, count bool
}

// expansionOf names the expression that says which instances something has: there is no instance yet that it could speak of.
func expansionOf(forEach hcl.Expression, of string) string {
	if forEach != nil {
		return "for_each of " + of
	}
	return "count of " + of
}

// instance checks a use of each, count or self.
func (c *checker) instance(r eval.Ref, who sees) {
	switch {
	case r.Instance == "self":
		c.report(r.Range, "self outside of a postcondition", "self is the instance in its own postconditions. Use the address of the block here: kind.type.name.attribute.")
	case r.Instance == "each" && !who.forEach:
		c.report(r.Range, "each without for_each", "each.key and each.value need for_each, but %s has no for_each.%s", who.who, instead(who.count, "count.index"))
	case r.Instance == "count" && !who.count:
		c.report(r.Range, "count without count", "count.index needs count, but %s has no count.%s", who.who, instead(who.forEach, "each.key"))
	}
}

func instead(there bool, name string) string {
	if !there {
		return ""
	}
	return " Use " + name + "."
}

// constant evaluates for_each or count where it refers to nothing, and reports what is wrong with it. It returns nil if
// there is neither, or its instances are known while planning only.
func (c *checker) constant(of string, forEach, count hcl.Expression) *world.Constant {
	x := forEach
	if x == nil {
		x = count
	}
	if x == nil {
		return nil
	}
	if k, done := c.constants[x]; done {
		return k
	}
	c.constants[x] = nil
	switch _, isTuple := x.(*hclsyntax.TupleConsExpr); {
	case forEach != nil && isTuple:
		c.report(x.Range(), "for_each cannot be expanded", "for_each of %s must be a map or a set of strings, not a list. Turn it into a set with toset(...).", of)
		return nil
	case !eval.IsLiteral(x):
		return nil
	}
	each, diags := c.scope.Expand(of, forEach, count)
	c.diags = append(c.diags, diags...)
	if !diags.HasErrors() {
		c.constants[x] = &world.Constant{Each: each}
	}
	return c.constants[x]
}

// indexed checks the index of a reference to something, or its absence, as far as it can be told without values. within says
// that the reference goes on, to what one instance has.
func (c *checker) indexed(r eval.Ref, of string, forEach, count hcl.Expression, within bool) bool {
	expanded := forEach != nil || count != nil
	switch {
	case r.Key == nil && expanded && within:
		c.report(r.Range, "Missing index", "%s has %s: name one instance, such as %s%s, or use all of them with [for x in %s : ...].",
			of, expansionWord(forEach), of, exampleKey(forEach), of)
		return false
	case r.Key == nil:
		return !expanded
	case !expanded:
		c.report(r.Range, "Unexpected index", "%s has neither for_each nor count. Remove the index.", of)
		return false
	}
	key, ok := literalKey(r.Key)
	if !ok {
		return true
	}
	if isString := key.Value().Type() == cty.String; isString != (forEach != nil) {
		c.report(r.Range, "Unknown instance", "%s has %s: its instances have keys such as %s%s, not %s%s.", of, expansionWord(forEach), of, exampleKey(forEach), of, key)
		return false
	}
	if k := c.constant(of, forEach, count); k != nil && !k.Has(key) {
		keys := make([]addr.Key, len(k.Each))
		for i, e := range k.Each {
			keys[i] = e.Key
		}
		c.report(r.Range, "Unknown instance", "%s has no instance %s.%s", of, key, world.NearestKey(key, keys))
		return false
	}
	return true
}

func expansionWord(forEach hcl.Expression) string {
	if forEach != nil {
		return "for_each"
	}
	return "count"
}

func exampleKey(forEach hcl.Expression) string {
	if forEach != nil {
		return `["key"]`
	}
	return "[0]"
}

// literalKey is an index that is written out.
func literalKey(x hcl.Expression) (addr.Key, bool) {
	if !eval.IsLiteral(x) {
		return addr.Key{}, false
	}
	v, diags := x.Value(nil)
	if diags.HasErrors() {
		return addr.Key{}, false
	}
	return addr.KeyFromValue(v)
}
