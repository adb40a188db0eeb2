package carry

import (
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/plan"
)

// tellLeftOut counts what the plan has left out, because of damage or of errors, among what has failed, and what waits at a gate.
func (a *applying) tellLeftOut() {
	for _, d := range record.Damage(a.plan) {
		info := diag.InfoOf(d)
		a.result.Failed = append(a.result.Failed, event.Outcome{Address: info.Address, Action: string(plan.None), Error: d.Summary, Hint: info.Hint})
	}
	for i := range a.plan.Waiting {
		w := &a.plan.Waiting[i]
		a.result.Waiting = append(a.result.Waiting, event.Outcome{Address: w.Change.Address, Action: string(w.Change.Action), Reason: gate.Words(w)})
	}
	for _, f := range a.plan.Failed {
		first := plan.Diagnostic{Summary: f.Address + ": it cannot be planned"}
		if len(f.Diagnostics) > 0 {
			first = f.Diagnostics[0]
		}
		a.result.Failed = append(a.result.Failed, event.Outcome{Address: f.Address, Action: string(plan.None), Error: first.Summary, Hint: first.Hint})
		for _, dependent := range f.Dependents {
			a.skipDependent(dependent, f.Address)
		}
	}
	a.found.Report(record.LeftOut(a.plan, a.input.Stack)...)
}

// skipDependent counts an instance that is left out because another one cannot be planned among what was not started, once.
func (a *applying) skipDependent(address, of string) {
	for _, o := range a.result.NotStarted {
		if o.Address == address {
			return
		}
	}
	a.result.NotStarted = append(a.result.NotStarted, event.Outcome{Address: address, Action: string(plan.None), Reason: "it depends on " + of + ", which cannot be planned"})
}
