// Package why explains how an instance came to be what it is: what was done, when, by whom and for what reason, and
// the same of everything that it was made from, back to the commit. The explanation is data; printing it is a view's job.
package why

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/davit-sh/davit/core/addr"
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
	Items    []plan.Item      `json:"items,omitempty"`    // what changed; of a source: the commits
	Outputs  *plan.Value      `json:"outputs,omitempty"`  // what it gives to others
	Rejected []plan.Rejection `json:"rejected,omitempty"` // of a policy
	Hold     *state.Hold      `json:"hold,omitempty"`
	Note     string           `json:"note,omitempty"` // what is not known
	From     []*Cause         `json:"from,omitempty"`
	Again    bool             `json:"again,omitempty"` // it is explained further up
}

// Facts are where explanations come from.
type Facts interface {
	// Cause returns what is known of an instance without what it was made from, and the addresses of that. nil: nothing is.
	Cause(address string) (c *Cause, from []string, err error)
}

// Explain explains an instance.
func Explain(f Facts, address string) (*Cause, error) {
	c, err := explain(f, address, map[string]bool{})
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, fmt.Errorf("nothing is known of %s", address)
	}
	return c, nil
}

func explain(f Facts, address string, seen map[string]bool) (*Cause, error) {
	c, from, err := f.Cause(address)
	if err != nil || c == nil {
		return c, err
	}
	if seen[address] {
		return &Cause{Address: c.Address, Kind: c.Kind, Again: true}, nil
	}
	seen[address] = true
	for _, a := range from {
		up, err := explain(f, a, seen)
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
	// History returns the revisions of an instance, newest first.
	History func(address string) ([]state.Revision, error)

	inputs map[string]plan.Observation // what the revisions met so far were made from
}

// Cause implements Facts.
func (a *Applied) Cause(address string) (*Cause, []string, error) {
	i, err := addr.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	if i.Kind != "build" && i.Kind != "application" {
		return a.observed(address, i.Kind)
	}
	list, err := a.History(address)
	if err != nil {
		return nil, nil, err
	}
	rec, recorded := a.Snapshot.Records[address]
	if len(list) == 0 {
		if !recorded {
			return nil, nil, nil
		}
		return &Cause{Address: address, Kind: rec.Kind, Outputs: value(rec.Outputs), Hold: rec.Hold,
			Note: "state has no history of it: it was applied by an earlier davit"}, rec.DependsOn, nil
	}
	r := list[0]
	if err := a.remember(r); err != nil {
		return nil, nil, fmt.Errorf("revision %d of %s: %w", r.Number, address, err)
	}
	c := &Cause{
		Address: address, Kind: i.Kind, Action: r.Action, Revision: r.Number, When: &r.At, Who: r.Who, Reasons: r.Reasons,
		Outputs: value(r.Record.Outputs), Hold: rec.Hold,
	}
	if len(r.Items) > 0 {
		if err := json.Unmarshal(r.Items, &c.Items); err != nil {
			return nil, nil, fmt.Errorf("revision %d of %s: %w", r.Number, address, err)
		}
	}
	return c, r.From, nil
}

// remember keeps the observations of a revision: what depends on it is explained first, so the newest one stays.
func (a *Applied) remember(r state.Revision) error {
	if len(r.Inputs) == 0 {
		return nil
	}
	var list []plan.Observation
	if err := json.Unmarshal(r.Inputs, &list); err != nil {
		return err
	}
	if a.inputs == nil {
		a.inputs = map[string]plan.Observation{}
	}
	for _, o := range list {
		if _, there := a.inputs[o.Address]; !there {
			a.inputs[o.Address] = o
		}
	}
	return nil
}

func (a *Applied) observed(address, kind string) (*Cause, []string, error) {
	o, ok := a.inputs[address]
	if !ok {
		if err := a.rememberUsers(address); err != nil {
			return nil, nil, err
		}
		o, ok = a.inputs[address]
	}
	if ok {
		return seen(&o), o.DependsOn, nil
	}
	rec, ok := a.Snapshot.Records[address]
	if !ok {
		return nil, nil, nil
	}
	return &Cause{Address: address, Kind: kind, Outputs: value(rec.Outputs), Note: "state has no history of what was made from it"}, nil, nil
}

// rememberUsers looks for the newest revision that was made from an observed instance.
func (a *Applied) rememberUsers(address string) error {
	all, err := a.History("")
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(x, y state.Revision) int { return y.At.Compare(x.At) })
	for _, r := range all {
		var list []plan.Observation
		if json.Unmarshal(r.Inputs, &list) == nil && slices.ContainsFunc(list, func(o plan.Observation) bool { return o.Address == address }) {
			return a.remember(r)
		}
	}
	return nil
}

// seen is what an observation tells.
func seen(o *plan.Observation) *Cause {
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
func (p Planned) Cause(address string) (*Cause, []string, error) {
	for i := range p.Plan.Changes {
		c := &p.Plan.Changes[i]
		if c.Address == address {
			out := &Cause{Address: address, Kind: c.Kind, Action: string(c.Action), Reasons: c.Reasons, Items: c.Items, Outputs: c.After}
			if c.Hold != nil {
				out.Hold = &state.Hold{Revision: c.Hold.Revision, Who: c.Hold.Who, Reason: c.Hold.Reason}
			}
			return out, c.DependsOn, nil
		}
	}
	for i := range p.Plan.Observations {
		if o := &p.Plan.Observations[i]; o.Address == address {
			return seen(o), o.DependsOn, nil
		}
	}
	return nil, nil, nil
}
