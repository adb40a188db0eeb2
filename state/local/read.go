package local

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
)

// snapshot copies everything except the history, and returns a function that decodes it: decoding takes longer than
// copying, and needs no transaction.
func (t tables) snapshot(s *state.Snapshot) (finish func(), err error) {
	h, err := t.head()
	if err != nil {
		return nil, err
	}
	records, operations, outputs := t.copied(bucketRecords, nil), t.copied(bucketOperations, nil), t.copied(bucketOutputs, nil)
	return func() {
		if s.Serial = h.Serial; s.Serial > 0 {
			s.Lineage = h.Lineage
		}
		s.Records = readAll[state.Record](t, h, bucketRecords, records, "", &s.Damaged)
		s.Operations = readAll[state.Operation](t, h, bucketOperations, operations, "operation ", &s.Damaged)
		if out := readAll[json.RawMessage](t, h, bucketOutputs, outputs, "output ", &s.Damaged); len(out) > 0 {
			s.Outputs = out
		}
	}, nil
}

// stored is an item in its stored form; its bytes are mapped from the file, and invalid after the transaction.
type stored struct{ key, value []byte }

func stores(b *bbolt.Bucket, prefix []byte) []stored {
	if b == nil {
		return nil // of a file from before there was a history
	}
	var list []stored
	c := b.Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		list = append(list, stored{k, v})
	}
	return list
}

// copied returns copies of items, which stay valid after the transaction.
func (t tables) copied(bucket, prefix []byte) []stored {
	list := stores(t.Bucket(bucket), prefix)
	for i, x := range list {
		list[i] = stored{bytes.Clone(x.key), bytes.Clone(x.value)}
	}
	return list
}

// readAll reads a table. Items that are damaged are named with a prefix before their key.
func readAll[T any](t tables, h head, bucket []byte, list []stored, prefix string, damaged *[]string) map[string]T {
	values, errs := decode[T](t, bucket, list)
	out := make(map[string]T, len(list))
	for i, s := range list {
		if errs[i] != nil {
			*damaged = append(*damaged, prefix+string(s.key))
			continue
		}
		out[string(s.key)] = values[i]
	}
	t.check(h, bucket, list, len(out) < len(list), damaged)
	return out
}

// decode opens many items on all processors: for big states that is most of the time of a load. It returns an
// error for each item.
func decode[T any](t tables, bucket []byte, list []stored) ([]T, []error) {
	values, errs := make([]T, len(list)), make([]error, len(list))
	workers := max(1, min(runtime.GOMAXPROCS(0), len(list)/64))
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := len(list) * w / workers; i < len(list)*(w+1)/workers; i++ {
				errs[i] = t.unseal(bucket, list[i].key, list[i].value, &values[i])
			}
		})
	}
	wg.Wait()
	return values, errs
}

// history copies the revisions of one instance, or of all, and returns a function that decodes them, newest first. It leaves
// damaged revisions out and names them.
func (t tables) history(address string, a *state.Archive) (finish func(), err error) {
	var prefix []byte
	if address != "" {
		prefix = []byte(address + "\x00")
	}
	list := t.copied(bucketHistory, prefix)
	h, err := t.head()
	if err != nil {
		return nil, err
	}
	return func() {
		values, errs := decode[state.Revision](t, bucketHistory, list)
		for i, s := range list {
			of, n, ok := splitHistoryKey(s.key)
			if !ok || errs[i] != nil {
				a.Damaged = append(a.Damaged, fmt.Sprintf("revision %d of %s", n, of))
				continue
			}
			if t.format == 1 { // which did not rename revisions when their record was moved
				values[i].Record.Address = of
			}
			a.History = append(a.History, values[i])
		}
		if address == "" {
			t.check(h, bucketHistory, list, len(a.History) < len(list), &a.Damaged)
		}
		slices.SortStableFunc(a.History, func(a, b state.Revision) int {
			return cmp.Or(cmp.Compare(a.Record.Address, b.Record.Address), cmp.Compare(b.Number, a.Number))
		})
	}, nil
}
