package record

import (
	"maps"
	"slices"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/key"
)

// Fingerprints of triggers are "METHOD:HASH", or one of these. An empty one says that there is no key to make it with.
const (
	// TriggerChanges is the fingerprint of a value that is known only after apply.
	TriggerChanges = "changes"
	// TriggerOperation begins the fingerprint of a whole block: the operation that made it what it is.
	TriggerOperation = "operation:"
	// TriggerNone is the fingerprint of a whole block that was adopted as it was.
	TriggerNone = TriggerOperation + "none"
)

// FiredTriggers compares the fingerprints of replace_triggered_by with those of a record. It returns the expressions whose values are
// other ones, sorted, and whether the record is out of date otherwise. An expression that the record does not have has nothing to be
// compared with: its value of now is the first.
func FiredTriggers(rec *state.Record, now map[string]string) (fired []string, outdated bool) {
	for _, expr := range slices.Sorted(maps.Keys(now)) {
		is := now[expr]
		was, there := rec.Triggers[expr]
		switch {
		case is == "", is == was:
		case !there:
			outdated = true
		case is == TriggerChanges:
			fired = append(fired, expr)
		case is == TriggerNone:
		case key.Same(was, is):
			fired = append(fired, expr)
		default: // made in another way, or with another key
			outdated = true
		}
	}
	for expr := range rec.Triggers {
		if _, there := now[expr]; !there {
			outdated = true
		}
	}
	return fired, outdated
}

// StoredTriggers returns the fingerprints of triggers that a record keeps: those that are known. It returns nil if there are none.
func StoredTriggers(now map[string]string) map[string]string {
	var out map[string]string
	for expr, print := range now {
		if print == "" || print == TriggerChanges {
			continue
		}
		if out == nil {
			out = make(map[string]string, len(now))
		}
		out[expr] = print
	}
	return out
}
