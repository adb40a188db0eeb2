package local

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/seal"
)

// The tables of the file: meta has single values, the others sealed items by address, id or name.
var (
	bucketMeta       = []byte("meta")
	bucketRecords    = []byte("records")
	bucketOperations = []byte("operations")
	bucketOutputs    = []byte("outputs")
	bucketHistory    = []byte("history") // by address, a zero byte and the number

	items = [][]byte{bucketRecords, bucketOperations, bucketOutputs, bucketHistory}

	keyFormat = []byte("format") // eight bytes, in every format: an old davit must be able to refuse a new file
	keyHead   = []byte("head")
	keyLease  = []byte("lease")
	keyToken  = []byte("token")

	// Of format 1 only: the parts of the head, not sealed.
	keyLineage1 = []byte("lineage")
	keySerial1  = []byte("serial")
)

// tables is a transaction on a file of a known format. It always writes the newest format.
type tables struct {
	*bbolt.Tx
	format uint64
	sums   sums // of a transaction that writes items; they go into the head at its end
}

// open returns an error if the file is not a state of a known format.
func open(tx *bbolt.Tx, path string) (tables, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return tables{}, errors.New("the file is a database, but not a davit state")
	}
	t := tables{Tx: tx, format: number(meta.Get(keyFormat))}
	switch {
	case t.format > state.Format:
		return t, &state.FormatError{Where: path, Got: int(t.format), Know: state.Format} //nolint:gosec // a format is a small number
	case t.format == 0:
		return t, errors.New("the file has no format: it is damaged, or is not a davit state")
	}
	for _, name := range [][]byte{bucketRecords, bucketOperations, bucketOutputs} {
		if tx.Bucket(name) == nil {
			return t, fmt.Errorf("the file is damaged: its table %q is missing", name)
		}
	}
	return t, nil
}

// begin creates the tables of a new file.
func begin(tx *bbolt.Tx) error {
	for _, name := range append(items, bucketMeta) {
		if _, err := tx.CreateBucketIfNotExists(name); err != nil {
			return err
		}
	}
	t := tables{Tx: tx, format: state.Format}
	return errors.Join(tx.Bucket(bucketMeta).Put(keyFormat, binary.BigEndian.AppendUint64(nil, state.Format)),
		t.put(bucketMeta, keyHead, head{Lineage: uuid.NewString()}))
}

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func place(bucket, key []byte) string { return string(bucket) + "\x00" + string(key) }

// put seals an item into its place.
func (t tables) put(bucket, key []byte, v any) error {
	b, err := seal.Seal(place(bucket, key), v)
	if err != nil {
		return err
	}
	return t.Bucket(bucket).Put(key, b)
}

// unseal opens the item that is stored as b.
func (t tables) unseal(bucket, key, b []byte, into any) error {
	if t.format == 1 {
		return unseal1(b, into)
	}
	return seal.Open(place(bucket, key), b, into)
}

// unseal1 opens an item of format 1, whose checksum does not cover its place.
func unseal1(b []byte, into any) error {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], crc32.MakeTable(crc32.Castagnoli)) {
		return seal.ErrDamaged
	}
	return json.Unmarshal(b[4:], into)
}

// token returns the newest fencing token. It counts up; when it cannot be read, it goes on from the time
// in nanoseconds, which is more than any count.
func (t tables) token(now func() uint64) (n uint64) {
	b := t.Bucket(bucketMeta).Get(keyToken)
	switch {
	case b == nil:
	case t.format == 1:
		n = number(b)
	case t.unseal(bucketMeta, keyToken, b, &n) != nil:
		n = now()
	}
	return n
}

func historyKey(address string, number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte(address+"\x00"), number)
}

// splitHistoryKey returns the parts of a key of the history.
func splitHistoryKey(k []byte) (address string, n uint64, ok bool) {
	if len(k) < 9 || k[len(k)-9] != 0 {
		return "", 0, false
	}
	return string(k[:len(k)-9]), number(k[len(k)-8:]), true
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
