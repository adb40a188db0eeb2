package look

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// recordOnly returns what of a record is out of date although its plugin has nothing to do: "arguments", "outputs", "dependencies" and
// "claims". An apply brings it up to date. req is what the plugin was asked, res its answer: both may be nil when it was not asked.
func (r *Planner) recordOnly(in *Finding, c *plan.Change, rec *state.Record, req *pluginv1.PlanRequest, res *pluginv1.PlanResult) []string {
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

// recordedNeeds returns what the managed records depend on, by address. In a destroy, nothing is evaluated: a record of a block that is
// still declared depends as well on what the block refers to now, as far as its record has nothing of that block.
func (r *Planner) recordedNeeds() map[string][]string {
	records := r.Records.Snapshot().Records
	needs := make(map[string][]string, len(records))
	for address, rec := range records {
		if kinds.IsManaged(rec.Kind) {
			needs[address] = rec.DependsOn
		}
	}
	if r.opts.PlanMode() != plan.ModeDestroy {
		return needs
	}
	static := r.Forms.Static(r.Input.Stack.Module)
	byBlock := map[string][]addr.Instance{}
	for address := range needs {
		if i, err := addr.Parse(address); err == nil {
			byBlock[world.BlockName(i)] = append(byBlock[world.BlockName(i)], i)
		}
	}
	for address, recorded := range maps.Clone(needs) {
		i, err := addr.Parse(address)
		if err != nil || r.Input.Declared(i.Node) == nil {
			continue
		}
		known := map[string]bool{}
		for _, d := range recorded {
			if up, err := addr.Parse(d); err == nil {
				known[world.BlockName(up)] = true
			}
		}
		list := slices.Clone(recorded)
		for _, block := range static.ManagedNeeds(world.BlockName(i)) {
			if !known[block] {
				list = append(list, nearest(i, byBlock[block])...)
			}
		}
		needs[address] = list
	}
	return needs
}

// nearest returns the instances of a block that another instance means: the one with its key, else all.
func nearest(i addr.Instance, list []addr.Instance) []string {
	var all []string
	for _, other := range list {
		if other.Key == i.Key && other.Module == i.Module && !i.Key.IsNone() {
			return []string{other.String()}
		}
		all = append(all, other.String())
	}
	slices.Sort(all)
	return all
}
