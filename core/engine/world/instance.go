package world

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
)

// attribute returns what others see of one attribute.
func (in *Instance) attribute(name string) (cty.Value, bool) {
	if in.Seen == nil {
		return cty.NilVal, false
	}
	if name == kinds.Address {
		return cty.StringVal(in.Addr.String()), true
	}
	return in.Node.Type.Attribute(in.Seen, name)
}

// Output returns one of the outputs that every type of its kind has, of an instance that is done.
func (in *Instance) Output(name string) cty.Value {
	v, _ := in.attribute(name)
	return v
}

// Value returns all that others see, as an object. It is NilVal for an instance that is not done.
func (in *Instance) Value() cty.Value {
	if in.Seen == nil {
		return cty.NilVal
	}
	return in.Node.Type.Object(in.Addr.String(), in.Seen)
}

// Instance is one expansion of a block: what it is, and what others see of it.
type Instance struct {
	Addr addr.Instance
	Node *Node
	Each eval.Each
	Deps []addr.Instance
	Seen types.Seen // nil until it is planned or applied; written by its own task

	asked bool // a task for it was added
}

// Errorf is a diagnostic of an instance's block.
func (in *Instance) Errorf(summary, format string, args ...any) *hcl.Diagnostic {
	d := diag.Plain(in.Addr.String()+": "+summary, fmt.Sprintf(format, args...))
	if in.Node != nil && in.Node.Block != nil {
		d.Subject = in.Node.Block.Range.Ptr()
	}
	d.Extra = diag.Info{Address: in.Addr.String()}
	return d
}
