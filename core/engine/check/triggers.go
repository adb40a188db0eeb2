package check

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
)

// triggers finds values of replace_triggered_by that no run can change: they are made of no block.
func (c *checker) triggers(m *config.Module, b *config.Block) {
	for _, x := range b.Lifecycle.ReplaceTriggeredBy {
		w := blockFinder{root: c.input.Stack.Module, seen: map[named]bool{}}
		if w.refs(m, nil, b, eval.References(x)) {
			continue
		}
		c.report(x.Range(), "Never a trigger", "This value of replace_triggered_by is made of no block, so that nothing that davit does or observes changes it. "+
			"Name a block or an attribute of one, as in application.kubernetes.db.revision; locals, module inputs and module outputs may be made of them.")
	}
}

// blockFinder finds out whether values are made of blocks.
type blockFinder struct {
	root *config.Module
	seen map[named]bool
}

// named is a local, a variable or an output of a module that was called from somewhere.
type named struct {
	module *config.Module
	call   *config.Call // nil: any
	name   string
}

// calledFrom is a call, and the module that it is in.
type calledFrom struct {
	module *config.Module
	call   *config.Call
	above  *calledFrom // the call of that module, nil if it is not known
}

// refs tells whether one of the references of a module means a block, directly or not. call is the call of the module, as far as it is
// known; b is the block whose each and count are meant.
func (w *blockFinder) refs(m *config.Module, call *calledFrom, b *config.Block, refs []eval.Ref) bool {
	for _, r := range refs {
		switch {
		case r.Node.Kind != "":
			if !isAddress(r.Rest) {
				return true
			}
		case r.Instance == "each" && b != nil:
			if w.refs(m, call, nil, eval.References(b.ForEach)) {
				return true
			}
		case r.Local != "":
			l := m.Locals[r.Local]
			if l == nil || w.first(m, call, "local."+r.Local) && w.refs(m, call, nil, eval.References(l.Expr)) {
				return true // an unknown local is an error of its own
			}
		case r.Var != "":
			if w.input(m, call, r.Var) {
				return true
			}
		case r.Call != "":
			if w.output(m, call, r) {
				return true
			}
		case r.Bad != "":
			return true // an error of its own
		}
	}
	return false
}

// input tells whether a variable may be made of blocks: that of a module may, unless it is known which call is meant.
func (w *blockFinder) input(m *config.Module, call *calledFrom, name string) bool {
	if call == nil {
		return m != w.root
	}
	a := call.call.Arguments[name]
	return a != nil && w.first(m, call, "var."+name) && w.refs(call.module, call.above, nil, eval.References(a.Expr))
}

// output tells whether the output of a module that a reference means may be made of blocks.
func (w *blockFinder) output(m *config.Module, above *calledFrom, r eval.Ref) bool {
	call := m.Calls[r.Call]
	if call == nil || call.Module == nil {
		return true
	}
	inner := &calledFrom{module: m, call: call, above: above}
	for name, o := range call.Module.Outputs {
		if (r.Output == "" || r.Output == name) && w.first(call.Module, inner, "output."+name) && w.refs(call.Module, inner, nil, eval.References(o.Expr)) {
			return true
		}
	}
	return false
}

// first tells whether a value is looked at for the first time.
func (w *blockFinder) first(m *config.Module, call *calledFrom, name string) bool {
	k := named{module: m, name: name}
	if call != nil {
		k.call = call.call
	}
	if w.seen[k] {
		return false
	}
	w.seen[k] = true
	return true
}

// isAddress tells whether the steps after a block are its address, which stays the same.
func isAddress(rest hcl.Traversal) bool {
	if len(rest) != 1 {
		return false
	}
	step, ok := rest[0].(hcl.TraverseAttr)
	return ok && step.Name == kinds.Address
}
