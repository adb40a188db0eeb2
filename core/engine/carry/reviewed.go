package carry

import (
	"context"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/plan"
)

// asReviewed tells whether the arguments of an instance are what was reviewed, before anything is done with them: only what was unknown
// may differ.
func (a *applying) asReviewed(ctx context.Context, c *plan.Change, in *look.Finding) hcl.Diagnostics {
	if !a.opts.Reviewed || (c.Action == plan.None && !c.Deferred) {
		return nil
	}
	if diags := a.planner.Configure(ctx, in); diags.HasErrors() {
		return diags
	}
	err := record.SameArguments(c.Arguments, a.planner.Arguments(in, c.Address))
	if err == nil {
		err = record.SameSecrets(c.Fingerprints, a.input.Fingerprints.Arguments(in.Config))
	}
	if err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "planning again at apply", err)}
	}
	return nil
}
