package engine

import (
	"fmt"
	"sync"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/types"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// Planner plans instances: it observes, asks the plugins, and compares with the records. It is made for one run, of a plan or of an apply.
type Planner struct {
	input   *Input
	opts    Options
	forms   *forms
	tree    *Tree
	found   *Findings
	svc     *Services
	records Records
	moved   moved

	wanted       map[string]bool   // static names of what is needed; nil: everything
	whyDestroyed map[string]string // by address

	imports sync.Map // importKey -> the instances that an import block is into; found when they are asked for
}

// newPlanner returns a planner that knows nothing but its input.
func newPlanner(in *Input, f *forms, svc *Services, recs Records, opts Options) *Planner {
	return &Planner{input: in, opts: opts, forms: f, tree: newTree(in, f), found: &Findings{secrets: svc.Secrets}, svc: svc, records: recs}
}

// setInput takes another input, which differs from the old one in the values of variables.
func (r *Planner) setInput(in *Input) {
	r.input = in
	for _, v := range in.Variables {
		r.svc.Secrets.AddFrom(v)
	}
	r.tree.setInput(in)
}

// finding returns what is known of an instance, nil if there is no such instance.
func (r *Planner) finding(a addr.Instance) *Finding {
	if in := r.tree.instance(a); in != nil {
		return r.found.of(in)
	}
	return nil
}

// prior returns what state has of an instance, as its plugin wants it. It returns nil if state has nothing. Of what is sensitive it has
// what is known to be the same still.
func (r *Planner) prior(in *Finding) (*pluginv1.Record, *state.Record, error) {
	rec, ok := r.records.Record(in.addr.String())
	if !ok {
		return nil, nil, nil
	}
	out, err := types.Prior(rec, in.node.typ)
	if err == nil {
		err = r.input.Fingerprints.Refill(out, rec, in.config, in.ignored, in.node.typ)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the record of %s in state cannot be read: %w", in.addr, err)
	}
	return out, rec, nil
}
