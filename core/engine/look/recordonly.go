package look

import (
	"bytes"
	"encoding/json"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/engine/trigger"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// recordOnly returns what of a record is out of date although its plugin has nothing to do: "arguments", "outputs", "dependencies",
// "claims" and "triggers". An apply brings it up to date. req is what the plugin was asked, res its answer: both may be nil when it was not asked.
func (r *Planner) recordOnly(in *Finding, c *plan.Change, rec *state.Record, trig trigger.Fired, req *pluginv1.PlanRequest, res *pluginv1.PlanResult) []string {
	if c.Action != plan.None || c.Deferred || rec == nil || rec.Status != state.StatusOK {
		return nil
	}
	var list []string
	if req != nil && !sameArguments(in, rec, req) {
		list = append(list, "arguments")
	}
	if req != nil && res != nil && !sameOutputs(c, rec, req.GetPrior().GetOutputs(), res.GetOutputs()) {
		list = append(list, "outputs")
	}
	if len(in.Deps)+len(rec.DependsOn) > 0 && !slices.Equal(r.Tree.ManagedUpstream(in.Instance), sorted(rec.DependsOn)) {
		list = append(list, "dependencies")
	}
	if res != nil && !slices.Equal(c.Claims, sorted(rec.Claims)) {
		list = append(list, "claims")
	}
	if trig.Outdated {
		list = append(list, "triggers")
	}
	return list
}

// sameArguments tells whether a record has the arguments of now. Both are compared as the plugin gets them, which is cheap, and as they
// would be stored if that differs: sensitive ones are in neither.
func sameArguments(in *Finding, rec *state.Record, req *pluginv1.PlanRequest) bool {
	if proto.Equal(req.GetConfig(), req.GetPrior().GetConfig()) || !deep.Known(deep.Unmarked(in.Config)) {
		return true
	}
	now, err := types.Encode(in.Node.Type.PluginConfig(in.Config))
	return err != nil || bytes.Equal(types.CompactJSON(now), types.CompactJSON(rec.Config))
}

// sameOutputs tells whether a record has the outputs of now.
func sameOutputs(c *plan.Change, rec *state.Record, before, now *pluginv1.Value) bool {
	if proto.Equal(before, now) || c.After == nil || !c.After.IsKnown() {
		return true
	}
	encoded, err := json.Marshal(c.After)
	return err != nil || bytes.Equal(types.CompactJSON(encoded), types.CompactJSON(rec.Outputs))
}

func sorted(list []string) []string {
	if slices.IsSorted(list) {
		return list
	}
	return slices.Sorted(slices.Values(list))
}
