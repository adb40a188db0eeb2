package memory

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/seal"
)

// tables are what is stored: sealed items by their names. Values are never changed in place, but
// by Damage.
type tables struct {
	format                       int
	lineage                      string
	serial                       uint64
	records, operations, outputs map[string][]byte
	history                      map[string][]revision // by address, oldest first
}

type revision struct {
	number uint64
	sealed []byte
}

func empty() tables {
	return tables{format: state.Format, records: map[string][]byte{}, operations: map[string][]byte{}, outputs: map[string][]byte{},
		history: map[string][]revision{}}
}

func (t *tables) clone() tables {
	c := *t
	c.records, c.operations, c.outputs, c.history = maps.Clone(t.records), maps.Clone(t.operations), maps.Clone(t.outputs), maps.Clone(t.history)
	return c
}

func place(kind, name string, number uint64) string { return fmt.Sprint(kind, " ", name, " ", number) }

func (t *tables) stored(kind, name string, number uint64) []byte {
	switch kind {
	case "record":
		return t.records[name]
	case "operation":
		return t.operations[name]
	case "output":
		return t.outputs[name]
	}
	list := t.history[name]
	return list[slices.IndexFunc(list, func(r revision) bool { return r.number == number })].sealed
}

func put[T any](table map[string][]byte, kind, name string, v T) error {
	b, err := seal.Seal(place(kind, name, 0), v)
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind, name, err)
	}
	table[name] = b
	return nil
}

func (t *tables) commit(b state.Batch) error {
	if t.lineage == "" {
		t.lineage = uuid.NewString()
	}
	if err := t.move(b.Move); err != nil {
		return err
	}
	for _, d := range b.Delete {
		delete(t.records, d)
	}
	for _, r := range b.Put {
		if err := put(t.records, "record", r.Address, r); err != nil {
			return err
		}
	}
	for _, id := range b.End {
		delete(t.operations, id)
	}
	for _, o := range b.Begin {
		if err := put(t.operations, "operation", o.ID, o); err != nil {
			return err
		}
	}
	if b.Outputs != nil {
		t.outputs = map[string][]byte{}
		for name, v := range b.Outputs {
			if err := put(t.outputs, "output", name, v); err != nil {
				return err
			}
		}
	}
	for _, r := range b.History {
		r.Number = 1
		if list := t.history[r.Record.Address]; len(list) > 0 {
			r.Number = list[len(list)-1].number + 1
		}
		if err := t.append(r); err != nil {
			return err
		}
	}
	t.serial++
	return nil
}

// append adds a revision that has its number, and drops those that are too many.
func (t *tables) append(r state.Revision) error {
	b, err := seal.Seal(place("revision", r.Record.Address, r.Number), r)
	if err != nil {
		return fmt.Errorf("revision of %s: %w", r.Record.Address, err)
	}
	list := append(slices.Clone(t.history[r.Record.Address]), revision{r.Number, b})
	t.history[r.Record.Address] = list[max(0, len(list)-state.KeepRevisions):]
	return nil
}

// move carries all moves out at once: what goes is taken out first.
func (t *tables) move(moves []state.Move) error {
	type moved struct {
		to      string
		record  state.Record
		history []revision
		from    string
	}
	var list []moved
	for _, m := range moves {
		b, there := t.records[m.From]
		if !there || m.From == m.To {
			continue
		}
		x := moved{to: m.To, from: m.From, history: t.history[m.From]}
		if err := seal.Open(place("record", m.From, 0), b, &x.record); err != nil {
			return fmt.Errorf("moving %s to %s: the record is damaged: %w", m.From, m.To, err)
		}
		list = append(list, x)
	}
	for _, x := range list {
		delete(t.records, x.from)
		delete(t.history, x.from)
	}
	for _, x := range list {
		x.record.Address = x.to
		if err := put(t.records, "record", x.to, x.record); err != nil {
			return err
		}
		delete(t.history, x.to)
		for _, r := range x.history {
			var rev state.Revision
			if seal.Open(place("revision", x.from, r.number), r.sealed, &rev) != nil {
				t.history[x.to] = append(t.history[x.to], r) // stays damaged, and is named as such
				continue
			}
			rev.Record.Address = x.to
			if err := t.append(rev); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tables) replace(a *state.Archive) error {
	format := t.format
	*t = empty()
	t.format, t.lineage, t.serial = format, a.Lineage, a.Serial
	for address, r := range a.Records {
		if err := put(t.records, "record", address, r); err != nil {
			return err
		}
	}
	for id, o := range a.Operations {
		if err := put(t.operations, "operation", id, o); err != nil {
			return err
		}
	}
	for name, o := range a.Outputs {
		if err := put(t.outputs, "output", name, o); err != nil {
			return err
		}
	}
	for _, r := range slices.Backward(state.SortHistory(a.History)) {
		if err := t.append(r); err != nil {
			return err
		}
	}
	return nil
}

// all opens the items of a table; those that are damaged are named.
func all[T any](table map[string][]byte, kind, prefix string, damaged *[]string) map[string]T {
	out := make(map[string]T, len(table))
	for name, b := range table {
		var v T
		if seal.Open(place(kind, name, 0), b, &v) != nil {
			*damaged = append(*damaged, prefix+name)
			continue
		}
		out[name] = v
	}
	return out
}

func (t *tables) snapshot() *state.Snapshot {
	s := &state.Snapshot{Format: state.Format, Lineage: t.lineage, Serial: t.serial}
	s.Records = all[state.Record](t.records, "record", "", &s.Damaged)
	s.Operations = all[state.Operation](t.operations, "operation", "operation ", &s.Damaged)
	if len(t.outputs) > 0 {
		s.Outputs = all[json.RawMessage](t.outputs, "output", "output ", &s.Damaged)
	}
	slices.Sort(s.Damaged)
	return s
}

// revisions returns those of an address, or all, newest first, and names those that are damaged.
func (t *tables) revisions(address string) (list []state.Revision, damaged []string) {
	for a, revisions := range t.history {
		for _, r := range revisions {
			var rev state.Revision
			switch {
			case address != "" && a != address:
			case seal.Open(place("revision", a, r.number), r.sealed, &rev) != nil:
				damaged = append(damaged, fmt.Sprintf("revision %d of %s", r.number, a))
			default:
				list = append(list, rev)
			}
		}
	}
	slices.SortFunc(list, func(a, b state.Revision) int {
		return cmp.Or(cmp.Compare(a.Record.Address, b.Record.Address), cmp.Compare(b.Number, a.Number))
	})
	slices.Sort(damaged)
	return list, damaged
}
