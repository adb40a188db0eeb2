package input

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
)

// GateWarnings returns a warning for each address in a gate that the stack does not declare. It is no error: a gate also holds the deletion
// of a block that was removed, so the address stays in the gate until the deletion is done.
func (i *Input) GateWarnings() hcl.Diagnostics {
	var diags hcl.Diagnostics
	warn := func(at hcl.Range, gate string, p addr.Place, what string) {
		if i.Declares(p) {
			return
		}
		d := diag.Errorf(at, "Gate on an undeclared block", "gate %q names %s, which the stack does not have.%s %s", gate, p, i.SuggestPlace(p), what)
		d.Severity = hcl.DiagWarning
		diags = append(diags, d)
	}
	for _, g := range i.Stack.Gates {
		for _, p := range g.On {
			warn(g.Range, g.Name, p, "If it was removed, the gate still holds its deletion.")
		}
		if g.Soak != nil {
			warn(g.Soak.Range, g.Name, g.Soak.After, fmt.Sprintf("Changes behind the gate wait until it was healthy for %s.", g.Soak.HealthyFor))
		}
	}
	return diags
}
