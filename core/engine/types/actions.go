package types

import (
	"fmt"

	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Actions are the actions of the protocol in the words of a plan.
var Actions = map[pluginv1.Action]plan.Action{
	pluginv1.Action_ACTION_NONE: plan.None, pluginv1.Action_ACTION_CREATE: plan.Create,
	pluginv1.Action_ACTION_UPDATE: plan.Update, pluginv1.Action_ACTION_REPLACE: plan.Replace,
	pluginv1.Action_ACTION_DELETE: plan.Delete, pluginv1.Action_ACTION_BUILD: plan.Build,
	pluginv1.Action_ACTION_ADOPT: plan.Adopt, pluginv1.Action_ACTION_FORGET: plan.Forget,
}

// ProtoAction returns an action of a plan as the protocol has it.
func ProtoAction(a plan.Action) pluginv1.Action {
	for p, x := range Actions {
		if x == a {
			return p
		}
	}
	return pluginv1.Action_ACTION_UNSPECIFIED
}

// Causes returns a plugin's causes as those of a plan. A word that is not in the closed list is a defect of the plugin.
func Causes(words []string) ([]plan.Cause, error) {
	if len(words) == 0 {
		return nil, nil
	}
	list := make([]plan.Cause, len(words))
	for i, w := range words {
		if list[i] = plan.Cause(w); !list[i].Valid() {
			return nil, fmt.Errorf("the plugin answered with the cause %q, which does not exist: this is a defect in the plugin", w)
		}
	}
	return list, nil
}
