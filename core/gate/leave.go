package gate

import (
	"slices"

	"github.com/davit-sh/davit/core/plan"
)

// spread finds what waits because it comes after something that waits: by the order of the steps, by the configuration, and because a
// thing changes its owner.
func (j *judge) spread() {
	for address, list := range j.waits {
		if len(list) > 0 {
			j.decision.out[address] = true
		}
	}
	if len(j.decision.out) == 0 {
		return
	}
	for j.spreadSteps() || j.spreadValues() || j.spreadTransfers() { //nolint:revive // each pass adds something, or it ends
	}
}

// leaveOut takes an instance out of the plan because of another one. It returns whether it was in.
func (j *judge) leaveOut(address, because string) bool {
	if j.decision.out[address] {
		return false
	}
	j.decision.out[address] = true
	if j.working[address] {
		j.waits[address] = append(j.waits[address], plan.Wait{What: plan.WaitInstance, Address: because})
	}
	return true
}

// spreadSteps leaves out what comes after a step that is left out. An instance is made without waiting for the deletion of another one
// that depended on it: it is so as well when that deletion is in no plan.
func (j *judge) spreadSteps() bool {
	more, steps := false, map[string]*plan.Step{}
	for i := range j.plan.Steps {
		s := &j.plan.Steps[i]
		steps[s.ID] = s
		out := s.Operation == "" && j.decision.out[s.Address]
		for _, id := range s.WaitsFor {
			before := steps[id]
			if before == nil || !j.decision.ids[id] || s.Do == plan.Make && before.Do == plan.Remove && before.Address != s.Address {
				continue
			}
			out = true
			if s.Operation == "" && j.leaveOut(s.Address, before.Address) {
				more = true
			}
		}
		if out && !j.decision.ids[s.ID] {
			j.decision.ids[s.ID], more = true, true
		}
	}
	return more
}

// spreadValues leaves out what needs the value of an instance that is left out.
func (j *judge) spreadValues() bool {
	more := false
	needs := func(address string, dependsOn []string) {
		if i := slices.IndexFunc(dependsOn, func(d string) bool { return j.decision.out[d] }); i >= 0 && j.leaveOut(address, dependsOn[i]) {
			more = true
		}
	}
	for i := range j.plan.Observations {
		needs(j.plan.Observations[i].Address, j.plan.Observations[i].DependsOn)
	}
	for i := range j.plan.Changes {
		if c := &j.plan.Changes[i]; c.Action != plan.Delete && c.Action != plan.Forget {
			needs(c.Address, c.DependsOn)
		}
	}
	return more
}

// spreadTransfers leaves out both owners of a thing that changes its owner.
func (j *judge) spreadTransfers() bool {
	more := false
	for _, t := range j.plan.Transfers {
		switch out := j.decision.out; {
		case out[t.From] && !out[t.To]:
			more = j.leaveOut(t.To, t.From) || more
		case out[t.To] && !out[t.From]:
			more = j.leaveOut(t.From, t.To) || more
		}
	}
	return more
}

// Leave returns the plan without what waits. The plan itself stays as it is.
func (d *Decision) Leave(p *plan.Plan) *plan.Plan {
	out := *p
	out.Digest = ""
	out.Waiting = append(slices.Clone(p.Waiting), d.Waiting...)
	out.Approvals, out.Overrides = d.Approvals, d.Overrides
	if len(d.Waiting) == 0 {
		out.Summary.Waiting = len(out.Waiting)
		return &out
	}
	is := func(address string) bool { return d.out[address] }
	out.Changes = slices.DeleteFunc(slices.Clone(p.Changes), func(c plan.Change) bool { return is(c.Address) })
	out.Observations = slices.DeleteFunc(slices.Clone(p.Observations), func(o plan.Observation) bool { return is(o.Address) })
	out.Images = slices.DeleteFunc(slices.Clone(p.Images), func(i plan.ImageChange) bool { return is(i.Application) })
	out.Transfers = slices.DeleteFunc(slices.Clone(p.Transfers), func(t plan.Transfer) bool { return is(t.From) || is(t.To) })
	out.Leftovers = slices.DeleteFunc(slices.Clone(p.Leftovers), func(l plan.Leftover) bool {
		return slices.ContainsFunc(p.Steps, func(s plan.Step) bool { return s.Operation == l.Operation && d.ids[s.ID] })
	})
	out.Outputs = nil // what they are made of is not all in the plan
	out.Steps = make([]plan.Step, 0, len(p.Steps))
	for _, s := range p.Steps {
		if d.ids[s.ID] {
			continue
		}
		s.WaitsFor = slices.DeleteFunc(slices.Clone(s.WaitsFor), func(id string) bool { return d.ids[id] })
		out.Steps = append(out.Steps, s)
	}
	drift := p.Summary.Drift
	out.Summary = plan.Summarise(out.Changes)
	out.Summary.Delete += len(out.Leftovers)
	out.Summary.Drift, out.Summary.Waiting = drift, len(out.Waiting)
	return &out
}
