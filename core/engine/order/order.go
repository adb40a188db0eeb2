// Package order decides in which order the changes of a plan are carried out. Each make and each delete is a step with edges of
// its own. The package is pure: it reads a plan and the dependencies of the records, and returns steps.
//
// The rules, for an instance i and an instance j that depends on it:
//
//  1. j is made after i is made.
//  2. i is deleted after j is deleted.
//  3. A replacement deletes i before it makes i; with create_before_destroy it makes i first.
//  4. What i was before a replacement with create_before_destroy is deleted after every j is made that depends on i, directly or not.
//  5. i is updated or replaced after j is deleted, when j is deleted for good or before it is made anew.
//  6. i is deleted after j is made, when j depended on i and stays.
//  7. An instance gives a thing up after the instance that takes it over is made.
//
// Rules 1, 3 and 4 always hold. Rules 2, 6, 5 and 7, in this order of rank, give way where an edge of theirs would close a circle: the
// records and the configuration may disagree about who depends on whom, and an instance of which there cannot be two at once is
// deleted first although a create_before_destroy instance depends on it.
package order

import (
	"maps"
	"slices"
	"strings"

	"github.com/davit-sh/davit/core/plan"
)

// Steps returns the steps of a plan, sorted so that each comes after those that it waits for. recorded has, by address, the managed
// instances that each record in state depends on. The plan needs its changes, observations and leftovers only.
func Steps(p *plan.Plan, recorded map[string][]string) []plan.Step {
	o := newOrdering(p, recorded)
	if o == nil {
		return nil
	}
	o.makeAfterMake()
	o.replacements()
	o.prefer(o.leftovers(p.Leftovers))
	o.prefer(o.deletesAfterDeletes())
	o.prefer(o.deletesAfterMakes())
	o.prefer(o.makesAfterDeletes())
	o.prefer(o.giversAfterTakers(p.Transfers))
	return o.sorted()
}

// MakeID returns the id of the step that makes an instance.
func MakeID(address string) string { return string(plan.Make) + " " + address }

// DeleteID returns the id of the step that deletes an instance.
func DeleteID(address string) string { return string(plan.Remove) + " " + address }

// ordering is the graph of steps while it grows.
type ordering struct {
	steps []*step // in the order of the plan: its changes, then its leftovers
	makes map[string]*step
	// deletes are the deletions of what state has of an address. Leftovers are not among them.
	deletes    map[string]*step
	others     map[string][]string // by address: what an observation or an instance that is not made depends on, by its configuration
	recorded   map[string][]string
	dependants map[string][]string // by address: the managed instances that depend on it, by their records or configuration
	observed   map[string][]*step  // by address of an observation or an unchanged instance: the nearest makes before it
	walks      int                 // numbers the walks over the graph, for step.mark

	// A plan has thousands of steps. They, their IDs and their short lists share large pieces of memory.
	room  []step
	lists []*step
	ids   strings.Builder
}

type step struct {
	plan.Step
	change *plan.Change
	after  []*step
	mark   int // of the last walk that came by
}

func newOrdering(p *plan.Plan, recorded map[string][]string) *ordering {
	n, size := len(p.Leftovers), 0 // about how many steps there are, and how long their IDs are together
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Works() {
			n++
			size += len(DeleteID("")) + len(c.Address)
		}
	}
	o := &ordering{steps: make([]*step, 0, n), makes: make(map[string]*step, n), deletes: map[string]*step{}, recorded: recorded}
	o.ids.Grow(size)
	for i := range p.Changes {
		o.add(&p.Changes[i])
	}
	if len(o.steps) == 0 && len(p.Leftovers) == 0 {
		return nil
	}
	o.others, o.observed = make(map[string][]string, len(p.Observations)+len(p.Changes)-len(o.makes)), map[string][]*step{}
	for i := range p.Observations {
		o.others[p.Observations[i].Address] = p.Observations[i].DependsOn
	}
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Action != plan.Delete && o.makes[c.Address] == nil {
			o.others[c.Address] = c.DependsOn
		}
	}
	if len(o.deletes)+len(p.Leftovers) > 0 {
		o.indexDependants(p)
	}
	return o
}

// add makes the steps of one change.
func (o *ordering) add(c *plan.Change) {
	switch {
	case c.Action == plan.Delete || c.Action == plan.Forget:
		o.deletes[c.Address] = o.step(plan.Step{ID: o.id(plan.Remove, c.Address), Do: plan.Remove, Address: c.Address}, c)
	case c.TwoSteps:
		o.deletes[c.Address] = o.step(plan.Step{ID: o.id(plan.Remove, c.Address), Do: plan.Remove, Address: c.Address, Old: c.CreateFirst}, c)
		o.makes[c.Address] = o.step(plan.Step{ID: o.id(plan.Make, c.Address), Do: plan.Make, Address: c.Address}, c)
	case c.Works():
		o.makes[c.Address] = o.step(plan.Step{ID: o.id(plan.Make, c.Address), Do: plan.Make, Address: c.Address}, c)
	}
}

// id returns the id of the step that makes or deletes an instance, as MakeID and DeleteID do.
func (o *ordering) id(do plan.Work, address string) string {
	first := o.ids.Len()
	o.ids.WriteString(string(do))
	o.ids.WriteByte(' ')
	o.ids.WriteString(address)
	return o.ids.String()[first:]
}

func (o *ordering) step(s plan.Step, c *plan.Change) *step {
	if len(o.room) == 0 {
		o.room = make([]step, 256)
	}
	out := &o.room[0]
	o.room = o.room[1:]
	out.Step, out.change = s, c
	o.steps = append(o.steps, out)
	return out
}

// indexDependants reverses the dependencies of records and configuration between managed instances.
func (o *ordering) indexDependants(p *plan.Plan) {
	o.dependants = make(map[string][]string, len(o.recorded))
	for _, address := range slices.Sorted(maps.Keys(o.recorded)) {
		for _, d := range o.recorded[address] {
			o.dependants[d] = append(o.dependants[d], address)
		}
	}
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Action != plan.Delete {
			for _, d := range o.managedNeeds(c.Address, map[string]bool{}) {
				o.dependants[d] = append(o.dependants[d], c.Address)
			}
		}
	}
	for address, list := range o.dependants {
		slices.Sort(list)
		o.dependants[address] = slices.Compact(list)
	}
}

// needs returns what an instance or an observation depends on, by its configuration.
func (o *ordering) needs(address string) []string {
	if mk := o.makes[address]; mk != nil {
		return mk.change.DependsOn
	}
	return o.others[address]
}

// managedNeeds returns the nearest managed instances that address depends on by its configuration, through observations.
func (o *ordering) managedNeeds(address string, seen map[string]bool) []string {
	var list []string
	for _, d := range o.needs(address) {
		if seen[d] {
			continue
		}
		seen[d] = true
		if o.isManaged(d) {
			list = append(list, d)
		} else {
			list = append(list, o.managedNeeds(d, seen)...)
		}
	}
	return list
}

// isManaged tells whether an address is that of a change, or of a record.
func (o *ordering) isManaged(address string) bool {
	_, hasRecord := o.recorded[address]
	return hasRecord || o.makes[address] != nil || o.deletes[address] != nil
}

// makeAfterMake is rule 1: through observations and unchanged instances as well.
func (o *ordering) makeAfterMake() {
	for _, s := range o.steps {
		if s.Do == plan.Make {
			s.after = slices.Clip(o.makesAmong(s.change.DependsOn))
		}
	}
}

// makesBefore returns the nearest makes that an observation or an instance that is not made waits for. It is found once for each address.
func (o *ordering) makesBefore(address string) []*step {
	if list, known := o.observed[address]; known {
		return list
	}
	o.observed[address] = nil // ends a circle, which the engine refuses before it makes a plan
	list := o.makesAmong(o.others[address])
	o.observed[address] = list
	return list
}

// makesAmong returns the makes of a list of addresses, and before those of it that are not made.
func (o *ordering) makesAmong(addresses []string) []*step {
	list := o.list(len(addresses))
	for _, d := range addresses {
		if up := o.makes[d]; up != nil {
			list = append(list, up)
		} else {
			list = append(list, o.makesBefore(d)...)
		}
	}
	return distinct(list)
}

// list returns an empty list with room for n steps.
func (o *ordering) list(n int) []*step {
	if n > len(o.lists) {
		o.lists = make([]*step, max(n, 256))
	}
	out := o.lists[:0:n]
	o.lists = o.lists[n:]
	return out
}

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

// sorted returns the steps, each after those that it waits for and otherwise in the order of the plan.
func (o *ordering) sorted() []plan.Step {
	out := make([]plan.Step, 0, len(o.steps))
	edges := 0
	for _, s := range o.steps {
		edges += len(s.after)
	}
	waits := make([]string, 0, edges) // of all steps
	const done = -1
	var visit func(s *step)
	visit = func(s *step) {
		if s.mark == done {
			return
		}
		s.mark = done
		s.after = distinct(s.after)
		for _, before := range s.after {
			visit(before)
		}
		if first := len(waits); len(s.after) > 0 {
			for _, before := range s.after {
				waits = append(waits, before.ID)
			}
			s.WaitsFor = slices.Clip(waits[first:])
			slices.Sort(s.WaitsFor)
		}
		out = append(out, s.Step)
	}
	for _, s := range o.steps {
		visit(s)
	}
	return out
}

func distinct(list []*step) []*step {
	if len(list) <= 8 { // most are: no memory for those
		twice := false
		for i, s := range list {
			twice = twice || slices.Contains(list[:i], s)
		}
		if !twice {
			return list
		}
	}
	seen := make(map[*step]bool, len(list))
	return slices.DeleteFunc(slices.Clone(list), func(s *step) bool {
		if seen[s] {
			return true
		}
		seen[s] = true
		return false
	})
}
