package world

import (
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/eval"
)

// Node is a block of a module instance on its way.
type Node struct {
	*Form
	Addr      addr.Node
	Scope     *eval.Scope
	needs     []eval.Need // blocks that it refers to, through locals and modules as well
	expansion []eval.Need // of for_each or count
	Expanded  bool        // it has for_each or count

	mu      sync.RWMutex
	only    *Instance // of a block without for_each and count
	keys    []addr.Key
	told    bool // all instances are there
	several map[addr.Key]*Instance
	ordered []*Instance // by key, once it was asked for

	EachOnce  sync.Once // at apply
	Each      map[addr.Key]eval.Each
	EachDiags hcl.Diagnostics
}

// PlaceIn says in which scope a node is. While applying that may be found twice, at the same time.
func (n *Node) PlaceIn(s *eval.Scope) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.Scope != s {
		n.Scope = s
	}
}

// Planted returns the scope; nil if it is not known yet.
func (n *Node) Planted() *eval.Scope {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.Scope
}

// setNeeds notes what the arguments and the expansion of the block need. Tasks of other blocks may ask at the same time.
func (n *Node) setNeeds(needs, expansion []eval.Need) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.needs, n.expansion = needs, expansion
}

// expandsSeen tells whether for_each or count of the block is made of values of other blocks.
func (n *Node) expandsSeen() bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return len(n.expansion) > 0
}

// Told tells whether a plan knows all instances of the block.
func (n *Node) Told() bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.told || !n.Expanded
}

// Find is called with the lock held, or when nothing is added any more. Nil is none.
func (n *Node) Find(k addr.Key) *Instance {
	if k.IsNone() {
		return n.only
	}
	return n.several[k]
}

// Add adds an instance of the block.
func (n *Node) Add(in *Instance) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if in.Addr.Key.IsNone() {
		n.only = in
		return
	}
	if n.several == nil {
		n.several = map[addr.Key]*Instance{}
	}
	n.keys = append(n.keys, in.Addr.Key)
	n.several[in.Addr.Key] = in
}

func (n *Node) count() int {
	if n.only != nil {
		return 1 + len(n.several)
	}
	return len(n.several)
}

// All returns the instances, in no order.
func (n *Node) All() iter.Seq[*Instance] {
	return func(yield func(*Instance) bool) {
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

// Place finds where a path leads to in the block; shared is a place of several values.
func (n *Node) Place(path cty.Path) (at hcl.Range, shared bool) {
	if n.Type == nil {
		return n.Block.Range, false
	}
	return eval.Place(n.Block.Body, n.Block.Range, path)
}

// RangeOf finds the place of an argument.
func (n *Node) RangeOf(argument string) hcl.Range {
	at, _ := n.Place(cty.GetAttrPath(argument))
	return at
}

// sorted returns the instances in the order of their keys.
func (n *Node) sorted() []*Instance {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.only != nil && n.ordered == nil {
		n.ordered = []*Instance{n.only}
	}
	if len(n.ordered) < len(n.several) {
		n.ordered = slices.Collect(maps.Values(n.several))
		slices.SortFunc(n.ordered, func(a, b *Instance) int { return addr.CompareKeys(a.Addr.Key, b.Addr.Key) })
	}
	return n.ordered
}
