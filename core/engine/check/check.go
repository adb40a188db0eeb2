package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/kinds"
)

// Stack finds what is wrong with the whole stack as it is written, all of it in one go. Evaluations end when stop is closed.
func Stack(in *input.Input, f *world.Forms, stop <-chan struct{}) hcl.Diagnostics {
	s := eval.NewScope(in.Stack.Module, nil, nil)
	s.ShareLiterals(in.Literals)
	s.StopOn(stop)
	return newChecker(in, f, s).stack(stop)
}

// Expression finds what is wrong with the references of an expression that somebody has typed in.
func Expression(in *input.Input, f *world.Forms, s *eval.Scope, x hcl.Expression) hcl.Diagnostics {
	c := newChecker(in, f, s)
	c.refs(in.Stack.Module, eval.References(x), sees{who: "the console"})
	return c.diags
}

// stack finds what is wrong with the whole stack as it is written, all of it in one go.
func (c *checker) stack(stop <-chan struct{}) hcl.Diagnostics {
	c.modules(c.scope)
	c.diags = append(c.diags, c.cycles()...)
	c.diags = append(c.diags, c.input.GateWarnings()...)
	if !c.diags.HasErrors() { // what cannot be evaluated is reported already
		c.diags = append(c.diags, eval.TypeCheck(c.input.Stack.Module, c.typeOf, c.input.Literals, stop)...)
	}
	return c.diags
}

// typeOf returns the type of what others see of an instance of a block.
func (c *checker) typeOf(n addr.Node) cty.Type {
	t := c.input.Types.Find(n)
	if t == nil {
		return cty.DynamicPseudoType
	}
	return t.SeenType()
}

// checker looks at one module after the other. A module that is called twice is looked at once.
type checker struct {
	input     *input.Input
	forms     *world.Forms
	scope     *eval.Scope // of the module that is looked at
	seen      map[*config.Module]bool
	constants map[hcl.Expression]*world.Constant
	diags     hcl.Diagnostics
}

// newChecker returns a checker that begins at a scope.
func newChecker(in *input.Input, f *world.Forms, s *eval.Scope) *checker {
	return &checker{input: in, forms: f, scope: s, seen: map[*config.Module]bool{}, constants: map[hcl.Expression]*world.Constant{}}
}

func (c *checker) modules(s *eval.Scope) {
	m := s.Module
	if c.seen[m] {
		return
	}
	c.seen[m], c.scope = true, s
	c.module(m)
	for _, name := range m.CallOrder {
		if call := m.Calls[name]; call.Module != nil {
			c.scope = s
			c.call(m, call)
			c.modules(s.Expanded(call, []eval.Each{{}})[0])
		}
	}
}

func (c *checker) module(m *config.Module) {
	for _, n := range m.Order {
		c.block(m, m.Blocks[n])
	}
	for _, n := range m.Notifications {
		c.block(m, m.Blocks[n])
		c.events(m.Blocks[n])
	}
	for _, name := range slices.Sorted(maps.Keys(m.Locals)) {
		c.refs(m, eval.References(m.Locals[name].Expr), sees{who: "local." + name})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Outputs)) {
		o := m.Outputs[name]
		c.refs(m, append(eval.OutputReferences(o), world.RefsOf(o.DependsOn)...), sees{who: "output." + name})
	}
	for _, check := range m.Checks {
		c.conditions(m, check.Asserts, sees{who: "check." + check.Name})
	}
	for _, i := range m.Imports {
		own := sees{who: "this import", forEach: i.ForEach != nil}
		c.refs(m, eval.References(i.ID), own)
		c.refs(m, eval.References(i.Key), own)
		c.refs(m, eval.References(i.ForEach), sees{who: "for_each of this import"})
		c.constant("this import", i.ForEach, nil)
		if i.To.Module == "" && m.Blocks[i.To.Node] == nil {
			c.report(i.Range, "Import of an undeclared block", "The stack has no block %s. Write it first.", i.To.Node)
		}
	}
	for _, moved := range m.Moved {
		if stays(m, moved) {
			c.report(moved.Range, "Moved block is still declared",
				"%s is declared, so its record cannot move to %s. Remove its block, or this moved block.", moved.From, moved.To)
		}
	}
	for _, r := range m.Removed {
		if c.still(m, r.From) {
			c.report(r.Range, "Removed block is still declared", "%s is declared. Remove its block, or this removed block.", r.From)
		}
	}
}

// still tells whether a place of a module is declared.
func (c *checker) still(m *config.Module, p addr.Place) bool {
	if p.IsModule() {
		steps, err := p.Module.Steps()
		return err == nil && len(steps) == 1 && m.Calls[steps[0].Name] != nil
	}
	return p.Module == "" && m.Blocks[p.Node] != nil
}

// stays tells whether what a moved block moves away is declared all the same, as far as that can be told without values:
// which keys there are is known later.
func stays(m *config.Module, moved *config.Moved) bool {
	from := moved.From
	steps, err := from.Module.Steps()
	if err != nil {
		return false
	}
	for i, s := range steps {
		call := m.Calls[s.Name]
		if call == nil || call.Module == nil {
			return false
		}
		expanded := call.ForEach != nil || call.Count != nil
		if from.IsModule() && i == len(steps)-1 {
			return addr.IsWhole(from, moved.To) || (!expanded && s.Key.IsNone())
		}
		if expanded || !s.Key.IsNone() {
			return false
		}
		m = call.Module
	}
	b := m.Blocks[from.In("")]
	if b == nil {
		return false
	}
	return addr.IsWhole(from, moved.To) || (from.Key.IsNone() && b.ForEach == nil && b.Count == nil)
}

func (c *checker) report(at hcl.Range, summary, format string, args ...any) {
	c.diags = append(c.diags, diag.Errorf(at, summary, format, args...))
}

func (c *checker) block(m *config.Module, b *config.Block) {
	n := b.Addr
	t := c.input.Types.Find(n)
	if t == nil {
		c.report(b.Range, "Unknown type", "No plugin provides %s %q.%s Known types: %s. Plugins from outside must be in required_plugins.",
			n.Kind, n.Type, diag.DidYouMean(n.Type, c.input.Types.Names(n.Kind)), strings.Join(c.input.Types.Names(n.Kind), ", "))
		return
	}
	f := c.forms.Form(b)
	c.diags = append(c.diags, f.Diags...)
	own := sees{who: n.String(), forEach: b.ForEach != nil, count: b.Count != nil}
	for _, refs := range [][]eval.Ref{f.References, f.DependsOn, f.Triggers} {
		c.refs(m, refs, own)
	}
	c.triggers(m, b)
	c.refs(m, f.Expansion, sees{who: expansionOf(b.ForEach, n.String())})
	f.Constant.Store(c.constant(n.String(), b.ForEach, b.Count))
	for _, ignored := range b.Lifecycle.Ignore {
		if d := t.Schema.Ignorable(ignored, fmt.Sprintf("%s %q", n.Kind, n.Type)); d != nil {
			c.diags = append(c.diags, d)
		}
	}
	if !f.Diags.HasErrors() {
		c.literals(b, t)
	}
}

// events finds names of events that there are not, where they are written out.
func (c *checker) events(b *config.Block) {
	content, _, _ := b.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: kinds.On}}})
	a := content.Attributes[kinds.On]
	if a == nil {
		return
	}
	list, diags := hcl.ExprList(a.Expr)
	if diags.HasErrors() {
		return // it is made of something
	}
	for _, e := range list {
		if v, diags := e.Value(nil); !diags.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() && !slices.Contains(kinds.Events(), v.AsString()) {
			c.report(e.Range(), "Unknown event", "The event %q does not exist.%s Known events: %s.", v.AsString(), diag.DidYouMean(v.AsString(), kinds.Events()), strings.Join(kinds.Events(), ", "))
		}
	}
}

func (c *checker) conditions(m *config.Module, rules []config.Condition, who sees) {
	c.refs(m, world.ConditionRefs(rules), who)
}

// literals finds values of a wrong type where they are written out, without any reference.
func (c *checker) literals(b *config.Block, t *types.Type) {
	for _, d := range t.Schema.CheckLiterals(b.Body, c.scope.Evaluator(nil, eval.Each{})) {
		own := *d
		own.EvalContext = nil
		c.diags = append(c.diags, &own)
	}
}

// call checks the arguments of a module against its variables.
func (c *checker) call(m *config.Module, call *config.Call) {
	variables := call.Module.Variables
	own := sees{who: world.CallName(call.Name), forEach: call.ForEach != nil, count: call.Count != nil}
	for _, name := range slices.Sorted(maps.Keys(call.Arguments)) {
		a := call.Arguments[name]
		c.refs(m, eval.References(a.Expr), own)
		if variables[name] == nil {
			c.report(a.NameRange, "Unknown argument", "The module %s has no variable %q.%s", call.Source, name, diag.DidYouMean(name, slices.Collect(maps.Keys(variables))))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if variables[name].Default == nil && call.Arguments[name] == nil {
			c.report(call.Range, "Variable without a value", "The module %s requires a value for %q: add the argument to this block.", call.Source, name)
		}
	}
	expansion := sees{who: expansionOf(call.ForEach, world.CallName(call.Name))}
	c.refs(m, eval.References(call.ForEach), expansion)
	c.refs(m, eval.References(call.Count), expansion)
	c.refs(m, world.RefsOf(call.DependsOn), own)
	c.constant(world.CallName(call.Name), call.ForEach, call.Count)
}

// refs checks the references of an expression.
func (c *checker) refs(m *config.Module, refs []eval.Ref, who sees) {
	for _, r := range refs {
		switch {
		case r.Instance != "":
			c.instance(r, who)
		case r.Bad != "":
			c.bad(r)
		case r.Var != "":
			if m.Variables[r.Var] == nil {
				c.missing(r, "variable "+quoted(r.Var), diag.DidYouMean(r.Var, slices.Collect(maps.Keys(m.Variables))))
			}
		case r.Local != "":
			if m.Locals[r.Local] == nil {
				c.missing(r, "local "+quoted(r.Local), diag.DidYouMean(r.Local, slices.Collect(maps.Keys(m.Locals))))
			}
		case r.Call != "":
			c.callRef(m, r)
		default:
			c.blockRef(m, r)
		}
	}
}

func (c *checker) missing(r eval.Ref, what, suggestion string) {
	c.report(r.Range, "Unknown reference", "%s does not exist.%s", what, suggestion)
}

func (c *checker) bad(r eval.Ref) {
	roots := append(slices.Clone(config.Kinds), "var", "local", "module", "each", "count", "path")
	if slices.Contains(roots, r.Bad) {
		c.report(r.Range, "Incomplete reference", "A reference to a block is kind.type.name, to a variable var.name, to a local local.name, to a module's output module.name.output.")
		return
	}
	c.report(r.Range, "Unknown name", "%q is neither a kind of block nor a name that is known here.%s", r.Bad, diag.DidYouMean(r.Bad, roots))
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func (c *checker) callRef(m *config.Module, r eval.Ref) {
	call := m.Calls[r.Call]
	if call == nil {
		c.missing(r, "module "+quoted(r.Call), diag.DidYouMean(r.Call, slices.Collect(maps.Keys(m.Calls))))
		return
	}
	if !c.indexed(r, world.CallName(r.Call), call.ForEach, call.Count, r.Output != "") || r.Output == "" || call.Module == nil {
		return
	}
	if call.Module.Outputs[r.Output] == nil {
		c.report(r.Range, "Unknown output", "module.%s has no output %q.%s", r.Call, r.Output, diag.DidYouMean(r.Output, slices.Collect(maps.Keys(call.Module.Outputs))))
	}
}

func (c *checker) blockRef(m *config.Module, r eval.Ref) {
	target := m.Blocks[r.Node]
	if target == nil {
		all := make([]string, len(m.Order))
		for i, o := range m.Order {
			all[i] = o.String()
		}
		c.report(r.Range, "Unknown reference", "The stack has no block %s.%s", r.Node, diag.DidYouMean(r.Node.String(), all))
		return
	}
	if r.Node.Kind == config.Notification {
		c.report(r.Range, "Reference to a notification", "%s has no outputs: nothing can refer to a notification.", r.Node)
		return
	}
	if !c.indexed(r, r.Node.String(), target.ForEach, target.Count, len(r.Rest) > 0) || len(r.Rest) == 0 {
		return
	}
	step, ok := r.Rest[0].(hcl.TraverseAttr)
	t := c.input.Types.Find(r.Node)
	if !ok || t == nil || t.HasAttribute(step.Name) {
		return
	}
	c.report(step.SrcRange, "Unknown attribute", "%s %q has no attribute %q.%s",
		r.Node.Kind, r.Node.Type, step.Name, diag.DidYouMean(step.Name, t.AttributeNames()))
}

// cycles finds what depends on itself.
func (c *checker) cycles() hcl.Diagnostics {
	g := c.forms.Static(c.input.Stack.Module)
	_, cycles := graph.Sort(g.Names, func(id string) []string { return g.Deps[id] })
	var diags hcl.Diagnostics
	for _, found := range cycles {
		at := g.Ranges[found.Cycle[0]]
		for i, name := range found.Cycle {
			if at.Filename == "" {
				at = g.Ranges[name]
			}
			found.Cycle[i] = world.Readable(name)
		}
		diags = append(diags, diag.Errorf(at, "Circular reference",
			"%s. Each of these depends on the next one. Remove one of the references.", found))
	}
	return diags
}
