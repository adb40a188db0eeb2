package local

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/davit-sh/davit/state/internal/seal"
)

// head has the lineage, serial and sums of the state.
type head struct {
	Lineage string `json:"lineage"`
	Serial  uint64 `json:"serial"`
	Tables  sums   `json:"tables,omitempty"`
}

// sums has the number of items and a checksum for each table. The database has no checksums of its pages: if a page is lost or
// replaced by an old one, all readable items are valid, and only the sum differs.
type sums map[string]sum

type sum struct {
	Count int    `json:"count"`
	Sum   uint32 `json:"sum"` // the checksums of all items, by exclusive or
}

func (s sum) add(stored uint32) sum    { return sum{s.Count + 1, s.Sum ^ stored} }
func (s sum) remove(stored uint32) sum { return sum{s.Count - 1, s.Sum ^ stored} }

// head returns lineage, serial and sums.
func (t tables) head() (h head, err error) {
	meta := t.Bucket(bucketMeta)
	if t.format == 1 {
		return head{Lineage: string(meta.Get(keyLineage1)), Serial: number(meta.Get(keySerial1))}, nil
	}
	if t.unseal(bucketMeta, keyHead, meta.Get(keyHead), &h) != nil {
		return h, errors.New("the file is damaged: its lineage and serial cannot be read. Replace it by a backup, or move it away and push an archive with davit state push")
	}
	return h, nil
}

// Records have hundreds of bytes: with the database's own sizes (pages of 4 KiB, split in halves) more than half of a
// big file is empty. So are 50,000 records in 69 MB instead of 120.
const (
	pageSize    = 8 << 10
	fillPercent = 0.9
)

// set writes an item.
func (t tables) set(bucket, key []byte, v any) error {
	b, err := seal.Seal(place(bucket, key), v)
	if err != nil {
		return err
	}
	return t.setSealed(bucket, key, b)
}

// setSealed writes an item in its stored form.
func (t tables) setSealed(bucket, key, b []byte) error {
	if err := t.remove(bucket, key); err != nil {
		return err
	}
	t.sums[string(bucket)] = t.sums[string(bucket)].add(seal.Sum(b))
	table := t.Bucket(bucket)
	table.FillPercent = fillPercent
	return table.Put(key, b)
}

// remove deletes an item. After the deletion of a damaged item, the sum is computed again from the remaining items, because
// the checksum of the deleted item may be damaged.
func (t tables) remove(bucket, key []byte) error {
	b := t.Bucket(bucket)
	old := b.Get(key)
	if old == nil {
		return nil
	}
	stored, holds := seal.Sum(old), seal.Holds(place(bucket, key), old)
	if err := b.Delete(key); err != nil {
		return err
	}
	if !holds {
		t.recount(bucket)
		return nil
	}
	t.sums[string(bucket)] = t.sums[string(bucket)].remove(stored)
	return nil
}

// recount computes the sum of a table from its present items.
func (t tables) recount(bucket []byte) {
	t.sums[string(bucket)] = sumOf(stores(t.Bucket(bucket), nil))
}

func sumOf(list []stored) (s sum) {
	for _, x := range list {
		s = s.add(seal.Sum(x.value))
	}
	return s
}

// tableDamaged returns the name of a table with lost or old items. Deleting this name like a record accepts the present items as
// complete.
func tableDamaged(bucket []byte) string { return fmt.Sprintf("table %s", bucket) }

func damagedTable(name string) (bucket []byte, ok bool) {
	for _, bucket := range items {
		if name == tableDamaged(bucket) {
			return bucket, true
		}
	}
	return nil, false
}

// check compares the items of a table with its sum. If items are damaged, they are named, and
// only the number can be compared.
func (t tables) check(h head, bucket []byte, list []stored, damagedItems bool, damaged *[]string) {
	if t.format == 1 {
		return
	}
	want, got := h.Tables[string(bucket)], sumOf(list)
	if want.Count != got.Count || (!damagedItems && want != got) || !inOrder(list) {
		*damaged = append(*damaged, tableDamaged(bucket))
	}
}

// inOrder returns whether the keys are in ascending order: otherwise the database does not find some of them.
func inOrder(list []stored) bool {
	for i := 1; i < len(list); i++ {
		if bytes.Compare(list[i-1].key, list[i].key) >= 0 {
			return false
		}
	}
	return true
}
