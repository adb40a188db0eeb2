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
