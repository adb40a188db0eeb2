package local

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
)

// backup copies the file to PATH.backup-format1-20260102T030405Z before its format changes. The copy is
// durable, and gets its name when it is complete.
func (s *Store) backup(ctx context.Context, tx *bbolt.Tx, format uint64) error {
	name := fmt.Sprintf("%s.backup-format%d-%s", s.path, format, s.now().UTC().Format("20060102T150405Z"))
	if err := s.copyTo(ctx, tx, name); err != nil {
		return fmt.Errorf("making a backup before changing the format to %d: %w", state.Format, err)
	}
	return nil
}

func (s *Store) copyTo(ctx context.Context, tx *bbolt.Tx, name string) error {
	dir := filepath.Dir(name)
	unlock, _, err := lockDir(ctx, dir)
	if err != nil {
		return err
	}
	defer unlock()
	tmp, err := os.MkdirTemp(dir, s.temporary())
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	f, err := os.OpenFile(filepath.Join(tmp, "backup.db"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = tx.WriteTo(f)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(f.Name(), name), syncDir(dir))
}

// upgrade rewrites a file of an older format, in the transaction that takes the lease.
func (t tables) upgrade(now time.Time) (tables, error) {
	h, err := t.head()
	if err != nil {
		return t, err
	}
	token := t.token(func() uint64 { return uint64(now.UnixNano()) }) //nolint:gosec // after 1970
	next := tables{Tx: t.Tx, format: state.Format, sums: sums{}}
	if t.Bucket(bucketHistory) == nil {
		if _, err := t.CreateBucket(bucketHistory); err != nil {
			return t, err
		}
	}
	err = errors.Join(
		upgradeAll[state.Record](t, next, bucketRecords, nil),
		upgradeAll[state.Operation](t, next, bucketOperations, nil),
		upgradeAll[json.RawMessage](t, next, bucketOutputs, nil),
		upgradeAll(t, next, bucketHistory, func(key []byte, r *state.Revision) {
			if of, _, ok := splitHistoryKey(key); ok {
				r.Record.Address = of // format 1 did not rename it when the record was moved
			}
		}),
	)
	if err != nil {
		return t, err
	}
	for _, bucket := range items {
		next.recount(bucket)
	}
	h.Tables = next.sums
	meta := t.Bucket(bucketMeta)
	return next, errors.Join(
		meta.Put(keyFormat, binary.BigEndian.AppendUint64(nil, state.Format)),
		next.put(bucketMeta, keyHead, h), next.put(bucketMeta, keyToken, token),
		meta.Delete(keyLineage1), meta.Delete(keySerial1), meta.Delete(keyLease),
	)
}

// upgradeAll seals the items of a table again. Damaged items stay unchanged: their checksums are
// wrong in the new format as well.
func upgradeAll[T any](old, next tables, bucket []byte, mend func(key []byte, v *T)) error {
	for _, s := range stores(old.Bucket(bucket), nil) {
		key := bytes.Clone(s.key)
		var v T
		if old.unseal(bucket, key, s.value, &v) != nil {
			continue
		}
		if mend != nil {
			mend(key, &v)
		}
		if err := next.put(bucket, key, v); err != nil {
			return err
		}
	}
	return nil
}
