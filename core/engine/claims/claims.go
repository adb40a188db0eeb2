// Package claims decides who owns what. A claim is an opaque key of a thing in the world; plugins say with each planned instance what
// it owns after the apply, and state keeps that. Two instances that claim one thing are a mistake. A thing that one instance gives up
// and another claims in the same plan is transferred: the plan shows a move, and nobody deletes it. The package is pure: it reads and
// rewrites a plan.
package claims

import (
	"maps"
	"slices"
	"strings"

	"github.com/davit-sh/davit/core/plan"
)

// Input is what a plan is compared with.
type Input struct {
	// Recorded has the claims of the managed records in state, by address.
	Recorded map[string][]string
	// Others has the claims of instances that the stack declares and that the plan leaves out, by address.
	Others map[string][]string
	// Unknown are the instances of which nobody knows what they claim: they could not be planned and were never applied.
	Unknown []Unknown
}

// Unknown is an instance whose claims are not known.
type Unknown struct{ Address, Kind, Type string }

// Conflict is one pair of instances that claim the same things.
type Conflict struct {
	First, Second string   // addresses; the first one is before the second one in the plan
	Claims        []string // sorted
	// Absent says that the second one is not in the plan: state says that it owns the things.
	Absent bool
}

// HeldBack is a deletion that is left out of the plan.
type HeldBack struct {
	Address string
	For     string   // the instance, not in the plan, that may want the things
	Claims  []string // that it wants; none when nobody knows what it claims
}

// Settle finds the conflicts of a plan. When there are none it writes the transfers into the plan: the items of both sides, and the
// deletions that become unnecessary. Deletions of what an instance outside of the plan wants are taken out of it and returned.
func Settle(p *plan.Plan, in Input) ([]Conflict, []HeldBack) {
	s := newSettling(p, in)
	if list := s.conflicts(); len(list) > 0 {
		return list, nil
	}
	s.transfers()
	held := s.holdBack()
	s.forgetGivers()
	s.markItems()
	return nil, held
}

// settling is the work on one plan.
type settling struct {
	plan    *plan.Plan
	in      Input
	changes map[string]*plan.Change
	owners  map[string][]string // by claim: the addresses that own it after the apply, in the order of the plan
}

func newSettling(p *plan.Plan, in Input) *settling {
	s := &settling{plan: p, in: in, changes: make(map[string]*plan.Change, len(p.Changes)), owners: map[string][]string{}}
	for i := range p.Changes {
		c := &p.Changes[i]
		s.changes[c.Address] = c
		for _, claim := range s.after(c) {
			s.owners[claim] = append(s.owners[claim], c.Address)
		}
	}
	return s
}

// after returns what an instance owns after the apply. One that is planned in full at apply keeps what it has until then.
func (s *settling) after(c *plan.Change) []string {
	switch {
	case c.Action == plan.Delete || c.Action == plan.Forget:
		return nil
	case len(c.Claims) == 0 && c.Deferred:
		return s.in.Recorded[c.Address]
	}
	return c.Claims
}

// conflicts returns the pairs that claim the same things, in the order of the plan.
func (s *settling) conflicts() []Conflict {
	type pair struct{ first, second string }
	found := map[pair]*Conflict{}
	var order []pair
	add := func(first, second, claim string, absent bool) {
		p := pair{first, second}
		if found[p] == nil {
			found[p] = &Conflict{First: first, Second: second, Absent: absent}
			order = append(order, p)
		}
		found[p].Claims = append(found[p].Claims, claim)
	}
	for claim, owners := range s.owners {
		for _, second := range owners[1:] {
			add(owners[0], second, claim, false)
		}
	}
	for address, list := range s.in.Recorded {
		if s.changes[address] != nil {
			continue
		}
		if others, planned := s.in.Others[address]; planned {
			list = others // it gives the rest up as soon as it is planned
		}
		for _, claim := range list {
			for _, owner := range s.owners[claim] {
				add(owner, address, claim, true)
			}
		}
	}
	if len(order) == 0 {
		return nil
	}
	place := make(map[string]int, len(s.plan.Changes))
	for i := range s.plan.Changes {
		place[s.plan.Changes[i].Address] = i
	}
	slices.SortFunc(order, func(a, b pair) int {
		if d := place[a.first] - place[b.first]; d != 0 {
			return d
		}
		return strings.Compare(a.second, b.second)
	})
	list := make([]Conflict, len(order))
	for i, p := range order {
		slices.Sort(found[p].Claims)
		list[i] = *found[p]
	}
	return list
}

// transfers adds to the plan what one instance gives up and another one claims. An instance that stays gives to one outside of the
// plan as well: what that one wants is left alone until it is planned.
func (s *settling) transfers() {
	outside := map[string]string{}
	for _, address := range slices.Sorted(maps.Keys(s.in.Others)) {
		for _, claim := range s.in.Others[address] {
			outside[claim] = address
		}
	}
	for _, from := range slices.Sorted(maps.Keys(s.in.Recorded)) {
		giver := s.changes[from]
		if giver == nil {
			continue
		}
		kept := s.after(giver)
		for _, claim := range s.in.Recorded[from] {
			owners := s.owners[claim]
			if by := outside[claim]; len(owners) == 0 && by != "" && giver.Action != plan.Delete {
				owners = []string{by}
			}
			if len(owners) == 1 && owners[0] != from && !slices.Contains(kept, claim) {
				s.plan.Transfers = append(s.plan.Transfers, plan.Transfer{Claim: claim, From: from, To: owners[0]})
			}
		}
	}
}

// holdBack takes deletions out of the plan whose things an instance outside of the plan wants, or may want.
func (s *settling) holdBack() []HeldBack {
	wanted := map[string]string{}
	for _, address := range slices.Sorted(maps.Keys(s.in.Others)) {
		for _, claim := range s.in.Others[address] {
			wanted[claim] = address
		}
	}
	var held []HeldBack
	s.plan.Changes = slices.DeleteFunc(s.plan.Changes, func(c plan.Change) bool {
		if c.Action != plan.Delete || len(s.in.Recorded[c.Address]) == 0 {
			return false
		}
		h := HeldBack{Address: c.Address}
		for _, claim := range s.in.Recorded[c.Address] {
			if by := wanted[claim]; by != "" && by != c.Address {
				h.For, h.Claims = by, append(h.Claims, claim)
			}
		}
		if h.For == "" {
			for _, u := range s.in.Unknown {
				if u.Kind == c.Kind && u.Type == c.Type && u.Address != c.Address {
					h.For = u.Address
				}
			}
		}
		if h.For == "" {
			return false
		}
		slices.Sort(h.Claims)
		held = append(held, h)
		return true
	})
	if len(held) == 0 {
		return nil
	}
	gone := map[string]bool{}
	for _, h := range held {
		gone[h.Address] = true
	}
	s.plan.Transfers = slices.DeleteFunc(s.plan.Transfers, func(t plan.Transfer) bool { return gone[t.From] })
	clear(s.changes)
	for i := range s.plan.Changes {
		s.changes[s.plan.Changes[i].Address] = &s.plan.Changes[i]
	}
	return held
}

// forgetGivers turns the deletion of an instance that gives everything away into forgetting its record.
func (s *settling) forgetGivers() {
	given, takers := map[string]int{}, map[string][]string{}
	for _, t := range s.plan.Transfers {
		given[t.From]++
		if !slices.Contains(takers[t.From], t.To) {
			takers[t.From] = append(takers[t.From], t.To)
		}
	}
	for from, n := range given {
		if c := s.changes[from]; c.Action == plan.Delete && n == len(s.in.Recorded[from]) {
			c.Action, c.Causes = plan.Forget, []plan.Cause{plan.CauseMoved}
			c.Reasons = []string{"all of its objects move to " + strings.Join(takers[from], ", ")}
		}
	}
}

// markItems says at the items of both sides where a thing goes to and where it comes from.
func (s *settling) markItems() {
	type key struct{ address, claim string }
	to, from := map[key]string{}, map[key]string{}
	for _, t := range s.plan.Transfers {
		to[key{t.From, t.Claim}], from[key{t.To, t.Claim}] = t.To, t.From
	}
	if len(to) == 0 {
		return
	}
	for i := range s.plan.Changes {
		c := &s.plan.Changes[i]
		for n := range c.Items {
			it := &c.Items[n]
			if it.Claim == "" {
				continue
			}
			if at := to[key{c.Address, it.Claim}]; at != "" {
				it.Action, it.MovedTo, it.Fields = plan.None, at, nil
			}
			if at := from[key{c.Address, it.Claim}]; at != "" {
				it.MovedFrom = at
			}
		}
	}
}

// Given returns the claims that an instance gives away in a plan.
func Given(p *plan.Plan, address string) []string {
	var list []string
	for _, t := range p.Transfers {
		if t.From == address {
			list = append(list, t.Claim)
		}
	}
	return list
}

// Describe returns a claim in words: "Deployment shop/web" for "kubernetes:ID/apps/Deployment/shop/web".
func Describe(claim string) string {
	kind, rest, ok := strings.Cut(claim, ":")
	if !ok {
		return claim
	}
	switch kind {
	case "file":
		return "path " + rest
	case "image":
		return "tag " + rest
	case "git":
		if url, branch, ok := strings.Cut(rest, "#"); ok {
			return "branch " + branch + " of " + url
		}
	case "kubernetes":
		if parts := strings.Split(rest, "/"); len(parts) == 5 {
			if parts[3] == "" {
				return parts[2] + " " + parts[4]
			}
			return parts[2] + " " + parts[3] + "/" + parts[4]
		}
	}
	return claim
}
