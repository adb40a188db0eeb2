package main

import (
	"fmt"
	"slices"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// meant finds the addresses that a place means: an instance, all instances of a block, or all that is in a module.
func meant(place string, among []string) ([]string, error) {
	p, err := addr.ParsePlace(place)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, address := range among {
		if i, err := addr.Parse(address); err == nil && p.Matches(i) {
			list = append(list, address)
		}
	}
	return list, nil
}

// severalOrNone says what to do about an address that is not that of one instance.
func severalOrNone(asked string, among []string) string {
	if list, err := meant(asked, among); err == nil && len(list) > 0 {
		return fmt.Sprintf(" Name one instance: %s.", diag.Some(list))
	}
	return diag.DidYouMean(asked, among)
}

// recorded finds the addresses that state has for places. What is damaged is named as it is.
func recorded(s *state.Snapshot, places []string) ([]string, error) {
	var list []string
	for _, p := range places {
		found := []string{p}
		if !slices.Contains(s.Damaged, p) {
			var err error
			if found, err = meant(p, sortedKeys(s.Records)); err != nil || len(found) == 0 {
				_, err = recordOf(s, p)
				return nil, err
			}
		}
		for _, address := range found {
			if !slices.Contains(list, address) {
				list = append(list, address)
			}
		}
	}
	return list, nil
}

// movesOf are the records that move when one place is renamed to another.
func movesOf(s *state.Snapshot, from, to string) ([]plan.Move, error) {
	was, err := addr.ParsePlace(from)
	if err != nil {
		return nil, err
	}
	now, err := addr.ParsePlace(to)
	if err != nil {
		return nil, err
	}
	if was.IsModule() != now.IsModule() || was.Kind != now.Kind || was.Type != now.Type {
		return nil, fmt.Errorf("%s cannot move to %s: only the name, the key and the module may change", from, to)
	}
	var moves []plan.Move
	for _, address := range slices.Concat(sortedKeys(s.Records), s.Damaged) {
		i, err := addr.Parse(address)
		if err != nil {
			continue
		}
		if target, ok := addr.Move(was, now, i); ok && target != i {
			for _, a := range []string{address, target.String()} {
				if slices.Contains(s.Damaged, a) {
					_, err := recordOf(s, a) // it says what to do
					return nil, err
				}
			}
			if _, taken := s.Records[target.String()]; taken {
				return nil, fmt.Errorf("the state already has a record of %s", target)
			}
			moves = append(moves, plan.Move{From: address, To: target.String()})
		}
	}
	if len(moves) == 0 {
		return nil, fmt.Errorf("the state has no record of %s to move to %s.%s", from, to, severalOrNone(from, sortedKeys(s.Records)))
	}
	return moves, nil
}
