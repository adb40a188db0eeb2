// Package gate decides which changes of a plan may be applied without a person, and which wait for what. It is pure: it reads a plan, the
// gates of the stack, approvals, facts and a time, and returns data. It has no clock and does no I/O.
//
// Who applies plans calls it like this, with the whole plan each time:
//
//	d := gate.Decide(p, gate.Request{Gates: stack.Gates, Approvals: approvals, Now: now, Facts: facts})
//	p = d.Leave(p) // the same plan without what waits; p.Waiting says what was left out, and why
//
// engine.Warm.PlanGated does both, and plans those changes again of which only the image waits.
//
// An approval is data (plan.Approval): the address, the digest of exactly one change, who, when, where. Whoever has asked a person keeps
// it and passes it to each Decide until the change was applied. An approval of another digest is void: it is in Decision.Void, and is to
// be forgotten. The digest to approve is in plan.Waiting. Nothing is looked up by address alone.
//
// Waiting ends in three ways: a person approves, another change is applied, or time passes. Decision.Next is when time alone lets
// something go: the loop looks again then.
package gate

import (
	"slices"
	"time"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/plan"
)

// Request is what a decision is made from, besides the plan.
type Request struct {
	Gates     []*config.Gate
	Approvals []plan.Approval
	// Grants approve whatever the plan has at some places: a person has asked for this plan.
	Grants    []Grant
	Overrides []plan.Override
	Now       time.Time
	Facts     Facts
	// Hold says what else a change has to wait for. Nil: nothing else.
	Hold func(c *plan.Change) []plan.Wait
}

// Grant approves all changes at a place as the plan has them. The approvals that come of it are bound to their digests.
type Grant struct {
	Place addr.Place
	By    plan.Approval // who, when and where
}

// Places returns the places of the grants.
func (r *Request) Places() []addr.Place {
	var list []addr.Place
	for _, g := range r.Grants {
		list = append(list, g.Place)
	}
	return list
}

// Facts are what is known of the world besides the plan.
type Facts struct {
	// Healthy says since when each application is healthy, by address. What is not healthy, or never was applied, is not in it.
	Healthy map[string]time.Time
}

// Decision says what waits.
type Decision struct {
	// Waiting are the changes that wait, in the order of the plan, with those that wait only because they come after one of these.
	Waiting []plan.Waiting
	// Split are the addresses of waiting changes of which only the image waits: the rest of them may go, if it can be planned without
	// the image.
	Split []string
	// Approvals are those that hold for changes of the plan, Overrides those without which more would wait.
	Approvals []plan.Approval
	Overrides []plan.Override
	// Void are approvals of changes that are other ones now.
	Void []plan.Approval
	// Next is the first time at which something may go by itself; zero: at no time that is known.
	Next time.Time

	out map[string]bool // by address: what is not in the plan any more; instances and observations
	ids map[string]bool // by id: steps that are not in it any more
}

// Decide decides about the changes of a plan. A plan that only refreshes state passes all gates.
func Decide(p *plan.Plan, r Request) *Decision {
	d := &Decision{out: map[string]bool{}, ids: map[string]bool{}}
	if p.Mode == plan.ModeRefresh || len(r.Gates) == 0 && r.Hold == nil {
		return d
	}
	j := newJudge(p, r, d)
	j.countDeletions()
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Works() {
			j.change(c)
			if r.Hold != nil {
				j.add(c, r.Hold(c)...)
			}
		}
	}
	j.spread()
	for i := range p.Changes {
		c := &p.Changes[i]
		if list := j.waits[c.Address]; len(list) > 0 {
			j.wait(c, list)
		}
	}
	return d
}

// judge makes one decision.
type judge struct {
	Request
	plan      *plan.Plan
	decision  *Decision
	waits     map[string][]plan.Wait        // by address
	deletions map[string]int                // by gate
	working   map[string]bool               // addresses of changes that do something
	changing  map[string]bool               // the same, with those that were left out of the plan before
	images    map[string][]plan.ImageChange // by application
}

func newJudge(p *plan.Plan, r Request, d *Decision) *judge {
	j := &judge{
		plan: p, Request: r, decision: d, waits: map[string][]plan.Wait{}, deletions: map[string]int{},
		working: map[string]bool{}, changing: map[string]bool{}, images: map[string][]plan.ImageChange{},
	}
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Works() {
			j.working[c.Address], j.changing[c.Address] = true, true
		}
	}
	for i := range p.Waiting {
		j.changing[p.Waiting[i].Change.Address] = true
	}
	for _, i := range p.Images {
		j.images[i.Application] = append(j.images[i.Application], i)
	}
	return j
}

// countDeletions counts what the plan deletes behind each gate with a limit.
func (j *judge) countDeletions() {
	if !slices.ContainsFunc(j.Gates, func(g *config.Gate) bool { return g.MaxDeletions >= 0 }) {
		return
	}
	count := func(c *plan.Change) {
		n := c.Deletions()
		at, err := addr.Parse(c.Address)
		if n == 0 || err != nil {
			return
		}
		for _, g := range j.Gates {
			if g.MaxDeletions >= 0 && g.Matches(at) {
				j.deletions[g.Name] += n
			}
		}
	}
	for i := range j.plan.Changes {
		count(&j.plan.Changes[i])
	}
	for i := range j.plan.Waiting {
		if !j.plan.Waiting[i].Partly { // else its deletions are among the changes
			count(&j.plan.Waiting[i].Change)
		}
	}
}

// change finds out what one change waits for.
func (j *judge) change(c *plan.Change) {
	at, err := addr.Parse(c.Address)
	if err != nil {
		return
	}
	approval := j.approval(c, at)
	needed := false // the approval
	for _, g := range j.Gates {
		if !g.Matches(at) {
			continue
		}
		person := j.person(g, c)
		if approval != nil && !c.Deferred {
			needed = needed || len(person) > 0
			person = nil
		}
		j.add(c, person...)
		if list := append(j.window(g), j.soak(g, at)...); j.overridden(g) {
			j.useOverride(g, len(list) > 0)
		} else {
			j.add(c, list...)
		}
	}
	if needed {
		j.decision.Approvals = append(j.decision.Approvals, *approval)
	}
}

func (j *judge) add(c *plan.Change, list ...plan.Wait) {
	j.waits[c.Address] = append(j.waits[c.Address], list...)
}

// approval returns the approval of exactly this change, or what a grant makes of it; nil if there is neither. Other approvals of the same address are void.
func (j *judge) approval(c *plan.Change, at addr.Instance) *plan.Approval {
	var found *plan.Approval
	for i := range j.Approvals {
		a := &j.Approvals[i]
		if a.Address != c.Address {
			continue
		}
		if digest, err := c.Digest(); err == nil && digest == a.Digest {
			found = a
		} else {
			j.decision.Void = append(j.decision.Void, *a)
		}
	}
	if found != nil {
		return found
	}
	for _, g := range j.Grants {
		if !g.Place.Matches(at) {
			continue
		}
		if digest, err := c.Digest(); err == nil {
			given := g.By
			given.Address, given.Digest = c.Address, digest
			return &given
		}
	}
	return nil
}

// person says why a change waits for a person at a gate.
func (j *judge) person(g *config.Gate, c *plan.Change) []plan.Wait {
	var list []plan.Wait
	causes := slices.DeleteFunc(c.AllCauses(), func(cause plan.Cause) bool { return !slices.Contains(g.Approve, cause) })
	switch {
	case c.Deferred && len(g.Approve) > 0:
		w := plan.Wait{What: plan.WaitInstance, Gate: g.Name, Reason: "it is planned in full, and can be approved, when this is applied"}
		if len(c.WaitsFor) > 0 {
			w.Address = c.WaitsFor[0]
		}
		list = append(list, w)
	case len(causes) > 0:
		list = append(list, plan.Wait{What: plan.WaitApproval, Gate: g.Name, Causes: causes})
	}
	if n := j.deletions[g.Name]; g.MaxDeletions >= 0 && n > g.MaxDeletions && c.Deletions() > 0 {
		if j.overridden(g) {
			j.useOverride(g, true)
		} else {
			list = append(list, plan.Wait{What: plan.WaitDeletions, Gate: g.Name, Deletions: n, Limit: g.MaxDeletions})
		}
	}
	return list
}

// window says until when the windows of a gate are closed.
func (j *judge) window(g *config.Gate) []plan.Wait {
	if g.Windows.Open(j.Now) {
		return nil
	}
	w := plan.Wait{What: plan.WaitWindow, Gate: g.Name}
	if next, ok := g.Windows.Next(j.Now); ok {
		w.Until = next
	} else {
		w.Reason = "no window opens in the next two years"
	}
	return []plan.Wait{w}
}

func (j *judge) overridden(g *config.Gate) bool {
	return slices.ContainsFunc(j.Overrides, func(o plan.Override) bool { return o.Gate == g.Name })
}

// useOverride notes the override of a gate, if it was needed.
func (j *judge) useOverride(g *config.Gate, needed bool) {
	isGate := func(o plan.Override) bool { return o.Gate == g.Name }
	if needed && !slices.ContainsFunc(j.decision.Overrides, isGate) {
		j.decision.Overrides = append(j.decision.Overrides, j.Overrides[slices.IndexFunc(j.Overrides, isGate)])
	}
}

// wait keeps a change that waits.
func (j *judge) wait(c *plan.Change, list []plan.Wait) {
	d := j.decision
	digest, _ := c.Digest() // "": nothing that can be approved
	w := plan.Waiting{Change: *c, Images: j.images[c.Address], Digest: digest, For: list}
	d.Waiting = append(d.Waiting, w)
	if splits(c, list) {
		d.Split = append(d.Split, c.Address)
	}
	if until, ok := ends(list); ok && (d.Next.IsZero() || until.Before(d.Next)) {
		d.Next = until
	}
}

// splits tells whether only the image of a change waits, and the rest of it may be tried without.
func splits(c *plan.Change, list []plan.Wait) bool {
	if c.Action != plan.Update || c.TwoSteps || c.Deferred || c.Hold != nil || c.Import != "" || len(c.Kept) > 0 {
		return false
	}
	for _, w := range list {
		if w.What != plan.WaitApproval || !slices.Equal(w.Causes, []plan.Cause{plan.CauseImage}) {
			return false
		}
	}
	return slices.ContainsFunc(c.AllCauses(), func(cause plan.Cause) bool { return cause != plan.CauseImage })
}

// ends returns the time at which waiting ends by itself.
func ends(list []plan.Wait) (time.Time, bool) {
	var last time.Time
	for _, w := range list {
		if w.Until.IsZero() {
			return last, false
		}
		if w.Until.After(last) {
			last = w.Until
		}
	}
	return last, true
}
