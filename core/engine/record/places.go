package record

import (
	"maps"
	"slices"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/state"
)

// HasPlace tells whether state has something at a place.
func HasPlace(s *state.Snapshot, p addr.Place) bool {
	for _, address := range slices.AppendSeq(slices.Clone(s.Damaged), maps.Keys(s.Records)) {
		if i, err := addr.Parse(address); err == nil && p.Matches(i) {
			return true
		}
	}
	return false
}
