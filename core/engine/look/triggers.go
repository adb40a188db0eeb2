package look

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/trigger"
	"github.com/davit-sh/davit/core/plan"
)

// Triggers returns the fingerprints of the values that replace_triggered_by has for an instance, by expression.
func (r *Planner) Triggers(in *Finding) (map[string]string, hcl.Diagnostics) {
	v := trigger.Values{Tree: r.Tree, Files: r.Input.Stack.Files, Records: r.Records, Fingerprints: r.Input.Fingerprints, WillChange: r.willChange}
	return v.Of(in.Instance)
}

// triggersOf compares the values of replace_triggered_by with the record of an instance.
func (r *Planner) triggersOf(in *Finding) (trigger.Fired, hcl.Diagnostics) {
	rec, ok := r.Records.Record(in.Addr.String())
	if !ok || (len(in.Node.Block.Lifecycle.ReplaceTriggeredBy) == 0 && len(rec.Triggers) == 0) {
		return trigger.Fired{}, nil
	}
	now, diags := r.Triggers(in)
	if diags.HasErrors() {
		return trigger.Fired{}, diags
	}
	return trigger.Compare(rec, now), diags
}

// willChange tells whether a plan has an operation for an instance. To adopt it as it is is none.
func (r *Planner) willChange(a addr.Instance) bool {
	up := r.Finding(a)
	if r.Applying || up == nil || up.Change == nil {
		return false
	}
	return up.Change.Deferred || (up.Change.Action != plan.None && up.Change.Action != plan.Adopt)
}
