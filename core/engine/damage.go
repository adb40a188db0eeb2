package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/event"
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

// unreadable refuses a state of which it cannot be told what is missing. Outputs are worked out anew.
func unreadable(s *state.Snapshot) hcl.Diagnostics {
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

// leaveOut notes that a plan does without an instance, because its record is damaged. It tells whether that is so.
func (r *Planner) leaveOut(i addr.Instance) bool {
	name, is := r.moved.damaged[i.String()]
	if !is || r.opts.Import[i.String()] != "" {
		return false
	}
	r.found.mu.Lock()
	defer r.found.mu.Unlock()
	if r.found.leftOut == nil {
		r.found.leftOut = map[string]bool{}
	}
	r.found.leftOut[name] = true
	return true
}

// leaveOutRest leaves out the damaged ones that the plan has not come to: those without a block, and in a destroy all.
func (r *Planner) leaveOutRest(ctx context.Context, wanted func(addr.Instance) bool) {
	for _, name := range slices.Sorted(maps.Keys(r.moved.damaged)) {
		i, err := addr.Parse(name)
		if err != nil || r.opts.excludes(i) {
			continue
		}
		needed := slices.ContainsFunc(r.neededBy(ctx, name), func(address string) bool {
			up, err := addr.Parse(address)
			return err == nil && r.opts.mode() == plan.ModeDestroy && wanted(up)
		})
		if needed || r.opts.targets(i) {
			r.leaveOut(i)
		}
	}
}

// keptBack are the instances that must not be deleted, since something whose record is damaged may need them.
func (r *Planner) keptBack(ctx context.Context) map[string]bool {
	kept := map[string]bool{}
	var visit func(list []string)
	visit = func(list []string) {
		for _, address := range list {
			if !kept[address] {
				kept[address] = true
				visit(r.records.Snapshot().Records[address].DependsOn)
			}
		}
	}
	for name := range r.found.leftOut {
		visit(r.neededBy(ctx, name))
	}
	return kept
}

// neededBy are the managed instances that one whose record is damaged needs: as its history tells or, without one, its block.
func (r *Planner) neededBy(ctx context.Context, address string) []string {
	if r.input.History != nil {
		if list, err := r.input.History(ctx, address); err == nil && len(list) > 0 {
			return list[0].Record.DependsOn
		}
	}
	at, err := addr.Parse(address)
	if err != nil || r.input.declared(at.Node) == nil {
		return nil
	}
	var list []string
	needed := r.mayNeed(at)
	for other := range r.records.Snapshot().Records {
		if i, err := addr.Parse(other); err == nil && needed[blockName(i)] {
			list = append(list, other)
		}
	}
	return list
}

// mayNeed are the names of the blocks that an instance may need, as they are written: keys are not looked at.
func (r *Planner) mayNeed(i addr.Instance) map[string]bool {
	reached := r.forms.static(r.input.Stack.Module).reach([]addr.Place{{Instance: i}})
	delete(reached, blockName(i))
	return reached
}

// tellDamage counts what the plan has left out among what has failed.
func (a *applying) tellDamage() {
	for _, d := range Damage(a.plan) {
		info := diag.InfoOf(d)
		a.result.Failed = append(a.result.Failed, event.Outcome{Address: info.Address, Action: string(plan.None), Error: d.Summary, Hint: info.Hint})
		a.found.report(d)
	}
}
