package objects

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/davit-sh/davit/state"
)

// change is an overlay over contents.
type change struct {
	below   contents
	set     map[string][]byte // nil: gone
	history []entry
}

func newChange(below contents) *change { return &change{below: below, set: map[string][]byte{}} }

func (c *change) get(key string) (entry, bool) {
	v, ok := c.set[key]
	if !ok {
		v, ok = c.below[key]
	}
	return entry{key, v}, ok && v != nil
}

func (c *change) put(key string, v any) error {
	e, err := sealed(key, v)
	c.set[key] = e.value
	return err
}

// remove deletes a key. A key that never existed needs no entry.
func (c *change) remove(key string) {
	if _, ok := c.get(key); ok {
		c.set[key] = nil
	}
}

func (c *change) entries() []entry {
	list := make([]entry, 0, len(c.set))
	for _, key := range slices.Sorted(maps.Keys(c.set)) {
		list = append(list, entry{key, c.set[key]})
	}
	return list
}

func (c *change) batch(b state.Batch) error {
	if err := c.move(b.Move); err != nil {
		return err
	}
	for _, d := range b.Delete {
		c.remove(keyRecord + d)
	}
	for _, r := range b.Put {
		if err := c.put(keyRecord+r.Address, r); err != nil {
			return err
		}
	}
	for _, id := range b.End {
		c.remove(keyOperation + id)
	}
	for _, o := range b.Begin {
		if err := c.put(keyOperation+o.ID, o); err != nil {
			return err
		}
	}
	if b.Outputs != nil {
		if err := c.outputs(b.Outputs); err != nil {
			return err
		}
	}
	for _, r := range b.History {
		if err := c.revision(r); err != nil {
			return err
		}
	}
	return nil
}

// move applies all moves at once: it takes out all moved entries before it puts one in.
func (c *change) move(moves []state.Move) error {
	type moving struct {
		to      string
		record  state.Record
		history *revisions
	}
	var list []moving
	for _, m := range moves {
		e, ok := c.get(keyRecord + m.From)
		if !ok || m.From == m.To {
			continue
		}
		x := moving{to: m.To}
		if err := e.unseal(&x.record); err != nil {
			return fmt.Errorf("moving %s to %s: the record is damaged (%w): restore it or remove it first", m.From, m.To, err)
		}
		var known revisions
		if e, ok := c.get(keyRevisions + m.From); ok && e.unseal(&known) == nil {
			x.history = &known
		}
		list = append(list, x)
	}
	for _, x := range list {
		c.remove(keyRecord + x.record.Address)
		c.remove(keyRevisions + x.record.Address)
	}
	for _, x := range list {
		x.record.Address = x.to
		if err := c.put(keyRecord+x.to, x.record); err != nil {
			return err
		}
		c.remove(keyRevisions + x.to)
		if x.history != nil {
			if err := c.put(keyRevisions+x.to, *x.history); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *change) outputs(all map[string]json.RawMessage) error {
	for key := range c.below {
		if strings.HasPrefix(key, keyOutput) {
			c.remove(key)
		}
	}
	for name, v := range all {
		if err := c.put(keyOutput+name, v); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) revision(r state.Revision) error {
	key := keyRevisions + r.Record.Address
	known := revisions{Stream: newID()}
	if e, ok := c.get(key); ok {
		var before revisions
		if e.unseal(&before) == nil {
			known = before
		}
	}
	r.Number = 1
	if n := len(known.Numbers); n > 0 {
		r.Number = known.Numbers[n-1] + 1
	}
	return c.append(key, known, r)
}

func (c *change) append(key string, known revisions, r state.Revision) error {
	known.Numbers = append(known.Numbers, r.Number)
	known.Numbers = known.Numbers[max(0, len(known.Numbers)-state.KeepRevisions):]
	e, err := sealed(historyKey(known.Stream, r.Number), r)
	c.history = append(c.history, e)
	return errors.Join(err, c.put(key, known))
}

// archive returns the whole state.
func (c *change) archive(a *state.Archive) error {
	for address, r := range a.Records {
		if err := c.put(keyRecord+address, r); err != nil {
			return err
		}
	}
	for id, o := range a.Operations {
		if err := c.put(keyOperation+id, o); err != nil {
			return err
		}
	}
	for name, o := range a.Outputs {
		if err := c.put(keyOutput+name, o); err != nil {
			return err
		}
	}
	for _, r := range slices.Backward(state.SortHistory(a.History)) {
		key := keyRevisions + r.Record.Address
		known := revisions{Stream: newID()}
		if e, ok := c.get(key); ok {
			if err := e.unseal(&known); err != nil {
				return err
			}
		}
		if err := c.append(key, known, r); err != nil {
			return err
		}
	}
	return nil
}
