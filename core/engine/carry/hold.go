package carry

import (
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/look"
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

// keep writes the record of an instance again that its plugin has just found to be as it should: when it is to be held from
// now on, or the key that its fingerprints were made with is not the one of now.
func (a *applying) keep(in *look.Finding, c *plan.Change, rec *state.Record) error {
	anew := c.Holds()
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
	return a.commit(state.Batch{Put: []state.Record{put}})
}
