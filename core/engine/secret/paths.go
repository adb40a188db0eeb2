package secret

import (
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/deep"
	"github.com/davit-sh/davit/core/functions"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Paths returns where a configuration is sensitive, for its plugin. Of a text that jsonencode or yamlencode made it says which of the
// encoded values are. It returns nil if nothing is.
func Paths(config cty.Value) []*pluginv1.SensitivePath {
	if config == cty.NilVal || !deep.Marked(config) {
		return nil
	}
	var list []*pluginv1.SensitivePath
	_ = cty.Walk(config, func(p cty.Path, v cty.Value) (bool, error) {
		if !v.IsMarked() {
			return true, nil
		}
		inside, known := functions.SensitiveInside(v)
		if !known {
			inside = []cty.Path{nil}
		}
		for _, rest := range inside {
			list = append(list, &pluginv1.SensitivePath{Steps: append(steps(p), steps(rest)...)})
		}
		return false, nil
	})
	return list
}

func steps(p cty.Path) []*pluginv1.PathStep {
	var list []*pluginv1.PathStep
	for _, s := range p {
		switch s := s.(type) {
		case cty.GetAttrStep:
			list = append(list, &pluginv1.PathStep{Step: &pluginv1.PathStep_Attribute{Attribute: s.Name}})
		case cty.IndexStep:
			switch {
			case s.Key.Type() == cty.String && s.Key.IsKnown():
				list = append(list, &pluginv1.PathStep{Step: &pluginv1.PathStep_Key{Key: s.Key.AsString()}})
			case s.Key.Type() == cty.Number && s.Key.IsKnown():
				i, _ := s.Key.AsBigFloat().Int64()
				list = append(list, &pluginv1.PathStep{Step: &pluginv1.PathStep_Index{Index: i}})
			default:
				return list // an element of a set: the whole set counts
			}
		}
	}
	return list
}
