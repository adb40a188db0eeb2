package look

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// source is the contract of sources: files, and the revision that they are of.
type source struct{ observing }

// outputs implements observed. The plugin has the files there in any case; what was reviewed, or what state says with -refresh=false, tells
// it of which revision.
func (source) outputs(ctx context.Context, r *Planner, in *Finding, pinned *plan.Observation) (cty.Value, hcl.Diagnostics) {
	if pinned == nil && r.recalls(in) {
		pinned = &plan.Observation{Outputs: *in.Observation.Before}
	}
	if !in.known() {
		in.Observation.Reasons = []string{"its arguments are not known yet"}
		return in.Node.Type.UnknownOutputs(), nil
	}
	req := &pluginv1.PlanRequest{}
	if v, ok := types.Whole(outputsIn(pinned), in.Node.Type); ok {
		var err error
		if req.Pinned, err = eval.EncodeValue(v); err != nil {
			return cty.NilVal, hcl.Diagnostics{r.Services.Failure(in.Instance, "observing", err)}
		}
	}
	return r.askPlugin(ctx, in, req)
}
