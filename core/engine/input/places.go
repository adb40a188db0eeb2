package input

import (
	"context"
	"encoding/json"
	"fmt"

	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Declares tells whether the stack has a block, or a module, of that name. Keys are not looked at.
func (i *Input) Declares(p addr.Place) bool {
	m := i.Stack.Module
	steps, err := p.Module.Steps()
	if err != nil {
		return false
	}
	for _, s := range steps {
		call := m.Calls[s.Name]
		if call == nil || call.Module == nil {
			return false
		}
		m = call.Module
	}
	return p.IsModule() || m.Blocks[p.In("")] != nil
}

// SuggestPlace returns a sentence with the nearest name that the stack has, "" if none is near.
func (i *Input) SuggestPlace(p addr.Place) string {
	var all []string
	for _, n := range i.Stack.Order {
		all = append(all, n.String())
	}
	for name := range i.Stack.Calls {
		all = append(all, "module."+name)
	}
	return diag.DidYouMean(p.String(), all)
}

// Around calls visit for the root module and for each module instance on the way to m that the stack still calls,
// from the outside to the inside.
func (i *Input) Around(m addr.Module, visit func(at addr.Module, declares *config.Module)) {
	at, module := addr.Module(""), i.Stack.Module
	visit(at, module)
	steps, err := m.Steps()
	if err != nil {
		return
	}
	for _, s := range steps {
		call := module.Calls[s.Name]
		if call == nil || call.Module == nil {
			return
		}
		at, module = at.Child(s.Name, s.Key), call.Module
		visit(at, module)
	}
}

// Within is a statement's place of a module instance, seen from the root.
func Within(at addr.Module, p addr.Place) addr.Place {
	steps, err := p.Module.Steps()
	if err != nil || at == "" {
		return p
	}
	p.Module = at
	for _, s := range steps {
		p.Module = p.Module.Child(s.Name, s.Key)
	}
	return p
}

// AnyModule tells whether something holds for the stack or for a module that it calls, directly or not.
func AnyModule(m *config.Module, holds func(*config.Module) bool) bool {
	if holds(m) {
		return true
	}
	for _, call := range m.Calls {
		if call.Module != nil && AnyModule(call.Module, holds) {
			return true
		}
	}
	return false
}

// Forgets tells whether a removed block says that an instance is to be left alone.
func (i *Input) Forgets(in addr.Instance) bool {
	found := false
	i.Around(in.Module, func(at addr.Module, m *config.Module) {
		for _, removed := range m.Removed {
			found = found || (!removed.Destroy && Within(at, removed.From).Matches(in))
		}
	})
	return found
}

// Declared finds the block of a node in the configuration, nil if there is none.
func (i *Input) Declared(n addr.Node) *config.Block {
	m := i.Stack.Module
	steps, err := n.Module.Steps()
	if err != nil {
		return nil
	}
	for _, s := range steps {
		call := m.Calls[s.Name]
		if call == nil || call.Module == nil {
			return nil
		}
		m = call.Module
	}
	return m.Blocks[n.In("")]
}

// Revision returns one of the revisions of an instance.
func (i *Input) Revision(ctx context.Context, address string, number uint64) (*state.Revision, error) {
	if i.History == nil {
		return nil, fmt.Errorf("the history is not available")
	}
	list, err := i.History(ctx, address)
	if err != nil {
		return nil, err
	}
	for n := range list {
		if list[n].Number == number {
			return &list[n], nil
		}
	}
	return nil, fmt.Errorf("the state has no revision %d of %s: see davit history %s", number, address, address)
}

// Plugin is a plugin as a plan names it.
func (i *Input) Plugin(name string) plan.Plugin {
	return plan.Plugin{Name: name, Version: i.Types.Version(name), Checksum: i.Checksums[name]}
}

// PlannedVariables are the values of variables as a plan has them, and fingerprints of those that are sensitive.
func (i *Input) PlannedVariables() (values map[string]json.RawMessage, secrets map[string]string) {
	values, secrets = map[string]json.RawMessage{}, map[string]string{}
	for name, v := range i.Variables {
		switch {
		case !v.IsWhollyKnown():
		case v.ContainsMarked():
			plain, _ := v.UnmarkDeep()
			secrets[name] = i.Fingerprints.Value("var."+name, plain)
		default:
			if b, err := ctyjson.Marshal(v, v.Type()); err == nil {
				values[name] = b
			}
		}
	}
	return values, secrets
}
