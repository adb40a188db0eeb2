// Package why explains the last change of an instance: the action, its time, author and reason, and the same for all of its
// inputs, back to the commit. An explanation is data; core/view prints it.
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

// Cause is the explanation of one instance: its last or planned change, and the explanations of its inputs.
type Cause struct {
	Address  string           `json:"address"`
	Kind     string           `json:"kind"`
	Action   string           `json:"action,omitempty"`   // managed: the applied or planned action
	Revision uint64           `json:"revision,omitempty"` // managed: 0 in a plan
	When     *time.Time       `json:"when,omitempty"`
	Who      string           `json:"who,omitempty"`
	Reasons  []string         `json:"reasons,omitempty"`
	Items    []plan.Item      `json:"items,omitempty"`     // the changed items; of a source: the commits
	Fields   []plan.Field     `json:"arguments,omitempty"` // the changed arguments, if there are no items
	Outputs  *plan.Value      `json:"outputs,omitempty"`   // the values that other blocks can read
	Rejected []plan.Rejection `json:"rejected,omitempty"`  // of a policy
	Hold     *state.Hold      `json:"hold,omitempty"`
	// Approval is the approval at the gates; nil without one. Overrides are the gates that a person has set aside for the change.
	Approval  *state.Approval  `json:"approval,omitempty"`
	Overrides []state.Override `json:"overrides,omitempty"`
	Note      string           `json:"note,omitempty"` // what the state does not keep
	From      []*Cause         `json:"from,omitempty"`
	Again     bool             `json:"again,omitempty"` // it is explained earlier in the tree
}

// Facts is a source of explanations: the state with its history (Applied), or a plan (Planned).
type Facts interface {
	// Cause returns the explanation of one instance without its inputs, the addresses of its inputs, and the observations that they
	// were made with. seen has the observations of the dependent that is being explained; it is nil for the instance that the caller
	// asked for. The cause is nil if there are no facts about the instance.
	Cause(address string, seen *Seen) (c *Cause, from []string, as *Seen, err error)
}

// Seen has the inputs of a revision: the observations by address, and the time up to which other instances count.
type Seen struct {
	At           time.Time
	Observations map[string]plan.Observation
}

// Explain returns the explanation of the instance at address, with all of its inputs. It is an error if there are no facts about it.
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
	done  map[string]bool // explained instances, each for the dependent that it was explained for
}

// of explains an instance; owner is the instance whose observations seen has.
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

// Applied has the facts about applied changes: the state and its history.
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

// newestAt returns the revision of an input that its dependent used: the newest one at that time; nil if the state no longer keeps it.
// The times of revisions can be compared, because a dependent is applied after its inputs, and one process at a time writes the state.
func newestAt(list []state.Revision, seen *Seen) *state.Revision {
	for i := range list { // newest first
		if seen == nil || !list[i].At.After(seen.At) {
			return &list[i]
		}
	}
	return nil
}

// origin returns the inputs of a revision. A rollback has the inputs of the revision that it returned to.
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

// inputsOf returns the observations that a revision used.
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

// newest returns the observations of the newest revision that used an observed instance; nil if there is none.
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

// observation returns the cause of an observed instance.
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

// Planned has the facts about planned changes.
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
			return out, nil, nil, nil // a deletion waits for its dependents, not for its inputs
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
