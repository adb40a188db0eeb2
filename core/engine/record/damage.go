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
	detail := "What it is cannot be told, so it was left out, with what depends on it."
	if p.Mode == plan.ModeDestroy {
		detail = "What it is cannot be told, so it is not deleted, and nothing that it needs is."
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
	again := fmt.Sprintf("davit state rm %s forgets the record, and the next plan looks afresh.", quoted)
	if at, err := addr.Parse(address); err == nil && !kinds.IsManaged(at.Kind) {
		return again
	}
	return fmt.Sprintf("davit state restore %s writes it again from the history; davit import %s ID takes over what is there, if its type can; %s", quoted, quoted, again)
}

// Unreadable refuses a state of which it cannot be told what is missing. Outputs are worked out anew.
func Unreadable(s *state.Snapshot) hcl.Diagnostics {
	var diags hcl.Diagnostics
	if s == nil {
		return diags
	}
	for _, name := range s.Damaged {
		d := diag.Plain("State is damaged: "+name, "")
		switch {
		case strings.HasPrefix(name, "operation "):
			d.Detail = "An operation has begun and not ended, and what it was about cannot be read."
			d.Extra = diag.Info{Code: "state.damaged", Hint: fmt.Sprintf("davit state rm '%s' forgets it; look what the next plan would do before it is applied.", name)}
		case strings.HasPrefix(name, "table ") && name != "table outputs":
			d.Detail = "Something is missing there, and it cannot be told what."
			d.Extra = diag.Info{Code: "state.damaged", Hint: fmt.Sprintf("Write a backup with davit state push; or davit state rm '%s' takes what is left for all there is.", name)}
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
