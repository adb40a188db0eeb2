package secret

import (
	"encoding/json"
	"fmt"

	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// MaskAll returns texts without secrets.
func (s *Secrets) MaskAll(list []string) []string {
	out := make([]string, 0, len(list))
	for _, text := range list {
		out = append(out, s.Mask(text))
	}
	return out
}

// Items turns a plugin's items into the plan's. Secrets that a plugin let through are masked.
func (s *Secrets) Items(list []*pluginv1.Item) ([]plan.Item, error) {
	out := make([]plan.Item, 0, len(list))
	for _, i := range list {
		action, ok := types.Actions[i.GetAction()]
		if !ok {
			return nil, fmt.Errorf("the plugin answered with an item %q whose action is %d, which does not exist", i.GetKey(), i.GetAction())
		}
		item := plan.Item{
			Key: s.Mask(i.GetKey()), Kind: s.Mask(i.GetKind()), Name: s.Mask(i.GetName()), Action: action, Note: s.Mask(i.GetNote()),
			Claim: s.Mask(i.GetClaim()),
		}
		var err error
		if item.Causes, err = types.Causes(i.GetCauses()); err != nil {
			return nil, fmt.Errorf("item %q: %w", i.GetKey(), err)
		}
		for _, f := range i.GetFields() {
			field, err := s.field(f)
			if err != nil {
				return nil, fmt.Errorf("item %q: %w", i.GetKey(), err)
			}
			item.Fields = append(item.Fields, field)
		}
		out = append(out, item)
	}
	return out, nil
}

func (s *Secrets) field(f *pluginv1.Field) (plan.Field, error) {
	for _, text := range []string{f.GetBefore(), f.GetAfter()} {
		if text != "" && !json.Valid([]byte(text)) {
			return plan.Field{}, fmt.Errorf("the plugin answered with a field %q whose value is not JSON", f.GetPath())
		}
	}
	before, secret1 := s.maskJSON(f.GetBefore())
	after, secret2 := s.maskJSON(f.GetAfter())
	return plan.Field{
		Path: s.Mask(f.GetPath()), Before: before, After: after, Unknown: f.GetUnknown(), Prefix: s.Mask(f.GetPrefix()),
		Sensitive: f.GetSensitive() || secret1 || secret2,
	}, nil
}
