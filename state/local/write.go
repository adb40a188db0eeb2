package local

import (
	"bytes"
	"fmt"

	"github.com/davit-sh/davit/state"
)

// write applies a batch and increments the serial.
func (t tables) write(b state.Batch) (uint64, error) {
	h, err := t.head()
	if err != nil {
		return 0, err
	}
	if t.sums = h.Tables; t.sums == nil {
		t.sums = sums{}
	}
	if err := t.move(b.Move); err != nil {
		return 0, err
	}
	for _, d := range b.Delete {
		if bucket, ok := damagedTable(d); ok {
			t.recount(bucket)
		}
		if err := t.remove(bucketRecords, []byte(d)); err != nil {
			return 0, err
		}
	}
	for _, r := range b.Put {
		if err := t.set(bucketRecords, []byte(r.Address), r); err != nil {
			return 0, fmt.Errorf("record %s: %w", r.Address, err)
		}
	}
	for _, id := range b.End {
		if err := t.remove(bucketOperations, []byte(id)); err != nil {
			return 0, err
		}
	}
	for _, o := range b.Begin {
		if err := t.set(bucketOperations, []byte(o.ID), o); err != nil {
			return 0, fmt.Errorf("operation %s: %w", o.ID, err)
		}
	}
	if b.Outputs != nil {
		if err := t.empty(bucketOutputs); err != nil {
			return 0, err
		}
		for name, v := range b.Outputs {
			if err := t.set(bucketOutputs, []byte(name), v); err != nil {
				return 0, fmt.Errorf("output %s: %w", name, err)
			}
		}
	}
	for _, r := range b.History {
		if err := t.appendRevision(r); err != nil {
			return 0, fmt.Errorf("revision of %s: %w", r.Record.Address, err)
		}
	}
	h.Serial++
	h.Tables = t.sums
	return h.Serial, t.put(bucketMeta, keyHead, h)
}

// empty deletes all items of a table.
func (t tables) empty(bucket []byte) error {
	if t.Bucket(bucket) != nil {
		if err := t.DeleteBucket(bucket); err != nil {
			return err
		}
	}
	_, err := t.CreateBucket(bucket)
	t.sums[string(bucket)] = sum{}
	return err
}

func (t tables) appendRevision(r state.Revision) error {
	history := t.Bucket(bucketHistory)
	keys := revisions(history, r.Record.Address)
	r.Number = 1
	if n := len(keys); n > 0 {
		r.Number = number(keys[n-1][len(keys[n-1])-8:]) + 1
	}
	for len(keys) >= state.KeepRevisions {
		if err := t.remove(bucketHistory, keys[0]); err != nil {
			return err
		}
		keys = keys[1:]
	}
	return t.set(bucketHistory, historyKey(r.Record.Address, r.Number), r)
}

// moving is a record that is being moved, with its revisions in their stored form.
type moving struct {
	state.Move
	record  state.Record
	history map[uint64][]byte
}

// move applies all moves at once: it takes out all moved entries before it puts one in.
func (t tables) move(moves []state.Move) error {
	var list []moving
	for _, m := range moves {
		b := t.Bucket(bucketRecords).Get([]byte(m.From))
		if b == nil || m.From == m.To {
			continue
		}
		x := moving{Move: m}
		if err := t.unseal(bucketRecords, []byte(m.From), b, &x.record); err != nil {
			return fmt.Errorf("moving %s to %s: the record is damaged (%w): restore it or remove it first", m.From, m.To, err)
		}
		list = append(list, x)
	}
	var err error
	for i := range list {
		if list[i].history, err = t.takeOut(list[i].From); err != nil {
			return err
		}
	}
	for _, x := range list {
		if _, err := t.takeOut(x.To); err != nil {
			return err
		}
		if err := t.putIn(x); err != nil {
			return err
		}
	}
	return nil
}

// takeOut deletes a record and its history, and returns the revisions in their stored form.
func (t tables) takeOut(address string) (map[uint64][]byte, error) {
	if err := t.remove(bucketRecords, []byte(address)); err != nil {
		return nil, err
	}
	history, out := t.Bucket(bucketHistory), map[uint64][]byte{}
	for _, k := range revisions(history, address) {
		out[number(k[len(k)-8:])] = bytes.Clone(history.Get(k))
		if err := t.remove(bucketHistory, k); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (t tables) putIn(x moving) error {
	x.record.Address = x.To
	if err := t.set(bucketRecords, []byte(x.To), x.record); err != nil {
		return err
	}
	for n, b := range x.history {
		from, to := historyKey(x.From, n), historyKey(x.To, n)
		var r state.Revision
		if t.unseal(bucketHistory, from, b, &r) != nil {
			// A damaged revision moves unchanged: its checksum is wrong at the new place as well.
			if err := t.setSealed(bucketHistory, to, b); err != nil {
				return err
			}
			continue
		}
		r.Record.Address = x.To
		if err := t.set(bucketHistory, to, r); err != nil {
			return err
		}
	}
	return nil
}

// replace replaces the whole state.
func (t tables) replace(a *state.Archive) error {
	t.sums = sums{}
	for _, name := range items {
		if err := t.empty(name); err != nil {
			return err
		}
	}
	for address, r := range a.Records {
		if err := t.set(bucketRecords, []byte(address), r); err != nil {
			return fmt.Errorf("record %s: %w", address, err)
		}
	}
	for id, o := range a.Operations {
		if err := t.set(bucketOperations, []byte(id), o); err != nil {
			return fmt.Errorf("operation %s: %w", id, err)
		}
	}
	for name, o := range a.Outputs {
		if err := t.set(bucketOutputs, []byte(name), o); err != nil {
			return fmt.Errorf("output %s: %w", name, err)
		}
	}
	for _, r := range state.SortHistory(a.History) {
		if err := t.set(bucketHistory, historyKey(r.Record.Address, r.Number), r); err != nil {
			return fmt.Errorf("revision %d of %s: %w", r.Number, r.Record.Address, err)
		}
	}
	return t.put(bucketMeta, keyHead, head{Lineage: a.Lineage, Serial: a.Serial, Tables: t.sums})
}
