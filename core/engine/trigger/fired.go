package trigger

import (
	"maps"
	"slices"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/key"
)

// Fingerprints of triggers are "METHOD:HASH", or one of these. An empty one says that there is no key to make it with.
const (
	// changes is the fingerprint of a value that is known only after apply.
	changes = "changes"
	// operation begins the fingerprint of a whole block: the operation that made it what it is.
	operation = "operation:"
	// noOperation is the fingerprint of a whole block that was adopted as it was.
	noOperation = operation + "none"
)

// Fired is what the values of replace_triggered_by say about the record of an instance.
type Fired struct {
	Reasons  []string // why the instance is replaced: an entry for each value that is not the one that the record was made with
	Outdated bool     // the record lacks values, or has some that are not in the block
}

// Compare compares the fingerprints of replace_triggered_by with those of a record. An expression that the record does not have has nothing
// to be compared with: its value of now is the first.
func Compare(rec *state.Record, now map[string]string) Fired {
	var out Fired
	for _, expr := range slices.Sorted(maps.Keys(now)) {
		is := now[expr]
		was, there := rec.Triggers[expr]
		switch {
		case is == "", is == was:
		case !there:
			out.Outdated = true
		case is == changes:
			out.Reasons = append(out.Reasons, "replace_triggered_by: "+expr+" changes")
		case is == noOperation:
		case key.Same(was, is):
			out.Reasons = append(out.Reasons, "replace_triggered_by: "+expr+" has changed")
		default: // made in another way, or with another key
			out.Outdated = true
		}
	}
	for expr := range rec.Triggers {
		if _, there := now[expr]; !there {
			out.Outdated = true
		}
	}
	return out
}

// Stored returns the fingerprints of triggers that a record keeps: those that are known. It returns nil if there are none.
func Stored(now map[string]string) map[string]string {
	var out map[string]string
	for expr, print := range now {
		if print == "" || print == changes {
			continue
		}
		if out == nil {
			out = make(map[string]string, len(now))
		}
		out[expr] = print
	}
	return out
}
