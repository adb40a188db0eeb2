package engine

import (
	"encoding/json"
	"fmt"

	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

var actions = map[pluginv1.Action]plan.Action{
	pluginv1.Action_ACTION_NONE: plan.None, pluginv1.Action_ACTION_CREATE: plan.Create,
	pluginv1.Action_ACTION_UPDATE: plan.Update, pluginv1.Action_ACTION_REPLACE: plan.Replace,
	pluginv1.Action_ACTION_DELETE: plan.Delete, pluginv1.Action_ACTION_BUILD: plan.Build,
	pluginv1.Action_ACTION_ADOPT: plan.Adopt,
}

func protoAction(a plan.Action) pluginv1.Action {
	for p, x := range actions {
		if x == a {
			return p
		}
	}
	return pluginv1.Action_ACTION_UNSPECIFIED
}

// texts returns texts without secrets.
func (s *secrets) texts(list []string) []string {
	out := make([]string, 0, len(list))
	for _, text := range list {
		out = append(out, s.mask(text))
	}
	return out
}

// items turns a plugin's items into the plan's. Secrets that a plugin let through are masked.
func (s *secrets) items(list []*pluginv1.Item) ([]plan.Item, error) {
	out := make([]plan.Item, 0, len(list))
	for _, i := range list {
		action, ok := actions[i.GetAction()]
		if !ok {
			return nil, fmt.Errorf("the plugin answered with an item %q whose action is %d, which there is not", i.GetKey(), i.GetAction())
		}
		item := plan.Item{
			Key: s.mask(i.GetKey()), Kind: s.mask(i.GetKind()), Name: s.mask(i.GetName()), Action: action, Note: s.mask(i.GetNote()),
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

func (s *secrets) field(f *pluginv1.Field) (plan.Field, error) {
	for _, text := range []string{f.GetBefore(), f.GetAfter()} {
		if text != "" && !json.Valid([]byte(text)) {
			return plan.Field{}, fmt.Errorf("the plugin answered with a field %q whose value is not JSON", f.GetPath())
		}
	}
	before, secret1 := s.maskJSON(f.GetBefore())
	after, secret2 := s.maskJSON(f.GetAfter())
	return plan.Field{
		Path: s.mask(f.GetPath()), Before: before, After: after, Unknown: f.GetUnknown(), Prefix: s.mask(f.GetPrefix()),
		Sensitive: f.GetSensitive() || secret1 || secret2,
	}, nil
}
