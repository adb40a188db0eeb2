package look

import (
	"bytes"

	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/state"
)

// goesOn tells whether a replacement that was cut off while it made the new one is still to be done: its block has not gone back to what
// the old one is.
func (r *Planner) goesOn(in *Finding, rec *state.Record) bool {
	op := record.MakingFirst(r.Records.Snapshot(), rec.Address)
	if op == nil {
		return false
	}
	now, err := types.Encode(in.Node.Type.PluginConfig(in.Config))
	return err != nil || bytes.Equal(types.CompactJSON(now), types.CompactJSON(op.Config)) || !bytes.Equal(types.CompactJSON(now), types.CompactJSON(rec.Config))
}
