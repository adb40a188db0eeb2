package eval

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
)

// Need is a block that something refers to, directly or through locals, variables and outputs of modules.
type Need struct {
	Node  addr.Node // with its module
	Ref   *Ref      // the reference in which the block is named; nil with All
	Scope *Scope    // of that reference
	// Own says that the reference is one of the asker's: its key may use the asker's each. Others use Each.
	Own  bool
	Each Each
	All  bool // every instance, whatever the key
}

// Pending is a call of which the instances must be known before it can be told what is referred to through it.
type Pending struct {
	Scope *Scope
	Call  *config.Call
}

// Needs finds the blocks that references mean. As long as there are pending calls, the list is not complete.
func (s *Scope) Needs(refs []Ref) (needs []Need, pending []Pending) {
	w := &needWalker{seen: map[seenKey]bool{}}
	w.walk(s, refs, true, Each{})
	return w.needs, w.pending
}

// Variables returns the stack's variables that references use, directly or not.
func (s *Scope) Variables(refs []Ref) []string {
	w := &needWalker{seen: map[seenKey]bool{}}
	w.walk(s, refs, true, Each{})
	return w.variables
}

type seenKey struct {
	scope *Scope
	valueKey
}

type needWalker struct {
	needs     []Need
	pending   []Pending
	variables []string
	seen      map[seenKey]bool
}

func (w *needWalker) first(s *Scope, kind byte, name string) bool {
	k := seenKey{s, valueKey{kind, name}}
	if w.seen[k] {
		return false
	}
	w.seen[k] = true
	return true
}

func (w *needWalker) walk(s *Scope, refs []Ref, own bool, each Each) {
	for i := range refs {
		r := &refs[i]
		switch {
		case r.Node.Kind != "":
			w.needs = append(w.needs, Need{Node: r.Node.In(s.Path), Ref: r, Scope: s, Own: own, Each: each})
		case r.Local != "" && w.first(s, 'l', r.Local):
			w.walk(s, s.namedRefs(valueKey{'l', r.Local}), false, Each{})
		case r.Var != "" && w.first(s, 'v', r.Var):
			if s.Parent == nil {
				w.variables = append(w.variables, r.Var)
				continue
			}
			w.walk(s.Parent, s.namedRefs(valueKey{'v', r.Var}), false, s.Each)
			if v := s.Module.Variables[r.Var]; v != nil {
				w.walk(s, validationReferences(v), false, Each{})
			}
		case r.Call != "":
			w.call(s, *r, own, each)
		}
	}
}

// call follows a reference into a called module.
func (w *needWalker) call(s *Scope, r Ref, own bool, each Each) {
	call := s.Module.Calls[r.Call]
	if call == nil || call.Module == nil {
		return // reported by the check of the stack
	}
	for _, x := range []hcl.Expression{call.ForEach, call.Count} {
		w.walk(s, References(x), false, Each{})
	}
	c := s.called(r.Call)
	if c == nil {
		w.pending = append(w.pending, Pending{Scope: s, Call: call})
		return
	}
	if r.Key != nil {
		w.walk(s, References(r.Key), own, each)
	}
	// A key made of the asker's each means one instance for each asker; here all of them are needed to tell.
	key, one := addr.Key{}, false
	if r.Key != nil && !own {
		key, one = s.Key(r, each)
	} else if r.Key != nil {
		key, one = s.Key(r, Each{})
	}
	for _, k := range c.keys {
		if one && k != key {
			continue
		}
		w.outputs(c.scopes[k], r.Output)
	}
}

// outputs follows one output of a module instance, or all of them.
func (w *needWalker) outputs(s *Scope, name string) {
	if name != "" {
		if w.first(s, 'o', name) {
			w.walk(s, s.namedRefs(valueKey{'o', name}), false, Each{})
			w.order(s, name)
		}
		return
	}
	for o := range s.Module.Outputs {
		w.outputs(s, o)
	}
}

// order adds what an output waits for though nothing in it refers to it.
func (w *needWalker) order(s *Scope, output string) {
	o := s.Module.Outputs[output]
	if o == nil || len(o.DependsOn) == 0 {
		return
	}
	refs := make([]Ref, 0, len(o.DependsOn))
	for _, d := range o.DependsOn {
		refs = append(refs, RefOf(d))
	}
	needs, pending := s.Order(refs)
	for _, n := range needs {
		n.Own = false
		w.needs = append(w.needs, n)
	}
	w.pending = append(w.pending, pending...)
}

// OutputReferences returns the references of an output's value and of its conditions.
func OutputReferences(o *config.Output) []Ref {
	refs := References(o.Expr)
	for _, rule := range o.Pre {
		refs = append(refs, References(rule.Condition)...)
		refs = append(refs, References(rule.Message)...)
	}
	return refs
}

// namedRefs returns the references of a local, of a variable's argument (in the parent's names) or of an output.
func (s *Scope) namedRefs(key valueKey) []Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	refs, ok := s.refs[key]
	if ok {
		return refs
	}
	switch key.kind {
	case 'l':
		if l := s.Module.Locals[key.name]; l != nil {
			refs = References(l.Expr)
		}
	case 'o':
		if o := s.Module.Outputs[key.name]; o != nil {
			refs = OutputReferences(o)
		}
	case 'v':
		if a := s.Call.Arguments[key.name]; a != nil {
			refs = References(a.Expr)
		}
	}
	s.refs[key] = refs
	return refs
}

// All returns needs for every block of the module and of those that it calls: what depends_on = [module.x] means.
func (s *Scope) All() (needs []Need, pending []Pending) {
	for _, n := range s.Module.Order {
		needs = append(needs, Need{Node: n.In(s.Path), Scope: s, All: true})
	}
	for _, name := range s.Module.CallOrder {
		c := s.called(name)
		if c == nil {
			if call := s.Module.Calls[name]; call.Module != nil {
				pending = append(pending, Pending{Scope: s, Call: call})
			}
			continue
		}
		for _, k := range c.keys {
			n, p := c.scopes[k].All()
			needs, pending = append(needs, n...), append(pending, p...)
		}
	}
	return needs, pending
}

// Order finds the blocks that depends_on means: whole modules may be named.
func (s *Scope) Order(refs []Ref) (needs []Need, pending []Pending) {
	for _, ref := range refs {
		if ref.Call == "" || ref.Output != "" {
			n, w := s.Needs([]Ref{ref})
			needs, pending = append(needs, n...), append(pending, w...)
			continue
		}
		call := s.Module.Calls[ref.Call]
		children := s.Children(ref.Call)
		if children == nil && call != nil && call.Module != nil {
			pending = append(pending, Pending{Scope: s, Call: call})
		}
		for _, child := range children {
			n, w := child.All()
			needs, pending = append(needs, n...), append(pending, w...)
		}
	}
	return needs, pending
}

// Key evaluates the index of a reference with what is known without any block. It returns
// false if the index is made of other blocks' values: then any instance may be meant.
func (s *Scope) Key(r Ref, each Each) (addr.Key, bool) {
	if r.Key == nil {
		return addr.Key{}, false
	}
	refs := References(r.Key)
	if len(refs) > 0 {
		if needs, pending := s.Needs(refs); len(needs)+len(pending) > 0 {
			return addr.Key{}, false
		}
	}
	ctx, diags := s.Context(refs, each)
	if diags.HasErrors() {
		return addr.Key{}, false
	}
	v, diags := evaluate(r.Key, ctx)
	if diags.HasErrors() {
		return addr.Key{}, false
	}
	return addr.KeyFromValue(v)
}

// KeyOf evaluates the index of a need for who asks.
func (n Need) KeyOf(asker Each) (addr.Key, bool) {
	if n.All {
		return addr.Key{}, false
	}
	if n.Own {
		return n.Scope.Key(*n.Ref, asker)
	}
	return n.Scope.Key(*n.Ref, n.Each)
}
