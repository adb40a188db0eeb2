package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// statement is a moved or removed block in a module instance that state knows of.
type statement[T any] struct {
	at addr.Module
	T  T
}

// modulesOf finds the module instances that records are in, each with what its module declares; the root is among them.
func (r *run) modulesOf() map[addr.Module]*config.Module {
	found := map[addr.Module]*config.Module{"": r.Stack.Module}
	for _, address := range slices.AppendSeq(slices.Clone(r.snapshot.Damaged), maps.Keys(r.snapshot.Records)) {
		i, err := addr.Parse(address)
		if err != nil {
			continue
		}
		steps, err := i.Module.Steps()
		if err != nil {
			continue
		}
		at, m := addr.Module(""), r.Stack.Module
		for _, s := range steps {
			call := m.Calls[s.Name]
			if call == nil || call.Module == nil {
				break
			}
			at, m = at.Child(s.Name, s.Key), call.Module
			found[at] = m
		}
	}
	return found
}

// move gives records the addresses that moved blocks say. The snapshot is changed, not what it was made of.
func (r *run) move() hcl.Diagnostics {
	var list []statement[*config.Moved]
	modules := r.modulesOf()
	for _, at := range slices.Sorted(maps.Keys(modules)) {
		for _, m := range modules[at].Moved {
			list = append(list, statement[*config.Moved]{at, m})
		}
	}
	r.damaged = damaged(r.snapshot, list)
	if len(list) == 0 {
		return nil
	}
	var diags hcl.Diagnostics
	now := map[string]string{} // by the address in state
	for _, address := range slices.Sorted(maps.Keys(r.snapshot.Records)) {
		i, err := addr.Parse(address)
		if err != nil {
			continue
		}
		if to := followed(i, list); to != i {
			now[address] = to.String()
		}
	}
	for from, to := range now {
		if r.damaged[to] != "" {
			diags = append(diags, diag.Plain("A move to a place that is damaged",
				fmt.Sprintf("%s is to become %s, whose record in state cannot be read. %s", from, to, repairs(r.damaged[to]))))
		}
		if _, taken := r.snapshot.Records[to]; taken && now[to] == "" {
			diags = append(diags, diag.Plain("A move to a place that is taken",
				fmt.Sprintf("State has records of both %s and %s. Remove the moved block, or one of the two with davit state rm.", from, to)))
			delete(now, from)
		}
	}
	if len(now) == 0 {
		return diags
	}
	for _, from := range slices.Sorted(maps.Keys(now)) {
		r.moves = append(r.moves, plan.Move{From: from, To: now[from]})
	}
	_, r.snapshot = state.Rename(r.snapshot, stateMoves(r.moves))
	return diags
}

// followed applies the moves to an instance until none fits. A circle of moves ends after as many steps as there are moves.
func followed(i addr.Instance, list []statement[*config.Moved]) addr.Instance {
	for range list {
		before := i
		for _, s := range list {
			if to, ok := movedTo(i, s); ok {
				i = to
			}
		}
		if i == before {
			break
		}
	}
	return i
}

// movedTo is where one move takes an instance.
func movedTo(i addr.Instance, s statement[*config.Moved]) (addr.Instance, bool) {
	from, to := within(s.at, s.T.From), within(s.at, s.T.To)
	switch {
	case from.IsModule():
		rest, ok := cutModule(i.Module, from.Module)
		if !ok {
			return i, false
		}
		i.Module = addr.Module(string(to.Module) + rest)
		return i, true
	case i.Node != from.Node:
		return i, false
	case from.AllKeys && to.AllKeys: // the whole block: every instance keeps its key
	case from.AllKeys:
		if !i.Key.IsNone() {
			return i, false
		}
		i.Key = to.Key
	case i.Key != from.Key:
		return i, false
	default:
		i.Key = to.Key
	}
	i.Node = to.Node
	return i, true
}

// cutModule takes the name of a module instance off what is in it. A call without a key means exactly that.
func cutModule(m, prefix addr.Module) (rest string, ok bool) {
	if !prefix.Contains(m) {
		return "", false
	}
	rest = string(m)[len(prefix):]
	return rest, rest == "" || rest[0] == '.'
}

// within is a place of a module, seen from the root.
func within(at addr.Module, p addr.Place) addr.Place {
	steps, err := p.Module.Steps()
	if err != nil {
		return p
	}
	p.Module = at
	for _, s := range steps {
		p.Module = p.Module.Child(s.Name, s.Key)
	}
	return p
}

// stateMoves are the moves of a plan in the form of state.
func stateMoves(moves []plan.Move) []state.Move {
	list := make([]state.Move, len(moves))
	for i, m := range moves {
		list[i] = state.Move(m)
	}
	return list
}

// forgets tells whether a removed block says that an instance is to be left alone.
func (r *run) forgets(i addr.Instance) bool {
	for at, m := range r.modulesOf() {
		for _, removed := range m.Removed {
			if p := within(at, removed.From); !removed.Destroy && p.Matches(i) {
				return true
			}
		}
	}
	return false
}
