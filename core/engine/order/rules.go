package order

import (
	"slices"

	"github.com/davit-sh/davit/core/plan"
)

// replacements are rules 3 and 4.
func (o *ordering) replacements() {
	for _, s := range o.steps {
		mk := o.makes[s.Address]
		switch {
		case s.Do != plan.Remove || mk == nil:
		case s.Old:
			s.after = append(s.after, mk)
			s.after = append(s.after, o.makesOfDependants(s.Address)...)
		default:
			mk.after = append(mk.after, s)
		}
	}
}

// makesOfDependants returns the makes of everything that depends on an address, directly or not.
func (o *ordering) makesOfDependants(address string) []*step {
	var list []*step
	o.reach(address, func(j string) bool {
		if mk := o.makes[j]; mk != nil {
			list = append(list, mk)
		}
		return true
	})
	return list
}

// reach calls visit for what depends on an address, nearest first; it goes on behind those of which visit returns true.
func (o *ordering) reach(address string, visit func(dependant string) bool) {
	seen := map[string]bool{address: true}
	queue := []string{address}
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for _, j := range o.dependants[from] {
			if !seen[j] {
				seen[j] = true
				if visit(j) {
					queue = append(queue, j)
				}
			}
		}
	}
}

// edge says that a step waits for another.
type edge struct{ step, after *step }

// deletesAfterDeletes are the edges of rule 2, through instances that are not deleted.
func (o *ordering) deletesAfterDeletes() []edge {
	var list []edge
	for _, s := range o.steps {
		if s.Do == plan.Remove {
			o.reach(s.Address, func(j string) bool {
				del := o.deletes[j]
				if del != nil {
					list = append(list, edge{s, del})
				}
				return del == nil // its own edges lead on
			})
		}
	}
	return list
}

// deletesAfterMakes are the edges of rule 6.
func (o *ordering) deletesAfterMakes() []edge {
	var list []edge
	for _, s := range o.steps {
		if s.Do == plan.Remove && s.Operation == "" && o.makes[s.Address] == nil {
			for _, j := range o.dependants[s.Address] {
				if mk := o.makes[j]; mk != nil {
					list = append(list, edge{s, mk})
				}
			}
		}
	}
	return list
}

// makesAfterDeletes are the edges of rule 5.
func (o *ordering) makesAfterDeletes() []edge {
	var list []edge
	if len(o.deletes) == 0 {
		return nil
	}
	for _, s := range o.steps {
		if s.Do != plan.Make || s.change.Action == plan.Create || s.change.Action == plan.Adopt {
			continue
		}
		o.reach(s.Address, func(j string) bool {
			del := o.deletes[j]
			if del != nil && !del.Old {
				list = append(list, edge{s, del})
			}
			return del == nil
		})
	}
	return list
}

// giversAfterTakers are the edges of rule 7.
func (o *ordering) giversAfterTakers(list []plan.Transfer) []edge {
	var edges []edge
	for _, t := range list {
		taker := o.makes[t.To]
		giver := o.makes[t.From]
		if giver == nil {
			giver = o.deletes[t.From]
		}
		if taker != nil && giver != nil && !slices.Contains(edges, edge{giver, taker}) {
			edges = append(edges, edge{giver, taker})
		}
	}
	return edges
}

// prefer adds the edges that close no circle. The first of several wins.
func (o *ordering) prefer(list []edge) {
	if len(list) == 0 {
		return
	}
	for _, e := range list {
		e.step.after = append(e.step.after, e.after)
	}
	if o.acyclic() {
		return
	}
	for _, e := range slices.Backward(list) {
		e.step.after = e.step.after[:len(e.step.after)-1]
	}
	for _, e := range list {
		o.walks++
		if !waitsFor(e.after, e.step, o.walks) {
			e.step.after = append(e.step.after, e.after)
		}
	}
}

// acyclic tells whether no step waits for itself.
func (o *ordering) acyclic() bool {
	o.walks += 2
	visiting, visited := o.walks-1, o.walks
	var visit func(s *step) bool
	visit = func(s *step) bool {
		s.mark = visiting
		for _, before := range s.after {
			if before.mark == visiting || before.mark != visited && !visit(before) {
				return false
			}
		}
		s.mark = visited
		return true
	}
	for _, s := range o.steps {
		if s.mark != visited && !visit(s) {
			return false
		}
	}
	return true
}

// leftovers adds the deletions of what interrupted replacements have left. The old one goes as in rule 4, when its dependants use the new
// one; a new one that is not to be any more goes before its instance is worked on, since both may have one name. The edges that it returns
// are those of rule 2: what a leftover stands on is deleted after it.
func (o *ordering) leftovers(list []plan.Leftover) []edge {
	byAddress := map[string][]*step{}
	for _, l := range list {
		s := o.step(plan.Step{ID: DeleteID(l.Address) + " " + l.Operation, Do: plan.Remove, Address: l.Address, Old: !l.New, Operation: l.Operation}, nil)
		mk, del := o.makes[l.Address], o.deletes[l.Address]
		switch {
		case l.New && mk != nil:
			mk.after = append(mk.after, s)
		case l.New:
		default:
			s.after = append(s.after, o.makesOfDependants(l.Address)...)
			if mk != nil {
				s.after = append(s.after, mk)
			}
		}
		if l.New && del != nil {
			del.after = append(del.after, s)
		}
		byAddress[l.Address] = append(byAddress[l.Address], s)
	}
	var edges []edge
	for i, s := range o.steps[len(o.steps)-len(list):] {
		seen, queue := map[string]bool{s.Address: true}, slices.Clone(list[i].DependsOn)
		for len(queue) > 0 {
			under := queue[0]
			if queue = queue[1:]; seen[under] {
				continue
			}
			seen[under] = true
			if del := o.deletes[under]; del != nil {
				edges = append(edges, edge{del, s})
			}
			for _, other := range byAddress[under] {
				edges = append(edges, edge{other, s})
			}
			queue = append(queue, o.recorded[under]...)
		}
	}
	return edges
}

// waitsFor tells whether s is other, or waits for it, directly or not. walk is another number at each call.
func waitsFor(s, other *step, walk int) bool {
	if s == other {
		return true
	}
	s.mark = walk
	for _, before := range s.after {
		if before.mark != walk && waitsFor(before, other, walk) {
			return true
		}
	}
	return false
}
