package carry

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// What a revision keeps of lists that may be long: the first ones tell the story.
const (
	keepCommits    = 50
	keepRejections = 50
	keepValue      = 2048 // bytes of one side of a changed argument: the record has all of it
)

// newRevision is the entry of an instance's history for what was just applied.
func (a *applying) newRevision(c *plan.Change, in *look.Finding, rec *state.Record, operation string) state.Revision {
	rev := state.Revision{
		Operation: operation, Action: string(c.Action), Plan: a.plan.Digest, Who: a.opts.Who, At: time.Now().UTC(),
		Reasons: c.Reasons, Causes: words(c.Causes), Record: *rec, From: world.Addresses(in.Deps),
	}
	rev.Approval, rev.Overrides = a.sanctions(c.Address)
	if len(c.Items) > 0 {
		rev.Items, _ = json.Marshal(c.Items) // plain data
	}
	if fields := c.Changed(); len(fields) > 0 {
		rev.Arguments, _ = json.Marshal(shortFields(fields))
	}
	if c.Hold != nil { // it is made from what that revision was made from
		if held, err := a.input.Revision(context.Background(), c.Address, c.Hold.Revision); err == nil {
			rev.From, rev.Inputs = held.From, held.Inputs
			return rev
		}
	}
	if inputs := a.inputs(in); len(inputs) > 0 {
		rev.Inputs, _ = json.Marshal(inputs)
	}
	return rev
}

// sanctions returns who has let a change of an instance pass the gates of the stack, and which of its gates were set aside.
func (a *applying) sanctions(address string) (*state.Approval, []state.Override) {
	var approval *state.Approval
	for _, given := range a.plan.Approvals {
		if given.Address == address {
			approval = &state.Approval{Who: given.Who, When: given.When, Where: given.Where, Digest: given.Digest}
		}
	}
	at, err := addr.Parse(address)
	var overrides []state.Override
	for _, o := range a.plan.Overrides {
		if err == nil && slices.ContainsFunc(a.input.Stack.Gates, func(g *config.Gate) bool { return g.Name == o.Gate && g.Matches(at) }) {
			overrides = append(overrides, state.Override{Gate: o.Gate, Who: o.Who, When: o.When, Where: o.Where})
		}
	}
	return approval, overrides
}

// shortFields are fields without their long values.
func shortFields(list []plan.Field) []plan.Field {
	out := slices.Clone(list)
	for i := range out {
		for _, side := range []*json.RawMessage{&out[i].Before, &out[i].After} {
			if n := len(*side); n > keepValue {
				*side, _ = json.Marshal(fmt.Sprintf("(%d bytes)", n))
			}
		}
	}
	return out
}

// inputs are the observations that an instance was made from, without their long lists.
func (a *applying) inputs(in *look.Finding) []plan.Observation {
	var list []plan.Observation
	a.tree.Upstream(in.Instance, func(i *world.Instance) {
		up := a.found.About(i)
		if up.Observation == nil || up.Observation.Outputs.Value == nil {
			return
		}
		o := *up.Observation
		o.Private = nil
		o.Items = o.Items[:min(len(o.Items), keepCommits)]
		if n := len(o.Rejected) - keepRejections; n > 0 {
			o.Rejected = append(o.Rejected[:keepRejections:keepRejections], plan.Rejection{Reason: fmt.Sprintf("and %d more", n)})
		}
		o.Outputs, o.Before = withoutLong(o.Outputs, o.Kind), nil
		list = append(list, o)
	})
	return list
}

// withoutLong returns outputs without the lists that grow with the registry.
func withoutLong(v plan.Value, kind string) plan.Value {
	row, ok := kinds.Find(kind)
	if !ok || row.Long == "" {
		return v
	}
	drop := row.Long
	c, err := v.Cty()
	if err != nil || c.IsNull() || !c.Type().IsObjectType() || !c.Type().HasAttribute(drop) {
		return v
	}
	attrs := c.AsValueMap()
	delete(attrs, drop)
	out, err := plan.NewValue(cty.ObjectVal(attrs))
	if err != nil {
		return v
	}
	return *out
}

// holdFirst is the record of an instance that a rollback is about to hold: it is held before the work begins, so that a
// run that is cut off in it is gone on with towards that revision, and not away from it.
func (a *applying) holdFirst(c *plan.Change) []state.Record {
	rec, ok := a.records.Record(c.Address)
	hold := a.hold(c)
	if !ok || hold == nil || rec.Hold == hold {
		return nil
	}
	held := *rec
	held.Hold = hold
	return []state.Record{held}
}

// hold is the hold that a record gets from its change.
func (a *applying) hold(c *plan.Change) *state.Hold {
	if c.Hold == nil {
		return nil
	}
	if rec, ok := a.records.Record(c.Address); ok && rec.Hold != nil && !c.Holds() {
		return rec.Hold
	}
	since := c.Hold.Since
	if since.IsZero() {
		since = time.Now().UTC()
	}
	return &state.Hold{Revision: c.Hold.Revision, Who: c.Hold.Who, Reason: c.Hold.Reason, Since: since}
}

// words returns causes in the form of state.
func words(list []plan.Cause) []string {
	var out []string
	for _, c := range list {
		out = append(out, string(c))
	}
	return out
}
