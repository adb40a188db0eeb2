package carry

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// refreshed brings the record of an instance up to date that its plugin has found as it was to be applied. Of one that
// differs nothing is known but that, so nothing is written: an operation that did not end stays open, for the next apply.
func (a *applying) refreshed(in *look.Finding, c *plan.Change, outputs cty.Value) error {
	rec, ok := a.records.Record(c.Address)
	if !ok || !c.AsIs || !outputs.IsWhollyKnown() || record.MakingFirst(a.records.Snapshot(), c.Address) != nil {
		return nil
	}
	var err error
	if in.Config, err = a.planner.AsApplied(in, rec); err != nil {
		return err
	}
	if rec.Status == state.StatusPartial {
		return a.whole(in, c, outputs)
	}
	if a.cut.Find(c.Address) != nil {
		return nil // it was to be deleted, and it is not known whether that goes on
	}
	now := *rec
	if now.Outputs, err = json.Marshal(c.After); err != nil || bytes.Equal(types.CompactJSON(now.Outputs), types.CompactJSON(rec.Outputs)) {
		return errors.Join(err, a.keep(in, c, rec))
	}
	now.Fingerprints = a.input.Fingerprints.Arguments(in.Config)
	return a.commit(state.Batch{Put: []state.Record{now}})
}
