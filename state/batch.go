package state

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxName is the maximum length, in bytes, of addresses, IDs of operations and names of outputs.
const MaxName = 16 << 10

// Batch has the changes of one commit. They apply in the order of the fields: an address in Delete and Put
// is put; an operation in End and Begin is open.
type Batch struct {
	// Move gives records other addresses, all at the same time: each From is the address before
	// the batch, so that a chain (a to b, b to c) and a swap work. A move of a missing record is ignored.
	Move    []Move
	Delete  []string                   // addresses; one that is not there is fine
	Put     []Record                   // written whole; of two with the same address the later one counts
	End     []string                   // operation ids; one that is not there is fine
	Begin   []Operation                // written whole; the same id again replaces it (checkpoints)
	Outputs map[string]json.RawMessage // nil: unchanged; else replaces all
	History []Revision                 // appended; the store gives each its number and drops those that are too many
}

// Move gives a record another address. Its history keeps its numbers and moves to the
// new address; the earlier record and history of the new address are dropped.
type Move struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Empty returns whether the batch changes nothing.
func (b Batch) Empty() bool {
	return len(b.Put) == 0 && len(b.Delete) == 0 && len(b.Begin) == 0 && len(b.End) == 0 && b.Outputs == nil &&
		len(b.Move) == 0 && len(b.History) == 0
}

// Check returns an error if no store could commit the batch: an address occurs twice on one side of Move,
// or a name is empty, too long or not valid text.
func (b Batch) Check() error {
	from, to := map[string]bool{}, map[string]bool{}
	for _, m := range b.Move {
		if from[m.From] || to[m.To] {
			return fmt.Errorf("moving %s to %s: one of them is part of another move", m.From, m.To)
		}
		from[m.From], to[m.To] = true, true
		if err := checkNames("address", m.From, m.To); err != nil {
			return err
		}
	}
	for _, r := range b.Put {
		if err := checkNames("address", r.Address); err != nil {
			return err
		}
	}
	for _, o := range b.Begin {
		if err := checkNames("id of an operation", o.ID); err != nil {
			return err
		}
	}
	for name := range b.Outputs {
		if err := checkNames("name of an output", name); err != nil {
			return err
		}
	}
	for _, r := range b.History {
		if err := checkNames("address", r.Record.Address); err != nil {
			return err
		}
	}
	return nil
}

// checkNames refuses names that JSON would change: it replaces bytes that are not UTF-8.
func checkNames(what string, names ...string) error {
	for _, n := range names {
		switch {
		case n == "":
			return fmt.Errorf("the %s is empty", what)
		case len(n) > MaxName:
			return fmt.Errorf("the %s that begins with %.60q is longer than %d bytes", what, n, MaxName)
		case !utf8.ValidString(n) || strings.ContainsRune(n, 0):
			return fmt.Errorf("%q cannot be the %s: it is not valid text", n, what)
		}
	}
	return nil
}
