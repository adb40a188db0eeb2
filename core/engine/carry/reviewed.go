package carry

import (
	"context"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/plan"
)

// asReviewed tells whether the arguments of an instance are what was reviewed, before anything is done with them: only what was unknown
// may differ. What comes from a build that failed may stay as it was.
func (a *applying) asReviewed(ctx context.Context, c *plan.Change, in *look.Finding) hcl.Diagnostics {
	lacks := len(a.without.builds(c.Address)) > 0
	if !a.opts.Reviewed && !lacks || (c.Action == plan.None && !c.Deferred) {
		return nil
	}
	if diags := a.planner.Configure(ctx, in); diags.HasErrors() {
		return diags
	}
	reviewed, now := c.Arguments, a.planner.Arguments(in, c.Address)
	if lacks {
		reviewed, now = a.withoutBuilt(in, c, now)
	}
	err := record.SameArguments(reviewed, now)
	if err == nil {
		err = record.SameSecrets(c.Fingerprints, a.input.Fingerprints.Arguments(in.Config))
	}
	if err != nil {
		return hcl.Diagnostics{a.svc.Failure(in.Instance, "planning again at apply", err)}
	}
	return nil
}
