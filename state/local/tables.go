package local

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/davit-sh/davit/state"
)

// The tables of the file: meta has single values, the others a checksum and JSON by address, id or name.
var (
	bucketMeta       = []byte("meta")
	bucketRecords    = []byte("records")
	bucketOperations = []byte("operations")
	bucketOutputs    = []byte("outputs")
	bucketHistory    = []byte("history") // by address, a zero byte and the number

	keyFormat  = []byte("format")
	keyLineage = []byte("lineage")
	keySerial  = []byte("serial")
	keyLease   = []byte("lease")
	keyToken   = []byte("token")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errChecksum = errors.New("its checksum does not hold")

func seal(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, castagnoli)), b...), nil
}

func unseal(b []byte, into any) error {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return errChecksum
	}
	return json.Unmarshal(b[4:], into)
}

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func putNumber(b *bbolt.Bucket, key []byte, n uint64) error {
	return b.Put(key, binary.BigEndian.AppendUint64(nil, n))
}

// checkFormat refuses a file of a newer davit.
func checkFormat(tx *bbolt.Tx, path string) error {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return errors.New("the file is a database, but no davit state")
	}
	if got := number(meta.Get(keyFormat)); got > state.Format {
		return &state.FormatError{Where: path, Got: int(got), Know: state.Format} //nolint:gosec // a format is a small number
	}
	return nil
}

// begin makes the tables of a new file.
func begin(tx *bbolt.Tx, path string) error {
	if tx.Bucket(bucketMeta) != nil {
		if err := checkFormat(tx, path); err != nil {
			return err
		}
		_, err := tx.CreateBucketIfNotExists(bucketHistory)
		return err
	}
	for _, name := range [][]byte{bucketMeta, bucketRecords, bucketOperations, bucketOutputs, bucketHistory} {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	return errors.Join(putNumber(meta, keyFormat, state.Format), putNumber(meta, keySerial, 0), meta.Put(keyLineage, []byte(uuid.NewString())))
}

func load(tx *bbolt.Tx, path string, s *state.Snapshot) error {
	if err := checkFormat(tx, path); err != nil {
		return err
	}
	meta := tx.Bucket(bucketMeta)
	s.Serial = number(meta.Get(keySerial))
	if s.Serial > 0 {
		s.Lineage = string(meta.Get(keyLineage))
	}
	err := tx.Bucket(bucketRecords).ForEach(func(k, v []byte) error {
		var r state.Record
		if err := unseal(v, &r); err != nil {
			s.Damaged = append(s.Damaged, string(k))
			return nil
		}
		s.Records[string(k)] = r
		return nil
	})
	if err != nil {
		return err
	}
	err = tx.Bucket(bucketOperations).ForEach(func(k, v []byte) error {
		var o state.Operation
		if unseal(v, &o) != nil {
			s.Damaged = append(s.Damaged, "operation "+string(k))
			return nil
		}
		s.Operations[string(k)] = o
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Bucket(bucketOutputs).ForEach(func(k, v []byte) error {
		var o json.RawMessage
		if unseal(v, &o) != nil {
			s.Damaged = append(s.Damaged, "output "+string(k))
			return nil
		}
		if s.Outputs == nil {
			s.Outputs = map[string]json.RawMessage{}
		}
		s.Outputs[string(k)] = o
		return nil
	})
}

// write applies a batch and moves the serial on.
func write(tx *bbolt.Tx, b state.Batch) (uint64, error) {
	records, operations := tx.Bucket(bucketRecords), tx.Bucket(bucketOperations)
	put := func(bucket *bbolt.Bucket, key string, v any) error {
		sealed, err := seal(v)
		if err != nil {
			return err
		}
		return bucket.Put([]byte(key), sealed)
	}
	for _, m := range b.Move {
		if err := move(tx, m, put); err != nil {
			return 0, err
		}
	}
	for _, d := range b.Delete {
		if err := records.Delete([]byte(d)); err != nil {
			return 0, err
		}
	}
	for _, r := range b.Put {
		if err := put(records, r.Address, r); err != nil {
			return 0, err
		}
	}
	for _, id := range b.End {
		if err := operations.Delete([]byte(id)); err != nil {
			return 0, err
		}
	}
	for _, o := range b.Begin {
		if err := put(operations, o.ID, o); err != nil {
			return 0, err
		}
	}
	if b.Outputs != nil {
		if err := tx.DeleteBucket(bucketOutputs); err != nil {
			return 0, err
		}
		outputs, err := tx.CreateBucket(bucketOutputs)
		if err != nil {
			return 0, err
		}
		for name, v := range b.Outputs {
			if err := put(outputs, name, v); err != nil {
				return 0, err
			}
		}
	}
	for _, r := range b.History {
		if err := appendRevision(tx.Bucket(bucketHistory), r, put); err != nil {
			return 0, err
		}
	}
	meta := tx.Bucket(bucketMeta)
	serial := number(meta.Get(keySerial)) + 1
	return serial, putNumber(meta, keySerial, serial)
}

type putFunc func(bucket *bbolt.Bucket, key string, v any) error

func historyKey(address string, number uint64) string {
	return address + "\x00" + string(binary.BigEndian.AppendUint64(nil, number))
}

// revisions returns the keys of an instance's revisions, oldest first.
func revisions(history *bbolt.Bucket, address string) [][]byte {
	prefix := []byte(address + "\x00")
	var keys [][]byte
	c := history.Cursor()
	for k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, bytes.Clone(k))
	}
	return keys
}

func appendRevision(history *bbolt.Bucket, r state.Revision, put putFunc) error {
	keys := revisions(history, r.Record.Address)
	r.Number = 1
	if n := len(keys); n > 0 {
		r.Number = number(keys[n-1][len(keys[n-1])-8:]) + 1
	}
	for len(keys) >= state.KeepRevisions {
		if err := history.Delete(keys[0]); err != nil {
			return err
		}
		keys = keys[1:]
	}
	return put(history, historyKey(r.Record.Address, r.Number), r)
}

// move gives a record and its history another address.
func move(tx *bbolt.Tx, m state.Move, put putFunc) error {
	records, history := tx.Bucket(bucketRecords), tx.Bucket(bucketHistory)
	if b := records.Get([]byte(m.From)); b != nil {
		var r state.Record
		if err := unseal(b, &r); err != nil {
			return fmt.Errorf("record %s: %w", m.From, err)
		}
		r.Address = m.To
		if err := errors.Join(records.Delete([]byte(m.From)), put(records, m.To, r)); err != nil {
			return err
		}
	}
	for _, k := range revisions(history, m.From) {
		v := bytes.Clone(history.Get(k))
		to := historyKey(m.To, number(k[len(k)-8:]))
		if err := errors.Join(history.Delete(k), history.Put([]byte(to), v)); err != nil {
			return err
		}
	}
	return nil
}

// loadHistory reads the revisions of one instance, or of all, newest first. One that is damaged is left out: the others
// still tell their part.
func loadHistory(tx *bbolt.Tx, address string) []state.Revision {
	history := tx.Bucket(bucketHistory)
	if history == nil {
		return nil
	}
	var prefix []byte
	if address != "" {
		prefix = []byte(address + "\x00")
	}
	var list []state.Revision
	c := history.Cursor()
	for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
		var r state.Revision
		if len(k) < 9 || unseal(v, &r) != nil {
			continue
		}
		r.Record.Address = string(k[:len(k)-9])
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b state.Revision) int {
		return cmp.Or(cmp.Compare(a.Record.Address, b.Record.Address), cmp.Compare(b.Number, a.Number))
	})
	return list
}

// replace writes a whole state over what is there.
func replace(tx *bbolt.Tx, a *state.Archive) error {
	for _, name := range [][]byte{bucketRecords, bucketOperations, bucketOutputs, bucketHistory} {
		if err := tx.DeleteBucket(name); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
			return err
		}
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	put := func(bucket []byte, key string, v any) error {
		sealed, err := seal(v)
		if err != nil {
			return err
		}
		return tx.Bucket(bucket).Put([]byte(key), sealed)
	}
	for address, r := range a.Records {
		if err := put(bucketRecords, address, r); err != nil {
			return err
		}
	}
	for id, o := range a.Operations {
		if err := put(bucketOperations, id, o); err != nil {
			return err
		}
	}
	for name, o := range a.Outputs {
		if err := put(bucketOutputs, name, o); err != nil {
			return err
		}
	}
	for _, r := range a.History {
		if err := put(bucketHistory, historyKey(r.Record.Address, r.Number), r); err != nil {
			return err
		}
	}
	meta := tx.Bucket(bucketMeta)
	return errors.Join(putNumber(meta, keySerial, a.Serial), meta.Put(keyLineage, []byte(a.Lineage)))
}
