// Package why explains how an instance came to be what it is: what was done, when, by whom and for what reason, and
// the same of everything that it was made from, back to the commit. The explanation is data; printing it is a view's job.
package why

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Cause is one instance and what it was made from.
type Cause struct {
	Address  string           `json:"address"`
	Kind     string           `json:"kind"`
	Action   string           `json:"action,omitempty"`   // managed: what was done, or would be
	Revision uint64           `json:"revision,omitempty"` // managed: 0 in a plan
	When     *time.Time       `json:"when,omitempty"`
	Who      string           `json:"who,omitempty"`
	Reasons  []string         `json:"reasons,omitempty"`
	Items    []plan.Item      `json:"items,omitempty"`     // what changed; of a source: the commits
	Fields   []plan.Field     `json:"arguments,omitempty"` // the arguments that changed, where there are no items
	Outputs  *plan.Value      `json:"outputs,omitempty"`   // what it gives to others
	Rejected []plan.Rejection `json:"rejected,omitempty"`  // of a policy
	Hold     *state.Hold      `json:"hold,omitempty"`
	// Approval says who has let it pass the gates; Overrides are gates that were set aside for it.
	Approval  *state.Approval  `json:"approval,omitempty"`
	Overrides []state.Override `json:"overrides,omitempty"`
	Note      string           `json:"note,omitempty"` // what is not known
	From      []*Cause         `json:"from,omitempty"`
	Again     bool             `json:"again,omitempty"` // it is explained further up
}

// Facts are where explanations come from.
type Facts interface {
	// Cause returns what is known of an instance without what it was made from, and the addresses of that. Everything
	// is as it was for what it is explained for; seen is nil for an instance that is asked for itself. No cause: nothing is known.
	Cause(address string, seen *Seen) (c *Cause, from []string, as *Seen, err error)
}

// Seen is what a revision was made from: the observations by address, and what else was applied by then.
type Seen struct {
	At           time.Time
	Observations map[string]plan.Observation
}

// Explain explains an instance.
func Explain(f Facts, address string) (*Cause, error) {
	e := &explanation{facts: f, done: map[string]bool{}}
	c, err := e.of(address, nil, "")
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fmt.Errorf("the state has no record and no history of %s", address)
	}
	return c, nil
}

type explanation struct {
	facts Facts
	done  map[string]bool // what was explained, each for the instance that it was made for
}

// of explains an instance; owner is the instance that the observations are of.
func (e *explanation) of(address string, seen *Seen, owner string) (*Cause, error) {
	c, from, as, err := e.facts.Cause(address, seen)
	if err != nil || c == nil {
		return c, err
	}
	if kinds.IsManaged(c.Kind) {
		owner = address
	}
	id := owner + "\x00" + address
	if e.done[id] {
		return &Cause{Address: c.Address, Kind: c.Kind, Again: true}, nil
	}
	e.done[id] = true
	for _, a := range from {
		up, err := e.of(a, as, owner)
		if err != nil {
			return nil, err
		}
		if up != nil {
			c.From = append(c.From, up)
		}
	}
	return c, nil
}

// Applied are the facts of what was applied: state and its history.
type Applied struct {
	Snapshot *state.Snapshot
	// History returns the revisions of an instance, newest first; of all instances for "".
	History func(address string) ([]state.Revision, error)
}

// Cause implements Facts.
func (a *Applied) Cause(address string, seen *Seen) (*Cause, []string, *Seen, error) {
	i, err := addr.Parse(address)
	if err != nil {
		return nil, nil, nil, err
	}
	if !kinds.IsManaged(i.Kind) {
		return a.observed(address, i.Kind, seen)
	}
	list, err := a.History(address)
	if err != nil {
		return nil, nil, nil, err
	}
	rec, recorded := a.Snapshot.Records[address]
	if len(list) == 0 {
		if !recorded {
			return nil, nil, nil, nil
		}
		return &Cause{Address: address, Kind: rec.Kind, Outputs: value(rec.Outputs), Hold: rec.Hold,
			Note: "the state has no history of it: an earlier davit applied it"}, rec.DependsOn, nil, nil
	}
	r := newestAt(list, seen)
	if r == nil {
		return &Cause{Address: address, Kind: i.Kind, Note: "the state no longer keeps the revision that this was made from"}, nil, nil, nil
	}
	from, inputs, err := origin(list, *r)
	c := &Cause{
		Address: address, Kind: i.Kind, Action: r.Action, Revision: r.Number, When: &r.At, Who: r.Who, Reasons: r.Reasons,
		Outputs: value(r.Record.Outputs), Approval: r.Approval, Overrides: r.Overrides,
	}
	if seen == nil {
		c.Hold = rec.Hold
	}
	if err == nil && len(r.Items) > 0 {
		err = json.Unmarshal(r.Items, &c.Items)
	}
	if err == nil && len(r.Arguments) > 0 {
		err = json.Unmarshal(r.Arguments, &c.Fields)
	}
	if err != nil {
		return nil, nil, nil, fmt.Errorf("revision %d of %s: %w", r.Number, address, err)
	}
	return c, from, inputs, nil
}

// newestAt is the revision that an instance was at for what it is explained for, nil if it is not kept any more. What is made
// from something is made after it, and state is written by one process at a time, so the times of revisions tell.
func newestAt(list []state.Revision, seen *Seen) *state.Revision {
	for i := range list { // newest first
		if seen == nil || !list[i].At.After(seen.At) {
			return &list[i]
		}
	}
	return nil
}

// origin is what a revision was made from. One that went back to an earlier revision was made from what that was made from.
func origin(list []state.Revision, r state.Revision) ([]string, *Seen, error) {
	for range list {
		i := slices.IndexFunc(list, func(o state.Revision) bool { return r.Record.Hold != nil && o.Number == r.Record.Hold.Revision })
		if i < 0 || list[i].Number == r.Number {
			break
		}
		r = list[i]
	}
	seen, err := inputsOf(r)
	return r.From, seen, err
}

// inputsOf are the observations that a revision was made from.
func inputsOf(r state.Revision) (*Seen, error) {
	var list []plan.Observation
	if len(r.Inputs) > 0 {
		if err := json.Unmarshal(r.Inputs, &list); err != nil {
			return nil, err
		}
	}
	seen := &Seen{At: r.At, Observations: map[string]plan.Observation{}}
	for _, o := range list {
		seen.Observations[o.Address] = o
	}
	return seen, nil
}

func (a *Applied) observed(address, kind string, seen *Seen) (*Cause, []string, *Seen, error) {
	if seen == nil {
		var err error
		if seen, err = a.newest(address); err != nil {
			return nil, nil, nil, err
		}
	}
	if o, ok := seen.Observations[address]; ok {
		return observation(&o), o.DependsOn, seen, nil
	}
	rec, ok := a.Snapshot.Records[address]
	if !ok {
		return nil, nil, nil, nil
	}
	return &Cause{Address: address, Kind: kind, Outputs: value(rec.Outputs), Note: "the state has no history of its inputs"}, nil, seen, nil
}

// newest are the observations of the newest revision that was made from an observed instance.
func (a *Applied) newest(address string) (*Seen, error) {
	all, err := a.History("")
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(x, y state.Revision) int { return y.At.Compare(x.At) })
	for _, r := range all {
		if seen, err := inputsOf(r); err == nil {
			if _, there := seen.Observations[address]; there {
				return seen, nil
			}
		}
	}
	return &Seen{At: time.Now()}, nil
}

// observation is what an observation tells.
func observation(o *plan.Observation) *Cause {
	return &Cause{Address: o.Address, Kind: o.Kind, Reasons: o.Reasons, Items: o.Items, Outputs: &o.Outputs, Rejected: o.Rejected}
}

func value(raw json.RawMessage) *plan.Value {
	var v plan.Value
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return nil
	}
	return &v
}

// Planned are the facts of a plan: what would be done.
type Planned struct{ Plan *plan.Plan }

// Cause implements Facts.
func (p Planned) Cause(address string, _ *Seen) (*Cause, []string, *Seen, error) {
	for i := range p.Plan.Changes {
		c := &p.Plan.Changes[i]
		if c.Address != address {
			continue
		}
		out := &Cause{Address: address, Kind: c.Kind, Action: string(c.Action), Reasons: c.Reasons, Items: c.Items, Fields: c.Changed(), Outputs: c.After}
		if c.Hold != nil {
			out.Hold = &state.Hold{Revision: c.Hold.Revision, Who: c.Hold.Who, Reason: c.Hold.Reason}
		}
		if c.Action == plan.Delete {
			return out, nil, nil, nil // what it waits for is what was made from it, not what it was made from
		}
		return out, c.DependsOn, nil, nil
	}
	for i := range p.Plan.Waiting {
		w := &p.Plan.Waiting[i]
		if c := &w.Change; c.Address == address {
			out := &Cause{Address: address, Kind: c.Kind, Action: string(c.Action), Reasons: c.Reasons, Items: c.Items, Fields: c.Changed(), Outputs: c.After, Note: "it " + gate.Words(w)}
			return out, c.DependsOn, nil, nil
		}
	}
	for i := range p.Plan.Observations {
		if o := &p.Plan.Observations[i]; o.Address == address {
			return observation(o), o.DependsOn, nil, nil
		}
	}
	return nil, nil, nil, nil
}
