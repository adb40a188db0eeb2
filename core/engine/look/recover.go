package look

import (
	"fmt"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/plan"
)

// unrecoverable refuses to plan an instance that an operation was cut off on, if its type says that it cannot look for the result: a
// person has to. Deleting again is harmless.
func (r *Planner) unrecoverable(in *Finding) hcl.Diagnostics {
	if !in.Node.Type.CannotRecover || r.Options.PlanMode() != plan.ModeApply || input.Matches(r.Options.Replace, in.Addr) {
		return nil
	}
	address := in.Addr.String()
	for _, op := range r.Records.Snapshot().Operations {
		if op.Address != address || plan.Action(op.Action) == plan.Delete || record.DeletesOther(&op) {
			continue
		}
		d := in.Errorf("the result of an operation is not known", "An earlier run was interrupted while it wanted to %s it (operation %s, started at %s), and %s %q cannot find out the result.",
			op.Action, op.ID, op.Begun.Format(time.RFC3339), op.Kind, op.Type)
		d.Extra = diag.Info{Address: address, Code: "operation.unknown", Hint: fmt.Sprintf(
			"Check it yourself. Then run davit apply -replace='%s' to replace it, or davit state rm '%s' to remove its record, so that the next apply creates it or an import block imports it. "+
				"Until then, -exclude='%s' applies the rest.", address, address, address)}
		return hcl.Diagnostics{d}
	}
	return nil
}
