package world

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
)

// EachOver is the block that for_each is all instances of: then each instance is made of the one with its key, and needs no other.
func (n *Node) EachOver() (addr.Node, bool) {
	if n.Form == nil || n.Block.ForEach == nil || len(n.Expansion) != 1 {
		return addr.Node{}, false
	}
	ref := n.Expansion[0]
	t, diags := hcl.AbsTraversalForExpr(n.Block.ForEach)
	return ref.Node, !diags.HasErrors() && len(t) == 3 && ref.Node.Kind != "" && ref.Key == nil
}

// Dependencies finds the instances that needs mean for one who has this each, each once, in the order of the references.
func (t *Tree) Dependencies(n *Node, needs []eval.Need, each eval.Each) ([]addr.Instance, hcl.Diagnostics) {
	d := &dependencies{Tree: t}
	for _, need := range needs {
		d.add(n, need, each)
	}
	return d.list, d.diags
}

type dependencies struct {
	*Tree
	list  []addr.Instance
	seen  map[addr.Instance]bool // of a long list
	diags hcl.Diagnostics
}

func (d *dependencies) addOnce(i addr.Instance) {
	const long = 8
	switch {
	case len(d.list) < long:
		if slices.Contains(d.list, i) {
			return
		}
	case d.seen == nil:
		d.seen = make(map[addr.Instance]bool, 2*long)
		for _, had := range d.list {
			d.seen[had] = true
		}
		fallthrough
	default:
		if d.seen[i] {
			return
		}
		d.seen[i] = true
	}
	d.list = append(d.list, i)
}

func (d *dependencies) add(n *Node, need eval.Need, each eval.Each) {
	keys, expanded := d.Keys(need.Node)
	if !expanded {
		d.addOnce(addr.Instance{Node: need.Node})
		return
	}
	key, one := need.KeyOf(each)
	if !one {
		for _, k := range keys {
			d.addOnce(addr.Instance{Node: need.Node, Key: k})
		}
		return
	}
	i := addr.Instance{Node: need.Node, Key: key}
	if d.Instance(i) == nil {
		address := addr.Instance{Node: n.Addr, Key: each.Key}.String()
		d.diags = append(d.diags, diag.OfInstance(diag.Errorf(need.Ref.Range, "Unknown instance", "%s needs %s, but %s has no such instance.%s",
			address, i, need.Node, NearestKey(key, keys)), address, need.Node.String()))
		return
	}
	d.addOnce(i)
}

// instanceDependencies finds what an instance of a block depends on.
func (t *Tree) instanceDependencies(n *Node, each eval.Each) ([]addr.Instance, hcl.Diagnostics) {
	if _, over := n.EachOver(); over && len(n.expansion) == 1 {
		if one := (addr.Instance{Node: n.expansion[0].Node, Key: each.Key}); t.Instance(one) != nil {
			list, diags := t.Dependencies(n, n.needs, each)
			if !slices.Contains(list, one) {
				list = append([]addr.Instance{one}, list...)
			}
			return list, diags
		}
	}
	if len(n.expansion) == 0 {
		return t.Dependencies(n, n.needs, each)
	}
	return t.Dependencies(n, append(slices.Clone(n.expansion), n.needs...), each)
}

// Addresses returns the addresses of instances as texts.
func Addresses(list []addr.Instance) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}

// Upstream calls visit for every instance that in depends on, directly or not, once.
func (t *Tree) Upstream(in *Instance, visit func(*Instance)) {
	seen := map[addr.Instance]bool{}
	var walk func(*Instance)
	walk = func(in *Instance) {
		for _, d := range in.Deps {
			up := t.Instance(d)
			if up == nil || seen[d] {
				continue
			}
			seen[d] = true
			visit(up)
			walk(up)
		}
	}
	walk(in)
}

// ManagedUpstream are the nearest managed instances that in needs, for the order in which deletions go.
func (t *Tree) ManagedUpstream(in *Instance) []string {
	found := map[string]bool{}
	seen := map[addr.Instance]bool{}
	var walk func(*Instance)
	walk = func(in *Instance) {
		for _, d := range in.Deps {
			switch up := t.Instance(d); {
			case kinds.IsManaged(d.Kind):
				found[d.String()] = true
			case up != nil && !seen[d]:
				seen[d] = true
				walk(up)
			}
		}
	}
	walk(in)
	return slices.Sorted(maps.Keys(found))
}
