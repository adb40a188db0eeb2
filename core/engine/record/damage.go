package record

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Damage says of each instance that a plan has left out, because its record cannot be read, what can be done about it.
func Damage(p *plan.Plan) hcl.Diagnostics {
	detail := "It cannot be planned, so it was left out with its dependents."
	if p.Mode == plan.ModeDestroy {
		detail = "It cannot be planned, so neither it nor its dependencies are deleted."
	}
	var diags hcl.Diagnostics
	for _, address := range p.Damaged {
		d := diag.Plain(address+": its record in state is damaged", detail)
		d.Extra = diag.Info{Address: address, Code: "state.damaged", Hint: repairs(address)}
		diags = append(diags, d)
	}
	return diags
}

// repairs are the ways to mend a damaged record.
func repairs(address string) string {
	quoted := "'" + address + "'"
	again := fmt.Sprintf("davit state rm %s removes the record, so that the next plan starts without it.", quoted)
	if at, err := addr.Parse(address); err == nil && !kinds.IsManaged(at.Kind) {
		return again
	}
	return fmt.Sprintf("davit state restore %s restores it from the history; davit import %s ID imports the existing object, if its type can; %s", quoted, quoted, again)
}

// Unreadable refuses a state of which it cannot be told what is missing. Outputs are worked out anew.
func Unreadable(s *state.Snapshot) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if s == nil {
		return diags
	}
	for _, name := range s.Damaged {
		d := diag.Plain("The state is damaged: "+name, "")
		switch {
		case strings.HasPrefix(name, "operation "):
			d.Detail = "An operation has started and not ended, and its entry cannot be read."
			d.Extra = diag.Info{Code: "state.damaged", Hint: fmt.Sprintf("davit state rm '%s' removes it. Check the next plan before you apply it.", name)}
		case strings.HasPrefix(name, "table ") && name != "table outputs":
			d.Detail = "Entries are missing, and it is not known which."
			d.Extra = diag.Info{Code: "state.damaged", Hint: fmt.Sprintf("Push a backup with davit state push, or accept what is left with davit state rm '%s'.", name)}
		default:
			continue
		}
		diags = append(diags, d)
	}
	return diags
}

// damaged are the addresses of instances whose records cannot be read, as they are called in state, by what they are called now.
func (m *mover) damaged() (map[string]string, hcl.Diagnostics) {
	found := map[string]string{}
	for _, name := range m.state.Damaged {
		i, err := addr.Parse(name)
		if err != nil {
			continue
		}
		now, circle := m.follow(i)
		if circle != nil {
			return found, hcl.Diagnostics{circle}
		}
		found[name], found[now.String()] = name, name
	}
	return found, nil
}
