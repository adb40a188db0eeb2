package record

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// mover follows moved blocks.
type mover struct {
	input *input.Input
	state *state.Snapshot
	in    map[addr.Module][]movement // what is said in a module instance and in those around it
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
	m.input.Around(at, func(outer addr.Module, declares *config.Module) {
		for _, b := range declares.Moved {
			list = append(list, movement{from: input.Within(outer, b.From), to: input.Within(outer, b.To), block: b})
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
			return i, diag.Errorf(by.block.Range, "Circular moves", "The moved blocks of %s form a circle. Remove one of them.", i)
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

// Moved is what moved blocks make of a state.
type Moved struct {
	Snapshot *state.Snapshot // with the new addresses
	List     []plan.Move
	Origin   map[string]string // the address in state, by the new one
	Damaged  map[string]string // of instances whose records cannot be read: address -> what it is in state
}

// Move gives records the addresses that moved blocks say. The given snapshot stays as it is.
func Move(in *input.Input, s *state.Snapshot) (Moved, hcl.Diagnostics) {
	m := &mover{input: in, state: s, in: map[addr.Module][]movement{}}
	out := Moved{Snapshot: s}
	var diags hcl.Diagnostics
	if out.Damaged, diags = m.damaged(); diags.HasErrors() {
		return out, diags
	}
	written := input.AnyModule(in.Stack.Module, func(m *config.Module) bool { return len(m.Moved) > 0 })
	counted := input.AnyModule(in.Stack.Module, hasCount)
	now, origin := map[string]string{}, map[string]string{} // by the address in state, and by the new one
	for _, address := range slices.Sorted(maps.Keys(s.Records)) {
		if !written && !counted && !strings.Contains(address, "[0]") {
			continue // most stacks have nothing that could move
		}
		i, err := addr.Parse(address)
		if err != nil {
			continue
		}
		target, circle := m.follow(i)
		if circle != nil {
			return out, hcl.Diagnostics{circle}
		}
		if implied := Implied(in.Stack.Module, target); implied != target && s.Records[implied.String()].Address == "" && origin[implied.String()] == "" {
			target = implied
		}
		to := target.String()
		if to == address {
			continue
		}
		if other := origin[to]; other != "" {
			diags = append(diags, diag.Plain("Two moves to one address",
				fmt.Sprintf("Moved blocks move both %s and %s to %s. Remove one of the blocks.", other, address, to)))
			continue
		}
		now[address], origin[to] = to, address
	}
	for _, from := range slices.Sorted(maps.Keys(now)) {
		to := now[from]
		if out.Damaged[to] != "" {
			diags = append(diags, diag.Plain("Move to a damaged record",
				fmt.Sprintf("%s moves to %s, whose record in the state cannot be read. %s", from, to, repairs(out.Damaged[to]))))
		}
		if _, taken := s.Records[to]; taken && now[to] == "" {
			diags = append(diags, diag.Plain("Move to an existing record",
				fmt.Sprintf("The state has records of both %s and %s. Remove the moved block, or one of the records with davit state rm.", from, to)))
			continue
		}
		out.List = append(out.List, plan.Move{From: from, To: to})
	}
	if len(out.List) > 0 && !diags.HasErrors() {
		out.Origin = origin
		_, out.Snapshot = state.Rename(s, stateMoves(out.List))
	}
	return out, diags
}

// stateMoves are the moves of a plan in the form of state.
func stateMoves(moves []plan.Move) []state.Move {
	list := make([]state.Move, len(moves))
	for i, m := range moves {
		list[i] = state.Move(m)
	}
	return list
}

// Implied returns the address that an instance has now because count was added to its block or to a module around it, or removed from there:
// the instance without a key is the one with the key 0.
func Implied(stack *config.Module, i addr.Instance) addr.Instance {
	steps, err := i.Module.Steps()
	if err != nil {
		return i
	}
	m, path := stack, addr.Module("")
	for _, step := range steps {
		call := m.Calls[step.Name]
		if call == nil || call.Module == nil {
			return i
		}
		path, m = path.Child(step.Name, impliedKey(step.Key, call.ForEach, call.Count)), call.Module
	}
	out := addr.Instance{Node: i.In(path), Key: i.Key}
	if b := m.Blocks[i.In("")]; b != nil {
		out.Key = impliedKey(i.Key, b.ForEach, b.Count)
	}
	return out
}

func impliedKey(k addr.Key, forEach, count hcl.Expression) addr.Key {
	switch {
	case count != nil && k.IsNone():
		return addr.IntKey(0)
	case forEach == nil && count == nil && k == addr.IntKey(0):
		return addr.Key{}
	}
	return k
}

// hasCount tells whether a block or a call of a module has count.
func hasCount(m *config.Module) bool {
	for _, b := range m.Blocks {
		if b.Count != nil {
			return true
		}
	}
	for _, c := range m.Calls {
		if c.Count != nil {
			return true
		}
	}
	return false
}
