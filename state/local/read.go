package local

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
)

// snapshot reads everything but the history.
func (t tables) snapshot(s *state.Snapshot) error {
	h, err := t.head()
	if err != nil {
		return err
	}
	if s.Serial = h.Serial; s.Serial > 0 {
		s.Lineage = h.Lineage
	}
	if s.Records, err = readAll[state.Record](t, h, bucketRecords, "", &s.Damaged); err != nil {
		return err
	}
	if s.Operations, err = readAll[state.Operation](t, h, bucketOperations, "operation ", &s.Damaged); err != nil {
		return err
	}
	outputs, err := readAll[json.RawMessage](t, h, bucketOutputs, "output ", &s.Damaged)
	if len(outputs) > 0 {
		s.Outputs = outputs
	}
	return err
}

// stored is an item as the file has it; the bytes are the file's own, and are gone after the transaction.
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

// readAll reads a table. Items that are damaged are named with a prefix before their key.
func readAll[T any](t tables, h head, bucket []byte, prefix string, damaged *[]string) (map[string]T, error) {
	list := stores(t.Bucket(bucket), nil)
	values, errs, err := decode[T](t, bucket, list)
	if err != nil {
		return nil, err
	}
	out := make(map[string]T, len(list))
	for i, s := range list {
		if errs[i] != nil {
			*damaged = append(*damaged, prefix+string(s.key))
			continue
		}
		out[string(s.key)] = values[i]
	}
	t.check(h, bucket, list, len(out) < len(list), damaged)
	return out, nil
}

// decode opens many items on all processors: for big states that is most of the time of a load.
// It returns an error for each item, and one if the file itself could not be read.
func decode[T any](t tables, bucket []byte, list []stored) ([]T, []error, error) {
	values, errs := make([]T, len(list)), make([]error, len(list))
	workers := max(1, min(runtime.GOMAXPROCS(0), len(list)/64))
	faults := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // see Store.transact
			defer func() {
				if p := recover(); p != nil {
					faults[w] = fmt.Errorf("the file is damaged: %v", p)
				}
			}()
			for i := len(list) * w / workers; i < len(list)*(w+1)/workers; i++ {
				errs[i] = t.unseal(bucket, list[i].key, list[i].value, &values[i])
			}
		})
	}
	wg.Wait()
	return values, errs, cmp.Or(faults...)
}

// history reads the revisions of one instance, or of all, newest first. One that is damaged is left out and
// named: the others still tell their part.
func (t tables) history(address string) (out []state.Revision, damaged []string, err error) {
	var prefix []byte
	if address != "" {
		prefix = []byte(address + "\x00")
	}
	list := stores(t.Bucket(bucketHistory), prefix)
	values, errs, err := decode[state.Revision](t, bucketHistory, list)
	if err != nil {
		return nil, nil, err
	}
	for i, s := range list {
		of, n, ok := splitHistoryKey(s.key)
		if !ok || errs[i] != nil {
			damaged = append(damaged, fmt.Sprintf("revision %d of %s", n, of))
			continue
		}
		if t.format == 1 { // which did not rename revisions when their record was moved
			values[i].Record.Address = of
		}
		out = append(out, values[i])
	}
	if h, err := t.head(); err == nil && address == "" {
		t.check(h, bucketHistory, list, len(damaged) > 0, &damaged)
	}
	slices.SortStableFunc(out, func(a, b state.Revision) int {
		return cmp.Or(cmp.Compare(a.Record.Address, b.Record.Address), cmp.Compare(b.Number, a.Number))
	})
	return out, damaged, nil
}
