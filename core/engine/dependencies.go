package engine

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
)

// over is the block that for_each is all instances of: then each instance is made of the one with its key, and needs no other.
func (n *node) over() (addr.Node, bool) {
	if n.form == nil || n.block.ForEach == nil || len(n.form.expansion) != 1 {
		return addr.Node{}, false
	}
	ref := n.form.expansion[0]
	t, diags := hcl.AbsTraversalForExpr(n.block.ForEach)
	return ref.Node, !diags.HasErrors() && len(t) == 3 && ref.Node.Kind != "" && ref.Key == nil
}

// dependencies finds the instances that needs mean for one who has this each, each once, in the order of the references.
func (t *Tree) dependencies(n *node, needs []eval.Need, each eval.Each) ([]addr.Instance, hcl.Diagnostics) {
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

func (d *dependencies) one(i addr.Instance) {
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

func (d *dependencies) add(n *node, need eval.Need, each eval.Each) {
	keys, expanded := d.Keys(need.Node)
	if !expanded {
		d.one(addr.Instance{Node: need.Node})
		return
	}
	key, one := need.KeyOf(each)
	if !one {
		for _, k := range keys {
			d.one(addr.Instance{Node: need.Node, Key: k})
		}
		return
	}
	i := addr.Instance{Node: need.Node, Key: key}
	if d.instance(i) == nil {
		address := addr.Instance{Node: n.addr, Key: each.Key}.String()
		d.diags = append(d.diags, diag.OfInstance(diag.Errorf(need.Ref.Range, "An instance that is not there", "%s needs %s, and %s has no such instance.%s",
			address, i, need.Node, nearestKey(key, keys)), address, need.Node.String()))
		return
	}
	d.one(i)
}

// instanceDependencies finds what an instance of a block depends on.
func (t *Tree) instanceDependencies(n *node, each eval.Each) ([]addr.Instance, hcl.Diagnostics) {
	if _, over := n.over(); over && len(n.expansion) == 1 {
		if one := (addr.Instance{Node: n.expansion[0].Node, Key: each.Key}); t.instance(one) != nil {
			list, diags := t.dependencies(n, n.needs, each)
			if !slices.Contains(list, one) {
				list = append([]addr.Instance{one}, list...)
			}
			return list, diags
		}
	}
	if len(n.expansion) == 0 {
		return t.dependencies(n, n.needs, each)
	}
	return t.dependencies(n, append(slices.Clone(n.expansion), n.needs...), each)
}

func addresses(list []addr.Instance) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}

// upstream calls visit for every instance that in depends on, directly or not, once.
func (t *Tree) upstream(in *instance, visit func(*instance)) {
	seen := map[addr.Instance]bool{}
	var walk func(*instance)
	walk = func(in *instance) {
		for _, d := range in.deps {
			up := t.instance(d)
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

// managedUpstream are the nearest managed instances that in needs, for the order in which deletions go.
func (t *Tree) managedUpstream(in *instance) []string {
	found := map[string]bool{}
	seen := map[addr.Instance]bool{}
	var walk func(*instance)
	walk = func(in *instance) {
		for _, d := range in.deps {
			switch up := t.instance(d); {
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
