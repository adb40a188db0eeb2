package engine

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
)

// Tree is the stack as a tree of module instances, with the blocks and the instances that they expand to. It implements eval.Instances.
// Instances are written by their own task and read by tasks that depend on it. Everything else may be called concurrently.
type Tree struct {
	input *Input
	forms *forms
	root  *eval.Scope

	nodesMu sync.RWMutex
	nodes   map[addr.Node]*node
}

func newTree(in *Input, f *forms) *Tree {
	t := &Tree{input: in, forms: f, nodes: map[addr.Node]*node{}}
	t.root = eval.NewScope(in.Stack.Module, in.Variables, t)
	return t
}

// setInput takes another input, which differs from the old one in the values of variables.
func (t *Tree) setInput(in *Input) {
	t.input = in
	t.root.SetVariables(in.Variables)
	t.root.Forget()
}

// instance is one expansion of a block: what it is, and what others see of it.
type instance struct {
	addr addr.Instance
	node *node
	each eval.Each
	deps []addr.Instance
	seen types.Seen // nil until it is planned or applied; written by its own task

	asked bool // a task for it was added
}

// node is a block of a module instance on its way.
type node struct {
	*form
	addr      addr.Node
	scope     *eval.Scope
	needs     []eval.Need // blocks that it refers to, through locals and modules as well
	expansion []eval.Need // of for_each or count
	expanded  bool        // it has for_each or count

	mu      sync.RWMutex
	only    *instance // of a block without for_each and count
	keys    []addr.Key
	several map[addr.Key]*instance
	ordered []*instance // by key, once it was asked for

	eachOnce  sync.Once // at apply
	each      map[addr.Key]eval.Each
	eachDiags hcl.Diagnostics
}

// node returns a block of a module instance, nil if it is not there, or not planted yet.
func (t *Tree) node(n addr.Node) *node {
	t.nodesMu.RLock()
	defer t.nodesMu.RUnlock()
	return t.nodes[n]
}

// newNode adds a block of a module instance, if it is not there.
func (t *Tree) newNode(s *eval.Scope, b *config.Block) *node {
	n := t.nodeAt(b.Addr.In(s.Path), b)
	n.plant(s)
	return n
}

// plant says in which scope a node is. While applying that may be found twice, at the same time.
func (n *node) plant(s *eval.Scope) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.scope != s {
		n.scope = s
	}
}

// planted returns the scope; nil if it is not known yet.
func (n *node) planted() *eval.Scope {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.scope
}

func (t *Tree) nodeAt(a addr.Node, b *config.Block) *node {
	known := t.forms.form(b)
	t.nodesMu.Lock()
	defer t.nodesMu.Unlock()
	n := t.nodes[a]
	if n == nil {
		n = known.node(a)
		t.nodes[a] = n
	}
	return n
}

// node is one that no run knows yet.
func (f *form) node(a addr.Node) *node {
	return &node{form: f, addr: a, expanded: f.block.ForEach != nil || f.block.Count != nil}
}

// Keys implements eval.Instances.
func (t *Tree) Keys(n addr.Node) ([]addr.Key, bool) {
	node := t.node(n)
	if node == nil || !node.expanded {
		return nil, false
	}
	node.mu.RLock()
	defer node.mu.RUnlock()
	return node.keys, true
}

// Value implements eval.Instances. An instance that is not done, as while validating, is unknown.
func (t *Tree) Value(i addr.Instance) cty.Value {
	in := t.instance(i)
	switch {
	case in == nil && i.Key.IsNone():
		return cty.DynamicVal
	case in == nil:
		return cty.NilVal
	case in.seen == nil:
		return cty.DynamicVal
	}
	return in.value()
}

// Attribute implements eval.Instances.
func (t *Tree) Attribute(i addr.Instance, name string) (cty.Value, bool) {
	in := t.instance(i)
	if in == nil {
		return cty.NilVal, false
	}
	return in.attribute(name)
}

func (t *Tree) instance(i addr.Instance) *instance {
	n := t.node(i.Node)
	if n == nil {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.at(i.Key)
}

// at is called with the lock held, or when nothing is added any more. Nil is none.
func (n *node) at(k addr.Key) *instance {
	if k.IsNone() {
		return n.only
	}
	return n.several[k]
}

func (n *node) add(in *instance) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if in.addr.Key.IsNone() {
		n.only = in
		return
	}
	if n.several == nil {
		n.several = map[addr.Key]*instance{}
	}
	n.keys = append(n.keys, in.addr.Key)
	n.several[in.addr.Key] = in
}

func (n *node) count() int {
	if n.only != nil {
		return 1 + len(n.several)
	}
	return len(n.several)
}

// all returns the instances, in no order.
func (n *node) all() iter.Seq[*instance] {
	return func(yield func(*instance) bool) {
		if n.only != nil && !yield(n.only) {
			return
		}
		for _, in := range n.several {
			if !yield(in) {
				return
			}
		}
	}
}

// place finds where a path leads to in the block; shared is a place of several values.
func (n *node) place(path cty.Path) (at hcl.Range, shared bool) {
	if n.typ == nil {
		return n.block.Range, false
	}
	return eval.Place(n.block.Body, n.block.Range, path)
}

// rangeOf finds the place of an argument.
func (n *node) rangeOf(argument string) hcl.Range {
	at, _ := n.place(cty.GetAttrPath(argument))
	return at
}

// inOrder calls fn for the instances of a module instance and of those that it calls, in the order of the configuration.
func (t *Tree) inOrder(s *eval.Scope, fn func(*instance)) {
	for _, n := range s.Module.Order {
		if node := t.node(n.In(s.Path)); node != nil {
			for _, in := range node.sorted() {
				fn(in)
			}
		}
	}
	for _, name := range s.Module.CallOrder {
		children := s.Children(name)
		slices.SortFunc(children, func(a, b *eval.Scope) int { return addr.CompareKeys(a.Each.Key, b.Each.Key) })
		for _, child := range children {
			t.inOrder(child, fn)
		}
	}
}

// sorted returns the instances in the order of their keys.
func (n *node) sorted() []*instance {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.only != nil && n.ordered == nil {
		n.ordered = []*instance{n.only}
	}
	if len(n.ordered) < len(n.several) {
		n.ordered = slices.Collect(maps.Values(n.several))
		slices.SortFunc(n.ordered, func(a, b *instance) int { return addr.CompareKeys(a.addr.Key, b.addr.Key) })
	}
	return n.ordered
}

// errorf is a diagnostic of an instance's block.
func (in *instance) errorf(summary, format string, args ...any) *hcl.Diagnostic {
	d := diag.Plain(in.addr.String()+": "+summary, fmt.Sprintf(format, args...))
	if in.node != nil && in.node.block != nil {
		d.Subject = in.node.block.Range.Ptr()
	}
	d.Extra = diag.Info{Address: in.addr.String()}
	return d
}
