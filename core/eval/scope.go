// Package eval evaluates expressions: scopes, functions, unknown and sensitive values, and
// which references an expression makes. It knows blocks by their addresses and asks for
// their values; what they are is the engine's business.
package eval

import (
	"maps"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
)

// Instances is where a scope finds the values of blocks.
type Instances interface {
	// Keys returns the instances of a block; expanded is false for a block without for_each and count.
	Keys(n addr.Node) (keys []addr.Key, expanded bool)
	// Value returns what an instance's attributes are. It is only asked for instances that are done.
	Value(i addr.Instance) cty.Value
}

// Scope evaluates the expressions of one stack.
type Scope struct {
	stack     *config.Stack
	instances Instances
	variables cty.Value
	path      cty.Value
	functions map[string]function.Function
	mu        sync.Mutex
	locals    map[string]cty.Value
	refs      map[string][]Ref // of locals
}

// NewScope makes a scope over the values of variables and of blocks.
func NewScope(stack *config.Stack, variables map[string]cty.Value, instances Instances) *Scope {
	return &Scope{
		stack: stack, instances: instances,
		variables: cty.ObjectVal(variables),
		path:      cty.ObjectVal(map[string]cty.Value{"stack": cty.StringVal(stack.Dir)}),
		functions: Functions(stack.Dir),
		locals:    map[string]cty.Value{}, refs: map[string][]Ref{},
	}
}

// Each is what an instance's own expressions see besides.
type Each struct {
	Key   addr.Key
	Value cty.Value // each.value; NilVal with count
}

func (e Each) into(vars map[string]cty.Value) {
	switch {
	case e.Key.IsNone():
	case e.Value != cty.NilVal:
		vars["each"] = cty.ObjectVal(map[string]cty.Value{"key": e.Key.Value(), "value": e.Value})
	default:
		vars["count"] = cty.ObjectVal(map[string]cty.Value{"index": e.Key.Value()})
	}
}

// Blocks returns the references to blocks that refs make, through locals as well.
func (s *Scope) Blocks(refs []Ref) []Ref {
	var out []Ref
	seen := map[string]bool{}
	var add func([]Ref)
	add = func(refs []Ref) {
		for _, r := range refs {
			switch {
			case r.Node.Kind != "":
				out = append(out, r)
			case r.Local != "" && !seen[r.Local]:
				seen[r.Local] = true
				add(s.localRefs(r.Local))
			}
		}
	}
	add(refs)
	return out
}

func (s *Scope) localRefs(name string) []Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	refs, ok := s.refs[name]
	if l := s.stack.Locals[name]; !ok && l != nil {
		refs = References(l.Expr)
		s.refs[name] = refs
	}
	return refs
}

// Key evaluates the index of a reference with what is known without any block. It returns
// false if the index is made of other blocks' values: then any instance may be meant.
func (s *Scope) Key(r Ref, each Each) (addr.Key, bool) {
	if r.Key == nil {
		return addr.Key{}, false
	}
	refs := References(r.Key)
	if len(s.Blocks(refs)) > 0 {
		return addr.Key{}, false
	}
	ctx, diags := s.Context(refs, each)
	if diags.HasErrors() {
		return addr.Key{}, false
	}
	v, diags := r.Key.Value(ctx)
	if diags.HasErrors() {
		return addr.Key{}, false
	}
	return addr.KeyFromValue(v)
}

// Context makes the context in which expressions with these references are evaluated.
// Only what is referenced is in it.
func (s *Scope) Context(refs []Ref, each Each) (*hcl.EvalContext, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	vars := map[string]cty.Value{"var": s.variables, "path": s.path}
	each.into(vars)
	locals := map[string]cty.Value{}
	blocks := blockValues{}
	for _, r := range refs {
		switch {
		case r.Local != "":
			v, more := s.local(r.Local)
			diags = append(diags, more...)
			locals[r.Local] = v
		case r.Node.Kind != "":
			s.addBlock(blocks, r, each)
		}
	}
	vars["local"] = cty.ObjectVal(locals)
	maps.Copy(vars, blocks.objects())
	return &hcl.EvalContext{Variables: vars, Functions: s.functions}, diags
}

func (s *Scope) local(name string) (cty.Value, hcl.Diagnostics) {
	s.mu.Lock()
	v, ok := s.locals[name]
	s.mu.Unlock()
	if ok {
		return v, nil
	}
	l := s.stack.Locals[name]
	if l == nil {
		return cty.DynamicVal, nil // reported by Check
	}
	ctx, diags := s.Context(s.localRefs(name), Each{})
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	v, diags = l.Expr.Value(ctx)
	s.mu.Lock()
	s.locals[name] = v
	s.mu.Unlock()
	return v, diags
}

// blockValues are values of instances, by kind, type and name.
type blockValues map[string]map[string]map[string]*nodeValue

type nodeValue struct {
	single cty.Value
	byKey  map[string]cty.Value
	list   []cty.Value
}

func (b blockValues) node(n addr.Node) *nodeValue {
	if b[n.Kind] == nil {
		b[n.Kind] = map[string]map[string]*nodeValue{}
	}
	if b[n.Kind][n.Type] == nil {
		b[n.Kind][n.Type] = map[string]*nodeValue{}
	}
	if b[n.Kind][n.Type][n.Name] == nil {
		b[n.Kind][n.Type][n.Name] = &nodeValue{}
	}
	return b[n.Kind][n.Type][n.Name]
}

func (s *Scope) addBlock(b blockValues, r Ref, each Each) {
	v := b.node(r.Node)
	keys, expanded := s.instances.Keys(r.Node)
	if !expanded {
		v.single = s.instances.Value(addr.Instance{Node: r.Node})
		return
	}
	wanted, one := s.Key(r, each)
	if len(keys) > 0 && keys[0].Value().Type() == cty.Number {
		if v.list == nil {
			v.list = make([]cty.Value, len(keys))
			for i := range v.list {
				v.list[i] = cty.DynamicVal
			}
		}
		for i, k := range keys {
			if !one || k == wanted {
				v.list[i] = s.instances.Value(addr.Instance{Node: r.Node, Key: k})
			}
		}
		return
	}
	if v.byKey == nil {
		v.byKey = map[string]cty.Value{}
	}
	if one {
		// Looking a key up must not cost a walk over all of them: thousands of instances each look at one.
		if wanted.Value().Type() == cty.String {
			if got := s.instances.Value(addr.Instance{Node: r.Node, Key: wanted}); got != cty.NilVal {
				v.byKey[wanted.Value().AsString()] = got
			}
		}
		return
	}
	for _, k := range keys {
		v.byKey[k.Value().AsString()] = s.instances.Value(addr.Instance{Node: r.Node, Key: k})
	}
}

func (v *nodeValue) value() cty.Value {
	switch {
	case v.byKey != nil:
		return cty.ObjectVal(v.byKey)
	case v.list != nil:
		return cty.TupleVal(v.list)
	case v.single != cty.NilVal:
		return v.single
	}
	return cty.EmptyObjectVal // no instances
}

func (b blockValues) objects() map[string]cty.Value {
	out := make(map[string]cty.Value, len(b))
	for kind, types := range b {
		byType := make(map[string]cty.Value, len(types))
		for typ, names := range types {
			byName := make(map[string]cty.Value, len(names))
			for name, v := range names {
				byName[name] = v.value()
			}
			byType[typ] = cty.ObjectVal(byName)
		}
		out[kind] = cty.ObjectVal(byType)
	}
	return out
}

// Expand evaluates for_each or count of a block: its instances' keys in order and what each
// of them sees. A block without either has one instance with no key.
func (s *Scope) Expand(b *config.Block) ([]Each, hcl.Diagnostics) {
	switch {
	case b.ForEach != nil:
		return s.forEach(b)
	case b.Count != nil:
		return s.count(b)
	}
	return []Each{{}}, nil
}

func (s *Scope) value(expr hcl.Expression) (cty.Value, hcl.Diagnostics) {
	ctx, diags := s.Context(References(expr), Each{})
	if diags.HasErrors() {
		return cty.DynamicVal, diags
	}
	return expr.Value(ctx)
}

func (s *Scope) forEach(b *config.Block) ([]Each, hcl.Diagnostics) {
	v, diags := s.value(b.ForEach)
	if diags.HasErrors() {
		return nil, diags
	}
	fail := func(format string, args ...any) ([]Each, hcl.Diagnostics) {
		return nil, append(diags, diag.Errorf(b.ForEach.Range(), "for_each cannot be expanded", format, args...))
	}
	if v.IsMarked() {
		return fail("The instances of %s would show a sensitive value in their addresses.", b.Addr)
	}
	t := v.Type()
	switch {
	case v.IsKnown() && v.IsNull():
		return fail("for_each of %s is null. Use an empty map for no instances.", b.Addr)
	case !v.IsKnown():
		return fail("How many instances %s has is not known before apply. Use keys that are known now, and put what is not known into the values.", b.Addr)
	case t.IsSetType() && t.ElementType() == cty.String, t.IsMapType(), t.IsObjectType():
	case t.IsSetType() && v.LengthInt() == 0:
	default:
		return fail("for_each of %s wants a map or a set of strings, and this is %s. Turn a list into a set with toset(...).", b.Addr, t.FriendlyName())
	}
	var list []Each
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		if !k.IsKnown() || k.IsNull() {
			return fail("A key of for_each of %s is not known before apply, or null.", b.Addr)
		}
		list = append(list, Each{Key: addr.StringKey(k.AsString()), Value: e})
	}
	return list, diags
}

func (s *Scope) count(b *config.Block) ([]Each, hcl.Diagnostics) {
	v, diags := s.value(b.Count)
	if diags.HasErrors() {
		return nil, diags
	}
	v, _ = v.Unmark()
	k, ok := addr.KeyFromValue(v)
	n := -1
	if ok && k.Value().Type() == cty.Number {
		i, _ := k.Value().AsBigFloat().Int64()
		n = int(i)
	}
	if n < 0 {
		return nil, append(diags, diag.Errorf(b.Count.Range(), "count cannot be expanded",
			"count of %s wants a whole number that is not negative and is known now.", b.Addr))
	}
	list := make([]Each, n)
	for i := range list {
		list[i] = Each{Key: addr.IntKey(i)}
	}
	return list, diags
}
