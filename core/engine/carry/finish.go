package carry

import (
	"encoding/json"
	"slices"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/draft"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// finish writes what is left: the outputs, and the end of records that no block stands for any more.
func (a *applying) finish() {
	if a.found.HasErrors() || len(a.result.NotStarted) > 0 {
		return
	}
	partial := a.plan.Partial()
	var b state.Batch
	if len(a.result.Done) > 0 && !partial {
		for address, rec := range a.records.Snapshot().Records {
			if at, err := addr.Parse(address); err == nil && !kinds.IsManaged(rec.Kind) && (a.plan.Mode == plan.ModeDestroy || a.planner.Finding(at) == nil) {
				b.Delete = append(b.Delete, address)
			}
		}
	}
	if !partial && a.plan.Mode != plan.ModeRefresh {
		b.End = a.cut.Rest()
	}
	if a.plan.Mode == plan.ModeRefresh {
		a.planner.InOrder(func(in *look.Finding) { b.Put = append(b.Put, a.observedOne(in)...) })
	}
	outputs := a.records.Snapshot().Outputs
	switch {
	case a.plan.Mode == plan.ModeApply && !partial:
		outputs = outputsOf(draft.Outputs(a.planner))
	case a.plan.Mode == plan.ModeDestroy && !partial:
		outputs = map[string]json.RawMessage{}
	}
	if !sameOutputs(outputs, a.records.Snapshot().Outputs) {
		b.Outputs = outputs
	}
	if b.Empty() {
		return
	}
	if err := a.commit(b); err != nil {
		a.found.Report(diag.Plain("The state cannot be written", err.Error()))
	}
}

func sameOutputs(x, y map[string]json.RawMessage) bool {
	if len(x) != len(y) {
		return false
	}
	for name, v := range x {
		if !slices.Equal(v, y[name]) {
			return false
		}
	}
	return true
}

func outputsOf(list []plan.Output) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, o := range list {
		if !o.Sensitive && !o.Unknown {
			out[o.Name] = o.Value
		}
	}
	return out
}
