package look

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
)

// movedAndStill finds instances that were moved away and that the stack still has: which of both the record belongs to,
// nobody could tell.
func (r *Planner) movedAndStill() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, m := range r.Moved.List {
		if i, err := addr.Parse(m.From); err == nil && r.Finding(i) != nil {
			diags = append(diags, diag.Plain("Moved block is still declared",
				fmt.Sprintf("A moved block moves %s to %s, but both are declared. Remove the moved block, or the old block.", m.From, m.To)))
		}
	}
	return diags
}
