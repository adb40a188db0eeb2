// Package eval evaluates expressions: scopes, functions, unknown and sensitive values, and
// which references an expression makes. It knows blocks by their addresses and asks for
// their values; what they are is the engine's business.
package eval

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/functions"
	"github.com/davit-sh/davit/core/limit"
)

// Instances is where a scope finds the values of blocks.
type Instances interface {
	// Keys returns the instances of a block; expanded is false for a block without for_each and count.
	Keys(n addr.Node) (keys []addr.Key, expanded bool)
	// Value returns what an instance's attributes are, as an object. It is only asked for instances that are done.
	Value(i addr.Instance) cty.Value
	// Attribute returns one of them. It returns false if there is none of that name, or the instance is not done.
	Attribute(i addr.Instance, name string) (cty.Value, bool)
}

// Scope evaluates the expressions of one module instance; that of the root module is the stack's.
type Scope struct {
	Path   addr.Module
	Module *config.Module
	Parent *Scope       // nil: the root
	Call   *config.Call // that made it; nil: the root
	Each   Each         // what the call's own expressions see

	shared    *shared
	variables cty.Value // of the root, as an object
	path      cty.Value

	mu       sync.Mutex
	values   map[valueKey]found
	refs     map[valueKey][]Ref
	children map[string]*children
}

// shared is what all scopes of a stack have in common.
type shared struct {
	instances Instances
	root      string
	expand    func(*Scope, *config.Call)
	stop      <-chan struct{}
	grace     time.Duration
	typeOf    func(addr.Node) cty.Type // of a TypeCheck only: instances is nil then
	literals  *Literals
	mu        sync.Mutex
	functions map[string]map[string]function.Function // by directory
}

// valueKey names a local, a variable of a module or an output of one.
type valueKey struct {
	kind byte // 'l', 'v', 'o'
	name string
}

type found struct {
	value cty.Value
	diags hcl.Diagnostics
}

// children are the instances of a call.
type children struct {
	keys   []addr.Key
	scopes map[addr.Key]*Scope
}

// NewScope makes the scope of a stack over the values of its variables and of blocks.
func NewScope(stack *config.Module, variables map[string]cty.Value, instances Instances) *Scope {
	sh := &shared{instances: instances, root: stack.Dir, functions: map[string]map[string]function.Function{}}
	s := newScope(stack, sh)
	s.variables = cty.ObjectVal(variables)
	return s
}

func newScope(m *config.Module, sh *shared) *Scope {
	return &Scope{
		Module: m, shared: sh,
		path:   cty.ObjectVal(map[string]cty.Value{"stack": cty.StringVal(sh.root), "module": cty.StringVal(m.Dir)}),
		values: map[valueKey]found{}, refs: map[valueKey][]Ref{}, children: map[string]*children{},
	}
}

// Expanded says which instances a call has, in their order, and returns their scopes. Before that, what
// is referred to through the call is not known.
func (s *Scope) Expanded(call *config.Call, each []Each) []*Scope {
	c := &children{scopes: map[addr.Key]*Scope{}}
	var list []*Scope
	for _, e := range each {
		child := newScope(call.Module, s.shared)
		child.Path, child.Parent, child.Call, child.Each = s.Path.Child(call.Name, e.Key), s, call, e
		c.keys = append(c.keys, e.Key)
		c.scopes[e.Key] = child
		list = append(list, child)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.children[call.Name] = c
	return list
}

// Children returns the instances of a call, nil before Expanded.
func (s *Scope) Children(call string) []*Scope {
	c := s.called(call)
	if c == nil {
		return nil
	}
	list := make([]*Scope, len(c.keys))
	for i, k := range c.keys {
		list[i] = c.scopes[k]
	}
	return list
}

// OnDemand has calls expanded when they are first referred to, by a function that calls Expanded. All that
// for_each and count need must be done by then.
func (s *Scope) OnDemand(expand func(*Scope, *config.Call)) { s.shared.expand = expand }

func (s *Scope) called(call string) *children {
	c := s.expandedCall(call)
	if c == nil && s.shared.expand != nil {
		if def := s.Module.Calls[call]; def != nil && def.Module != nil {
			s.shared.expand(s, def)
			return s.expandedCall(call)
		}
	}
	return c
}

func (s *Scope) expandedCall(call string) *children {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.children[call]
}

// Child returns one instance of a call, nil if there is none.
func (s *Scope) Child(call string, key addr.Key) *Scope {
	if c := s.called(call); c != nil {
		return c.scopes[key]
	}
	return nil
}

// Forget drops what was computed from variables and blocks, so that it is computed again.
func (s *Scope) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.values)
	s.shared.literals.forget()
	for _, c := range s.children {
		for _, child := range c.scopes {
			child.Forget()
		}
	}
}

// SetVariables gives the stack's variables other values.
func (s *Scope) SetVariables(variables map[string]cty.Value) { s.variables = cty.ObjectVal(variables) }

func (s *Scope) functions() map[string]function.Function {
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	f := s.shared.functions[s.Module.Dir]
	if f == nil {
		f = functions.All(s.folders())
		s.shared.functions[s.Module.Dir] = f
	}
	return f
}

// folders are those of the module and of the stack. A module that was fetched reads files of what was fetched only.
func (s *Scope) folders() functions.Folders {
	also := s.shared.root
	if s.Module.Root != "" {
		also = s.Module.Root
	}
	return functions.Folders{Module: s.Module.Dir, Also: []string{also}, Stack: s.shared.root, Limit: s.shared.limit}
}

// Each is what an instance's own expressions see besides.
type Each struct {
	Key   addr.Key
	Value cty.Value // each.value; NilVal with count
	any   map[string]cty.Value
}

// Any is what every instance of a block sees, nothing of which is known: what forEach says, and else count.
func Any(forEach bool) Each {
	if forEach {
		return Each{any: anyOfEach}
	}
	return Each{any: anyOfCount}
}

var (
	anyOfEach = map[string]cty.Value{
		"each": cty.ObjectVal(map[string]cty.Value{"key": cty.UnknownVal(cty.String).RefineNotNull(), "value": cty.DynamicVal}),
	}
	anyOfCount = map[string]cty.Value{
		"count": cty.ObjectVal(map[string]cty.Value{"index": cty.UnknownVal(cty.Number).RefineNotNull()}),
	}
)

func (e Each) into(vars map[string]cty.Value) {
	switch {
	case e.any != nil:
		maps.Copy(vars, e.any)
	case e.Key.IsNone():
	case e.Value != cty.NilVal:
		vars["each"] = cty.ObjectVal(map[string]cty.Value{"key": e.Key.Value(), "value": e.Value})
	default:
		vars["count"] = cty.ObjectVal(map[string]cty.Value{"index": e.Key.Value()})
	}
}

// Context makes the context in which expressions with these references are evaluated.
// Only what is referenced is in it, and the root's variables.
func (s *Scope) Context(refs []Ref, each Each) (*hcl.EvalContext, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	vars := make(map[string]cty.Value, 4)
	each.into(vars)
	var locals, variables map[string]cty.Value
	var blocks blockValues
	var calls map[string]*calledValue
	for _, r := range refs {
		switch {
		case r.Local != "":
			locals = made(locals)
			diags = append(diags, s.into(locals, 'l', r.Local)...)
		case r.Var != "" && s.Parent != nil:
			variables = made(variables)
			diags = append(diags, s.into(variables, 'v', r.Var)...)
		case r.Call != "":
			calls = made(calls)
			diags = append(diags, s.addCall(calls, r, each)...)
		case r.Node.Kind != "":
			if blocks == nil {
				blocks = blockValues{}
			}
			s.addBlock(blocks, r, attributesOf(refs, r.Node), each)
		}
	}
	vars["path"], vars["var"], vars["local"] = s.path, s.variables, cty.EmptyObjectVal
	if s.Parent != nil {
		vars["var"] = cty.ObjectVal(variables)
	}
	if locals != nil {
		vars["local"] = cty.ObjectVal(locals)
	}
	if calls != nil {
		vars["module"] = callsObject(calls)
	}
	blocks.objects(vars)
	return s.newContext(vars), diags
}

// newContext makes a context with variables, whose evaluations are bounded together.
func (s *Scope) newContext(vars map[string]cty.Value) *hcl.EvalContext {
	ctx := &hcl.EvalContext{Variables: vars, Functions: s.functions()}
	s.shared.limit().Bind(ctx)
	return ctx
}

// StopOn ends evaluations of the stack, those that run as well, when a channel is closed. It must be called before the first evaluation.
func (s *Scope) StopOn(stop <-chan struct{}) { s.shared.stop = stop }

// StopLate is StopOn for a run that finishes its work when it is stopped: an evaluation ends when it has taken longer than a moment.
func (s *Scope) StopLate(stop <-chan struct{}) { s.shared.stop, s.shared.grace = stop, grace }

// grace is how long an evaluation may take that is needed to finish work.
const grace = 300 * time.Millisecond

// limit makes the limit of one evaluation.
func (sh *shared) limit() *limit.Limit {
	if sh.grace > 0 {
		return limit.NewWithGrace(sh.stop, sh.grace)
	}
	return limit.New(sh.stop)
}

// made is the map itself, or a new one: most expressions refer to few kinds of things.
func made[M ~map[string]V, V any](m M) M {
	if m == nil {
		m = M{}
	}
	return m
}

// into evaluates a local or a variable and puts it into a map.
func (s *Scope) into(m map[string]cty.Value, kind byte, name string) hcl.Diagnostics {
	v, diags := s.named(valueKey{kind, name})
	m[name] = v
	return diags
}

// named evaluates a local, a variable of a module or an output, once.
func (s *Scope) named(key valueKey) (cty.Value, hcl.Diagnostics) {
	s.mu.Lock()
	f, ok := s.values[key]
	s.mu.Unlock()
	if ok {
		return f.value, f.diags
	}
	switch key.kind {
	case 'v':
		return s.variableOnce(key)
	case 'o':
		f.value, f.diags = s.output(key.name)
	default:
		f.value, f.diags = s.local(key.name)
	}
	s.keep(key, f)
	return f.value, f.diags
}

// variableOnce evaluates a variable of a module and then validates it. The value is kept before it is validated: validations may
// refer to the variable itself, and to others whose validations refer to it.
func (s *Scope) variableOnce(key valueKey) (cty.Value, hcl.Diagnostics) {
	value, at, diags := s.variable(key.name)
	s.keep(key, found{value, diags})
	if s.Module.Variables[key.name] != nil && !diags.HasErrors() {
		diags = append(slices.Clip(diags), s.validateVariable(key.name, at)...)
		s.keep(key, found{value, diags})
	}
	return value, diags
}

func (s *Scope) keep(key valueKey, f found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[key] = f
}

func (s *Scope) local(name string) (cty.Value, hcl.Diagnostics) {
	l := s.Module.Locals[name]
	if l == nil {
		return cty.DynamicVal, nil // reported by the check of the stack
	}
	return s.Value(l.Expr, Each{})
}

func (s *Scope) output(name string) (cty.Value, hcl.Diagnostics) {
	o := s.Module.Outputs[name]
	if o == nil {
		return cty.DynamicVal, nil // reported by the check of the stack
	}
	diags := s.outputConditions(o)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	v, more := s.Value(o.Expr, Each{})
	if o.Sensitive {
		v = v.Mark(Sensitive)
	}
	return v, append(diags, more...)
}

// outputConditions checks the preconditions of an output. What cannot be told yet holds for now: it is checked again
// when the output is evaluated at apply.
func (s *Scope) outputConditions(o *config.Output) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, rule := range o.Pre {
		r := s.Check(rule, Each{}, cty.NilVal)
		diags = append(diags, r.Diagnostics...)
		if r.Status == Failed {
			diags = append(diags, diag.Errorf(rule.Condition.Range(), "A condition of output "+o.Name+" is false", "%s", r.Message))
		}
	}
	return diags
}

// Value evaluates an expression.
func (s *Scope) Value(expr hcl.Expression, each Each) (cty.Value, hcl.Diagnostics) {
	if v, known := s.shared.literals.value(expr); known {
		return v, nil
	}
	refs := References(expr)
	ctx, diags := s.Context(refs, each)
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	v, more := evaluate(expr, ctx)
	if len(refs) == 0 && len(more) == 0 {
		s.shared.literals.keep(expr, v)
	}
	return v, append(diags, more...)
}

// Output evaluates an output of the module.
func (s *Scope) Output(name string) (cty.Value, hcl.Diagnostics) { return s.named(valueKey{'o', name}) }
