package carry

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/draft"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/order"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// finish writes what is left: the outputs, and the end of records that no block stands for any more.
func (a *applying) finish() {
	if a.found.HasErrors() || len(a.result.NotStarted) > 0 {
		a.finishOutputs()
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
	case a.plan.Mode == plan.ModeApply:
		outputs = a.outputs()
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

// finishOutputs writes the outputs after an apply that failed in part: those that depend on what failed keep their values.
func (a *applying) finishOutputs() {
	if a.plan.Mode != plan.ModeApply || a.soft.Err() != nil {
		return
	}
	if outputs := a.outputs(); !sameOutputs(outputs, a.records.Snapshot().Outputs) {
		if err := a.commit(state.Batch{Outputs: outputs}); err != nil {
			a.found.Report(diag.Plain("The state cannot be written", err.Error()))
		}
	}
}

// outputs returns the outputs that state is to have: of those that the plan is about, the values of now. An output keeps its value when
// something that it needs is not ended well.
func (a *applying) outputs() map[string]json.RawMessage {
	out := maps.Clone(a.records.Snapshot().Outputs)
	if out == nil {
		out = map[string]json.RawMessage{}
	}
	planned := map[string]bool{}
	for i := range a.plan.Outputs {
		o := &a.plan.Outputs[i]
		if planned[o.Name] = true; a.input.Stack.Outputs[o.Name] == nil {
			delete(out, o.Name) // its block was removed
		}
	}
	for _, o := range draft.Outputs(a.planner, func(name string) bool {
		return planned[name] && (len(a.undone) == 0 || draft.Done(a.planner, a.input.Stack.Outputs[name], a.endedWell))
	}) {
		switch {
		case o.Sensitive:
			delete(out, o.Name)
		case !o.Unknown:
			out[o.Name] = o.Value
		}
	}
	return out
}

// endedWell tells whether others can use the value of an instance. That of a build that failed is the one of its last result.
func (a *applying) endedWell(i addr.Instance) bool {
	in := a.planner.Finding(i)
	how := a.undone[order.MakeID(i.String())]
	return in != nil && in.Seen != nil && (how == "" || a.without.keeps(i.String()))
}
