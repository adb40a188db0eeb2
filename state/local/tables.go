package local

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
)

// The tables of the file: meta has single values, the others a checksum and JSON by address, id or name.
var (
	bucketMeta       = []byte("meta")
	bucketRecords    = []byte("records")
	bucketOperations = []byte("operations")
	bucketOutputs    = []byte("outputs")

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
		return checkFormat(tx, path)
	}
	for _, name := range [][]byte{bucketMeta, bucketRecords, bucketOperations, bucketOutputs} {
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
		if err := unseal(v, &o); err != nil {
			return fmt.Errorf("operation %s: %w", k, err)
		}
		s.Operations[string(k)] = o
		return nil
	})
	if err != nil {
		return err
	}
	return tx.Bucket(bucketOutputs).ForEach(func(k, v []byte) error {
		var o json.RawMessage
		if err := unseal(v, &o); err != nil {
			return fmt.Errorf("output %s: %w", k, err)
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
	meta := tx.Bucket(bucketMeta)
	serial := number(meta.Get(keySerial)) + 1
	return serial, putNumber(meta, keySerial, serial)
}
