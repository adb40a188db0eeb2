package eval

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
)

// TypeCheck evaluates the expressions of a stack that stand outside of blocks' arguments: locals, outputs, checks, conditions, triggers,
// for_each and count, and the arguments of modules. Every block and variable has an unknown value of its type, so what is reported is wrong
// whatever the values are. typeOf returns the type of a block's attributes, or cty.DynamicPseudoType.
func TypeCheck(stack *config.Module, typeOf func(addr.Node) cty.Type, literals *Literals, stop <-chan struct{}) hcl.Diagnostics {
	variables := map[string]cty.Value{}
	for name, v := range stack.Variables {
		variables[name] = cty.UnknownVal(variableType(v))
		if v.Sensitive {
			variables[name] = variables[name].Mark(Sensitive)
		}
	}
	s := NewScope(stack, variables, nil)
	s.shared.typeOf = typeOf
	s.ShareLiterals(literals)
	s.StopOn(stop)
	s.OnDemand(func(s *Scope, call *config.Call) { s.Expanded(call, []Each{anyOf(call.ForEach, call.Count)}) })
	c := &typeChecker{seen: map[string]bool{}}
	c.module(s)
	return c.diags
}

func variableType(v *config.Variable) cty.Type {
	if v.Type == nil {
		return cty.DynamicPseudoType
	}
	t, _, diags := typeexpr.TypeConstraintWithDefaults(v.Type)
	if diags.HasErrors() {
		return cty.DynamicPseudoType
	}
	return t.WithoutOptionalAttributesDeep()
}

type typeChecker struct {
	diags hcl.Diagnostics
	seen  map[string]bool // texts of diags: a mistake in a local comes back from whatever uses the local
}

func (c *typeChecker) add(diags hcl.Diagnostics) {
	for _, d := range diags {
		if key := d.Error() + "\x00" + d.Detail; !c.seen[key] {
			c.seen[key] = true
			c.diags = append(c.diags, d)
		}
	}
}

func (c *typeChecker) value(s *Scope, x hcl.Expression, each Each) cty.Value {
	if x == nil {
		return cty.DynamicVal
	}
	v, diags := s.Value(x, each)
	c.add(diags)
	return v
}

func (c *typeChecker) module(s *Scope) {
	m := s.Module
	if s.Parent != nil {
		for _, name := range slices.Sorted(maps.Keys(m.Variables)) {
			_, diags := s.named(valueKey{'v', name})
			c.add(diags)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Locals)) {
		_, diags := s.named(valueKey{'l', name})
		c.add(diags)
	}
	for _, n := range slices.Concat(m.Order, m.Notifications) {
		c.block(s, m.Blocks[n])
	}
	for _, name := range slices.Sorted(maps.Keys(m.Outputs)) {
		_, diags := s.Output(name)
		c.add(diags)
	}
	for _, check := range m.Checks {
		c.conditions(s, check.Asserts, Each{}, cty.NilVal)
	}
	for _, i := range m.Imports {
		c.value(s, i.ID, anyOf(i.ForEach, nil))
		c.expansion(s, i.ForEach, nil)
	}
	for _, name := range m.CallOrder {
		call := m.Calls[name]
		if call.Module == nil {
			continue
		}
		c.expansion(s, call.ForEach, call.Count)
		c.module(s.Children(name)[0])
	}
}

// anyOf is what each instance of something sees.
func anyOf(forEach, count hcl.Expression) Each {
	if forEach == nil && count == nil {
		return Each{}
	}
	return Any(forEach != nil)
}

func (c *typeChecker) block(s *Scope, b *config.Block) {
	each := anyOf(b.ForEach, b.Count)
	c.expansion(s, b.ForEach, b.Count)
	c.conditions(s, b.Lifecycle.Pre, each, cty.NilVal)
	c.conditions(s, b.Lifecycle.Post, each, cty.UnknownVal(s.shared.typeOf(b.Addr)))
	for _, x := range b.Lifecycle.ReplaceTriggeredBy {
		c.value(s, x, each)
	}
}

func (c *typeChecker) conditions(s *Scope, rules []config.Condition, each Each, self cty.Value) {
	for _, rule := range rules {
		c.add(s.Check(rule, each, self).Diagnostics)
	}
}

// expansion checks the types of for_each and count.
func (c *typeChecker) expansion(s *Scope, forEach, count hcl.Expression) {
	if v := c.value(s, forEach, Each{}); forEach != nil && !canBeForEach(v.Type()) {
		c.add(hcl.Diagnostics{diag.Errorf(forEach.Range(), "for_each cannot be expanded",
			"for_each must be a map or a set of strings, not %s. Turn a list into a set with toset(...).", v.Type().FriendlyName())})
	}
	if v := c.value(s, count, Each{}); count != nil && !canBe(v.Type(), cty.Number) {
		c.add(hcl.Diagnostics{diag.Errorf(count.Range(), "count cannot be expanded", "count must be a number, not %s.", v.Type().FriendlyName())})
	}
}

func canBeForEach(t cty.Type) bool {
	return t == cty.DynamicPseudoType || t.IsMapType() || t.IsObjectType() || (t.IsSetType() && canBe(t.ElementType(), cty.String))
}

func canBe(t, want cty.Type) bool {
	return t == cty.DynamicPseudoType || t == want || convert.GetConversionUnsafe(t, want) != nil
}

// typed is an unknown value of the type of a block that a reference means.
func (s *Scope) typed(r Ref) cty.Value {
	b := s.Module.Blocks[r.Node]
	if b == nil {
		return cty.DynamicVal
	}
	switch t := s.shared.typeOf(r.Node); {
	case t == cty.DynamicPseudoType:
		return cty.DynamicVal
	case b.ForEach != nil:
		return cty.UnknownVal(cty.Map(t))
	case b.Count != nil:
		return cty.UnknownVal(cty.List(t))
	default:
		return cty.UnknownVal(t)
	}
}
