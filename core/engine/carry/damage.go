package carry

import (
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
)

// tellDamage counts what the plan has left out among what has failed.
func (a *applying) tellDamage() {
	for _, d := range record.Damage(a.plan) {
		info := diag.InfoOf(d)
		a.result.Failed = append(a.result.Failed, event.Outcome{Address: info.Address, Action: string(plan.None), Error: d.Summary, Hint: info.Hint})
		a.found.Report(d)
	}
}
