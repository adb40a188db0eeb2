package look

import (
	"context"
	"slices"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Watched is an instance as its plugin watches it.
type Watched struct {
	Address, Kind, Type string
	Plugin              string
	CanWatch            bool            // false: somebody has to look from time to time
	Config              *pluginv1.Value // wholly known, with its sensitive values; nil without CanWatch
	// Prior is what the plugin compares its first look with: the outputs of the last look, or the record of a managed instance.
	Prior *pluginv1.Record
	// Texts are the known arguments of an observed instance that are texts and not sensitive: among them are the repositories that it reads.
	Texts []string
}

// Watched returns the instances whose world can change without davit, in the order of the configuration: what is observed, and what is
// managed and in state. Policies have no world. What is not known yet, is left alone or cannot be evaluated is left out.
func (r *Planner) Watched(ctx context.Context) []Watched {
	var list []Watched
	r.InOrder(func(in *Finding) {
		k, ok := kinds.Find(in.Addr.Kind)
		if !ok || k.Decides || in.Seen == nil || ctx.Err() != nil {
			return
		}
		w := Watched{Address: in.Addr.String(), Kind: in.Addr.Kind, Type: in.Addr.Type, Plugin: in.Node.Type.Plugin, CanWatch: in.Node.Type.CanWatch}
		if kinds.IsManaged(in.Addr.Kind) {
			if _, recorded := r.Records.Record(w.Address); !recorded {
				return
			}
		}
		w.Texts = texts(in)
		if !w.CanWatch || r.addWatchedValues(ctx, in, &w) {
			list = append(list, w)
		}
	})
	return list
}

// addWatchedValues adds the configuration and what is known of the instance. It returns false when the configuration is not wholly known.
func (r *Planner) addWatchedValues(ctx context.Context, in *Finding, w *Watched) bool {
	scratch := &Finding{Instance: in.Instance} // the instance's own finding is the plan's
	if r.Configure(ctx, scratch).HasErrors() {
		return false
	}
	config := deep.Unmarked(in.Node.Type.PluginConfig(scratch.Config))
	if !config.IsWhollyKnown() {
		return false
	}
	var err error
	if w.Config, err = eval.EncodeValue(config); err != nil {
		return false
	}
	switch {
	case kinds.IsManaged(in.Addr.Kind):
		w.Prior, _, _ = r.Prior(scratch)
	case in.Observation != nil:
		if outputs, ok := types.Whole(&in.Observation.Outputs, in.Node.Type); ok {
			if v, err := eval.EncodeValue(outputs); err == nil {
				w.Prior = &pluginv1.Record{Config: w.Config, Outputs: v}
			}
		}
	}
	return true
}

// texts returns the arguments of an observed instance that are known texts.
func texts(in *Finding) []string {
	if kinds.IsManaged(in.Addr.Kind) || in.Config == cty.NilVal || in.Config.IsNull() || !in.Config.Type().IsObjectType() {
		return nil
	}
	var list []string
	for name := range in.Config.Type().AttributeTypes() {
		v := in.Config.GetAttr(name)
		if v.Type() == cty.String && !v.IsMarked() && v.IsKnown() && !v.IsNull() && v.AsString() != "" {
			list = append(list, v.AsString())
		}
	}
	slices.Sort(list)
	return list
}
