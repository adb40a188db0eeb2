package local_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
)

// format1 puts a file of format 1 into a folder. It was written by a davit of that time: three records, of which one was moved, an
// open operation, outputs and history. One record is damaged here.
func format1(t *testing.T) (path string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "format1.db"))
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "state.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bbolt.Tx) error {
		key := []byte("build.oci.damaged")
		v := bytes.Clone(tx.Bucket([]byte("records")).Get(key))
		v[len(v)-1] ^= 1
		return tx.Bucket([]byte("records")).Put(key, v)
	})
	return path
}

// was is what is in that file.
func was() *state.Archive {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := func(address string) state.Record {
		return state.Record{Address: address, Kind: "build", Type: "oci", Plugin: "oci", Status: "ok", Private: []byte{1, 2},
			Config: json.RawMessage(`{"type":"string","value":"\u003ca\u0026b\u003e"}`), Updated: at, Fingerprints: map[string]string{"token": "hmac-sha256:00"},
			DependsOn: []string{"source.git.a"}, Hold: &state.Hold{Revision: 1, Who: "a@b", Since: at}}
	}
	revision := func(n uint64, address, action string) state.Revision {
		return state.Revision{Number: n, Action: action, Who: "old@host", At: at, Record: record(address)}
	}
	return &state.Archive{
		Snapshot: state.Snapshot{
			Format: state.Format, Serial: 2, Damaged: []string{"build.oci.damaged"},
			Records:    map[string]state.Record{"build.oci.a": record("build.oci.a"), "build.oci.after": record("build.oci.after")},
			Operations: map[string]state.Operation{"op": {ID: "op", Address: "build.oci.a", Action: "build", Begun: at}},
			Outputs:    map[string]json.RawMessage{"big": json.RawMessage(`12345678901234567890`), "text": json.RawMessage(`"x"`)},
		},
		History: []state.Revision{revision(2, "build.oci.a", "update"), revision(1, "build.oci.a", "create"), revision(1, "build.oci.after", "create"),
			revision(1, "build.oci.damaged", "create"), revision(1, "build.oci.gone", "delete")},
	}
}

func backups(t *testing.T, path string) []string {
	t.Helper()
	list, err := filepath.Glob(path + ".backup-*")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// A file of format 1 is read as it is, and becomes one of this format when it is first written to, after it was
// backed up.
func TestUpgrade(t *testing.T) {
	path := format1(t)
	s := store(t, path)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	look := func(s state.Store) *state.Archive {
		t.Helper()
		a, err := s.Archive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if a.Lineage == "" {
			t.Error("the lineage was lost")
		}
		a.Lineage = ""
		if diff := cmp.Diff(was(), a); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		return a
	}
	look(s)
	if now, _ := os.ReadFile(path); !bytes.Equal(now, before) || len(backups(t, path)) > 0 {
		t.Error("reading has changed the file")
	}
	l, err := s.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	look(s)
	list := backups(t, path)
	if len(list) != 1 || !regexp.MustCompile(`state\.db\.backup-format1-\d{8}T\d{6}Z$`).MatchString(list[0]) {
		t.Fatalf("the backups are %v", list)
	}
	look(store(t, list[0]))
	if info, err := os.Stat(list[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup: %v, %v", info, err)
	}
	// The file goes on as one of this format: the damaged record can be restored.
	if _, err := state.Restore(t.Context(), s, l, "build.oci.damaged", 0, "a@b"); err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l, err = s.Lock(t.Context(), state.Holder{}); err != nil {
		t.Fatal(err)
	}
	a, err := s.Archive(t.Context())
	if err != nil || len(a.Damaged) != 0 || len(a.Records) != 3 || a.Serial != 3 {
		t.Errorf("%+v, %v", a, err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := backups(t, path); len(list) != 1 {
		t.Errorf("the backups are %v", list)
	}
}

// A file that is in use by a davit of format 1 is not upgraded under its hands.
func TestUpgradeWaits(t *testing.T) {
	path := format1(t)
	put := func(id string, expires time.Time) {
		b, err := json.Marshal(map[string]any{"token": 9, "holder": state.Holder{ID: id, Who: "old@host", Expires: expires}})
		if err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(tx *bbolt.Tx) error {
			sealed := append(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), b...)
			return errors.Join(tx.Bucket([]byte("meta")).Put([]byte("lease"), sealed), tx.Bucket([]byte("meta")).Put([]byte("token"), binary.BigEndian.AppendUint64(nil, 9)))
		})
	}
	put("old", time.Now().Add(time.Hour))
	s := store(t, path)
	var locked *state.LockedError
	if _, err := s.Lock(t.Context(), state.Holder{}); !errors.As(err, &locked) || locked.Holder.ID != "old" {
		t.Fatalf("%v", err)
	}
	if list := backups(t, path); len(list) != 0 {
		t.Errorf("the backups are %v", list)
	}
	if err := s.Unlock(t.Context(), "old"); err != nil {
		t.Fatal(err)
	}
	put("expired", time.Now().Add(-time.Second))
	l, err := s.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list := backups(t, path); len(list) != 1 {
		t.Errorf("the backups are %v", list)
	}
}
