package state

import (
	"maps"
	"slices"
)

// Rename returns the batch that gives records other addresses, and the snapshot after it. Records that depend on them refer to the new
// addresses, and open operations on them move along under their IDs. A move of a missing record is ignored.
func Rename(s *Snapshot, moves []Move) (Batch, *Snapshot) {
	var b Batch
	now := map[string]string{}
	for _, m := range moves {
		if _, there := s.Records[m.From]; there {
			b.Move = append(b.Move, m)
			now[m.From] = m.To
		}
	}
	if len(now) == 0 {
		return b, s
	}
	out := *s
	out.Records = make(map[string]Record, len(s.Records))
	for _, address := range slices.Sorted(maps.Keys(s.Records)) {
		rec, told := s.Records[address], false
		if rec.DependsOn, told = renamed(rec.DependsOn, now); now[address] != "" {
			address = now[address]
			rec.Address = address
		}
		if told {
			b.Put = append(b.Put, rec)
		}
		out.Records[address] = rec
	}
	out.Operations = make(map[string]Operation, len(s.Operations))
	for _, id := range slices.Sorted(maps.Keys(s.Operations)) {
		op, told := s.Operations[id], false
		to := now[op.Address]
		if op.DependsOn, told = renamed(op.DependsOn, now); to != "" {
			op.Address = to
		}
		if told || to != "" {
			b.Begin = append(b.Begin, op)
		}
		out.Operations[id] = op
	}
	return b, &out
}

// renamed returns a list of addresses after the moves, and whether one of them has changed.
func renamed(list []string, now map[string]string) ([]string, bool) {
	if !slices.ContainsFunc(list, func(a string) bool { return now[a] != "" }) {
		return list, false
	}
	list = slices.Clone(list)
	for i, a := range list {
		if to := now[a]; to != "" {
			list[i] = to
		}
	}
	return list, true
}
