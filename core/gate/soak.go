package gate

import (
	"maps"
	"slices"
	"time"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/plan"
)

// soak says until when an instance waits for the health of another application: until it has been healthy for long enough since its last
// change. An application does not wait for itself.
func (j *judge) soak(g *config.Gate, at addr.Instance) []plan.Wait {
	if g.Soak == nil || g.Soak.After.Matches(at) {
		return nil
	}
	applications := j.applications(g.Soak.After)
	if len(applications) == 0 {
		return []plan.Wait{{What: plan.WaitSoak, Gate: g.Name, Address: g.Soak.After.String(), Reason: "it was never applied"}}
	}
	var list []plan.Wait
	for _, address := range applications {
		w := plan.Wait{What: plan.WaitSoak, Gate: g.Name, Address: address}
		since, healthy := j.Facts.Healthy[address]
		switch until := since.Add(g.Soak.HealthyFor); {
		case j.changing[address]:
			w.Reason = "it changes first"
		case !healthy:
			w.Reason = "it is not healthy"
		case until.After(j.Now):
			w.Until = until.UTC().Truncate(time.Second)
		default:
			continue
		}
		list = append(list, w)
	}
	return list
}

// applications returns the addresses at a place, of those that are in the plan or healthy, sorted.
func (j *judge) applications(p addr.Place) []string {
	found := map[string]bool{}
	add := func(address string) {
		if at, err := addr.Parse(address); err == nil && p.Matches(at) {
			found[address] = true
		}
	}
	for i := range j.plan.Changes {
		if j.plan.Changes[i].Action != plan.Delete {
			add(j.plan.Changes[i].Address)
		}
	}
	for i := range j.plan.Waiting {
		add(j.plan.Waiting[i].Change.Address)
	}
	for address := range j.Facts.Healthy {
		add(address)
	}
	return slices.Sorted(maps.Keys(found))
}
