package world

import (
	"slices"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/eval"
)

// Tree is the stack as a tree of module instances, with the blocks and the instances that they expand to. It implements eval.Instances.
// Instances are written by their own task and read by tasks that depend on it. Everything else may be called concurrently.
type Tree struct {
	input *input.Input
	Forms *Forms
	Root  *eval.Scope

	imports sync.Map // importKey -> the instances that an import block is into; found when they are asked for

	nodesMu sync.RWMutex
	nodes   map[addr.Node]*Node
}

// NewTree returns the tree of a stack of which nothing is expanded yet.
func NewTree(in *input.Input, f *Forms) *Tree {
	t := &Tree{input: in, Forms: f, nodes: map[addr.Node]*Node{}}
	t.Root = eval.NewScope(in.Stack.Module, in.Variables, t)
	t.Root.ShareLiterals(in.Literals)
	return t
}

// SetInput takes another input, which differs from the old one in the values of variables.
func (t *Tree) SetInput(in *input.Input) {
	t.input = in
	t.Root.SetVariables(in.Variables)
	t.Root.Forget()
}

// Node returns a block of a module instance, nil if it is not there, or not planted yet.
func (t *Tree) Node(n addr.Node) *Node {
	t.nodesMu.RLock()
	defer t.nodesMu.RUnlock()
	return t.nodes[n]
}

// NewNode adds a block of a module instance, if it is not there.
func (t *Tree) NewNode(s *eval.Scope, b *config.Block) *Node {
	n := t.NodeAt(b.Addr.In(s.Path), b)
	n.PlaceIn(s)
	return n
}

// NodeAt returns the node of a block at an address, and makes it when it is new.
func (t *Tree) NodeAt(a addr.Node, b *config.Block) *Node {
	known := t.Forms.Form(b)
	t.nodesMu.Lock()
	defer t.nodesMu.Unlock()
	n := t.nodes[a]
	if n == nil {
		n = known.Node(a)
		t.nodes[a] = n
	}
	return n
}

// Node is one that no run knows yet.
func (f *Form) Node(a addr.Node) *Node {
	return &Node{Form: f, Addr: a, Expanded: f.Block.ForEach != nil || f.Block.Count != nil}
}

// Keys implements eval.Instances.
func (t *Tree) Keys(n addr.Node) ([]addr.Key, bool) {
	node := t.Node(n)
	if node == nil || !node.Expanded {
		return nil, false
	}
	node.mu.RLock()
	defer node.mu.RUnlock()
	return node.keys, true
}

// Value implements eval.Instances. An instance that is not done, as while validating, is unknown.
func (t *Tree) Value(i addr.Instance) cty.Value {
	in := t.Instance(i)
	switch {
	case in == nil && i.Key.IsNone():
		return cty.DynamicVal
	case in == nil:
		return cty.NilVal
	case in.Seen == nil:
		return cty.DynamicVal
	}
	return in.Value()
}

// Attribute implements eval.Instances.
func (t *Tree) Attribute(i addr.Instance, name string) (cty.Value, bool) {
	in := t.Instance(i)
	if in == nil {
		return cty.NilVal, false
	}
	return in.attribute(name)
}

// Instance returns an instance, nil if it is not known.
func (t *Tree) Instance(i addr.Instance) *Instance {
	n := t.Node(i.Node)
	if n == nil {
		return nil
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.Find(i.Key)
}

// InOrder calls fn for the instances of a module instance and of those that it calls, in the order of the configuration.
func (t *Tree) InOrder(s *eval.Scope, fn func(*Instance)) {
	for _, n := range s.Module.Order {
		if node := t.Node(n.In(s.Path)); node != nil {
			for _, in := range node.sorted() {
				fn(in)
			}
		}
	}
	for _, name := range s.Module.CallOrder {
		children := s.Children(name)
		slices.SortFunc(children, func(a, b *eval.Scope) int { return addr.CompareKeys(a.Each.Key, b.Each.Key) })
		for _, child := range children {
			t.InOrder(child, fn)
		}
	}
}
