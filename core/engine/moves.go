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

// around calls visit for the root module and for each module instance on the way to m that the stack still calls,
// from the outside to the inside.
func (e *Engine) around(m addr.Module, visit func(at addr.Module, declares *config.Module)) {
	at, module := addr.Module(""), e.Stack.Module
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

// within is a statement's place of a module instance, seen from the root.
func within(at addr.Module, p addr.Place) addr.Place {
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

// anyModule tells whether something holds for the stack or for a module that it calls, directly or not.
func anyModule(m *config.Module, holds func(*config.Module) bool) bool {
	if holds(m) {
		return true
	}
	for _, call := range m.Calls {
		if call.Module != nil && anyModule(call.Module, holds) {
			return true
		}
	}
	return false
}

// mover follows moved blocks.
type mover struct {
	*run
	in map[addr.Module][]movement // what is said in a module instance and in those around it
}

// movement is a moved block of a module instance, its places seen from the root.
type movement struct {
	from, to addr.Place
	block    *config.Moved
}

// movements are what is said about what is in a module instance: what is said outside first.
func (m *mover) movements(at addr.Module) []movement {
	list, known := m.in[at]
	if known {
		return list
	}
	m.around(at, func(outer addr.Module, declares *config.Module) {
		for _, b := range declares.Moved {
			list = append(list, movement{from: within(outer, b.From), to: within(outer, b.To), block: b})
		}
	})
	m.in[at] = list
	return list
}

// follow takes an instance where moved blocks say, one after the other. Each move may bring it into another module, in
// which other blocks speak of it.
func (m *mover) follow(i addr.Instance) (addr.Instance, *hcl.Diagnostic) {
	been := map[addr.Place]bool{}
	for {
		to, by := m.next(i)
		if by == nil {
			return i, nil
		}
		if been[by.from] {
			return i, diag.Errorf(by.block.Range, "Moves in a circle", "The moved blocks lead %s round and round. Remove one of them, so that the others end at what is declared.", i)
		}
		been[by.from] = true
		i = to
	}
}

func (m *mover) next(i addr.Instance) (addr.Instance, *movement) {
	list := m.movements(i.Module)
	for n := range list {
		if to, ok := addr.Move(list[n].from, list[n].to, i); ok && to != i {
			return to, &list[n]
		}
	}
	return i, nil
}

// move gives records the addresses that moved blocks say. The snapshot is changed, not what it was made of.
func (r *run) move() hcl.Diagnostics {
	m := &mover{run: r, in: map[addr.Module][]movement{}}
	var diags hcl.Diagnostics
	if r.damaged, diags = m.damaged(); diags.HasErrors() || !anyModule(r.Stack.Module, func(m *config.Module) bool { return len(m.Moved) > 0 }) {
		return diags
	}
	now, origin := map[string]string{}, map[string]string{} // by the address in state, and by the new one
	for _, address := range slices.Sorted(maps.Keys(r.snapshot.Records)) {
		i, err := addr.Parse(address)
		if err != nil {
			continue
		}
		target, circle := m.follow(i)
		if circle != nil {
			return hcl.Diagnostics{circle}
		}
		to := target.String()
		if to == address {
			continue
		}
		if other := origin[to]; other != "" {
			diags = append(diags, diag.Plain("Two moves to one place",
				fmt.Sprintf("The moved blocks say that both %s and %s are %s now. Remove one of the blocks.", other, address, to)))
			continue
		}
		now[address], origin[to] = to, address
	}
	for _, from := range slices.Sorted(maps.Keys(now)) {
		to := now[from]
		if r.damaged[to] != "" {
			diags = append(diags, diag.Plain("A move to a place that is damaged",
				fmt.Sprintf("%s is to become %s, whose record in state cannot be read. %s", from, to, repairs(r.damaged[to]))))
		}
		if _, taken := r.snapshot.Records[to]; taken && now[to] == "" {
			diags = append(diags, diag.Plain("A move to a place that is taken",
				fmt.Sprintf("State has records of both %s and %s. Remove the moved block, or one of the two with davit state rm.", from, to)))
			continue
		}
		r.moves = append(r.moves, plan.Move{From: from, To: to})
	}
	if len(r.moves) > 0 && !diags.HasErrors() {
		r.movedFrom = origin
		_, r.snapshot = state.Rename(r.snapshot, stateMoves(r.moves))
	}
	return diags
}

// movedAndStill finds instances that were moved away and that the stack still has: which of both the record belongs to,
// nobody could tell.
func (r *run) movedAndStill() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, m := range r.moves {
		if i, err := addr.Parse(m.From); err == nil && r.instance(i) != nil {
			diags = append(diags, diag.Plain("Moved, and still there",
				fmt.Sprintf("A moved block says that %s is %s now, and both are declared. Remove the moved block, or the old one of the two.", m.From, m.To)))
		}
	}
	return diags
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
	found := false
	r.around(i.Module, func(at addr.Module, m *config.Module) {
		for _, removed := range m.Removed {
			found = found || (!removed.Destroy && within(at, removed.From).Matches(i))
		}
	})
	return found
}
