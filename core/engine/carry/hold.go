package carry

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/key"
)

// rollbackOf is the rollback that a plan is, nil if it is none.
func rollbackOf(p *plan.Plan) *input.Rollback {
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Address == p.Rollback && c.Hold != nil {
			return &input.Rollback{Address: c.Address, Revision: c.Hold.Revision, Who: c.Hold.Who, Reason: c.Hold.Reason}
		}
	}
	return nil
}

// keep writes the record of an instance again that its plugin has just found to be as it should: when it is to be held from now on, when
// the plan says that the record is out of date, or when its fingerprints were made with another key than that of now.
func (a *applying) keep(in *look.Finding, c *plan.Change, rec *state.Record) error {
	anew := c.Holds() || len(c.Record) > 0
	now := a.input.Fingerprints.Arguments(in.Config)
	for path, before := range rec.Fingerprints {
		after, there := now[path]
		anew = anew || there && !key.Same(before, after)
	}
	if !anew {
		return nil
	}
	put := *rec
	put.Fingerprints = now
	if c.Holds() {
		put.Hold = a.hold(c)
	}
	b := state.Batch{}
	if len(c.Record) > 0 {
		var err error
		if put.Config, err = types.Encode(in.Node.Type.PluginConfig(in.Config)); err != nil {
			return err
		}
		if slices.Contains(c.Record, "outputs") {
			if put.Outputs, err = json.Marshal(c.After); err != nil {
				return err
			}
		}
		put.DependsOn, put.Updated = a.tree.ManagedUpstream(in.Instance), time.Now().UTC()
		if slices.Contains(c.Record, "claims") {
			put.Claims = c.Claims
		}
		if slices.Contains(c.Record, "triggers") {
			if put.Triggers, err = a.triggers(in); err != nil {
				return err
			}
		}
		if slices.Contains(c.Record, "arguments") || slices.Contains(c.Record, "outputs") { // the history shows what runs
			did := *c
			did.Action, did.Reasons = plan.Adopt, []string{"only its record was out of date: " + strings.Join(c.Record, ", ")}
			b.History = []state.Revision{a.newRevision(&did, in, &put, "state")}
		}
	}
	b.Put = []state.Record{put}
	if err := a.commit(b); err != nil {
		return err
	}
	a.records.Put(&put)
	return nil
}
