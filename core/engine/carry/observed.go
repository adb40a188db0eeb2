package carry

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// observed are the records of what an instance was made from, as far as they are news. A
// source's is written with the applications that it ends in: until then its commits are still to come.
func (a *applying) observed(in *look.Finding) []state.Record {
	var list []state.Record
	a.tree.Upstream(in.Instance, func(i *world.Instance) {
		up := a.found.About(i)
		if up.Addr.Kind == kinds.Source && (in.Addr.Kind == kinds.Build && a.ends[up] || a.without.holds(up.Addr)) {
			return
		}
		list = append(list, a.observedOne(up)...)
	})
	return list
}

// observedOne is the record of an observed instance, if it is news.
func (a *applying) observedOne(up *look.Finding) []state.Record {
	if up.Observation == nil || up.Observation.Outputs.Value == nil || a.planner.LeftAlone(up) {
		return nil
	}
	outputs, err := json.Marshal(up.Observation.Outputs)
	if err != nil || slices.Equal(outputs, a.records.Snapshot().Records[up.Addr.String()].Outputs) {
		return nil
	}
	return []state.Record{{
		Address: up.Addr.String(), Kind: up.Addr.Kind, Type: up.Addr.Type, Plugin: up.Node.Type.Plugin, Status: state.StatusOK,
		Outputs: outputs, Updated: time.Now().UTC(),
	}}
}

// endings are the sources that end in an application.
func (a *applying) endings() map[*look.Finding]bool {
	found := map[*look.Finding]bool{}
	seen := map[*look.Finding]bool{}
	var visit func(*look.Finding)
	visit = func(in *look.Finding) {
		if in == nil || seen[in] {
			return
		}
		seen[in] = true
		if in.Addr.Kind == kinds.Source {
			found[in] = true
		}
		for _, d := range in.Deps {
			visit(a.planner.Finding(d))
		}
	}
	for _, c := range a.plan.Changes {
		if c.Kind == kinds.Application && c.Action != plan.Delete {
			if at, err := addr.Parse(c.Address); err == nil {
				visit(a.planner.Finding(at))
			}
		}
	}
	return found
}
