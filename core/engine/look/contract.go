package look

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// contract is what the planner has to know of a kind. Each kind of the table in core/kinds that is planned has one, in a file of its own.
type contract interface {
	// plan observes or plans an instance for a new plan. Warnings are returned as well.
	plan(ctx context.Context, r *Planner, in *Finding) hcl.Diagnostics
}

// observed is the contract of a kind whose instances are looked at.
type observed interface {
	contract
	// outputs looks at an instance and returns its outputs. pinned is what the reviewed plan has seen, nil when the planner is free to
	// look. It notes the reasons in the instance's observation.
	outputs(ctx context.Context, r *Planner, in *Finding, pinned *plan.Observation) (cty.Value, hcl.Diagnostics)
}

// managed is the contract of a kind whose instances are planned, applied and recorded.
type managed interface {
	contract
	// deferred tells whether a change with arguments and outputs that are not known yet shows nothing that could be reviewed.
	deferred(c *plan.Change) bool
}

// contracts are the contracts of all kinds that are planned.
var contracts = map[string]contract{
	kinds.Source: source{}, kinds.Image: image{}, kinds.Policy: policy{},
	kinds.Build: build{}, kinds.Application: application{},
}

// observing plans the instances of observed kinds.
type observing struct{}

func (observing) plan(ctx context.Context, r *Planner, in *Finding) hcl.Diagnostics {
	return r.Observe(ctx, in, nil)
}

// planning plans the instances of managed kinds.
type planning struct{}

func (planning) plan(ctx context.Context, r *Planner, in *Finding) hcl.Diagnostics {
	if diags := r.unrecoverable(in); diags.HasErrors() {
		return diags
	}
	return r.One(ctx, in, nil)
}

// unknownKind says that the kind of an instance has no contract of the class that it is used as.
func unknownKind(in *Finding) *hcl.Diagnostic {
	return in.Errorf("its kind is unknown", "There is no kind %q that could be planned this way. This is a defect of davit.", in.Addr.Kind)
}
