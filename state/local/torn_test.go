package local_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/statetest"
)

// lastCommit makes a state of a few records and some more, and returns its file before and after its last commit, and what is in it.
func lastCommit(t *testing.T, more int) (path string, before, after []byte, old, next *state.Archive) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "state.db")
	s := store(t, path)
	l, err := s.Lock(t.Context(), state.Holder{})
	if err != nil {
		t.Fatal(err)
	}
	look := func() ([]byte, *state.Archive) {
		b, err1 := os.ReadFile(path)
		a, err2 := s.Archive(t.Context())
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		return b, a
	}
	var b state.Batch
	for _, address := range []string{"build.oci.a", "build.oci.b", "build.oci.c"} {
		b.Put = append(b.Put, statetest.Record(address))
		b.History = append(b.History, state.Revision{Action: "create", Record: statetest.Record(address)})
	}
	for i := range more {
		b.Put = append(b.Put, statetest.Record("build.oci.more-"+strconv.Itoa(i)))
	}
	b.Outputs = map[string]json.RawMessage{"o": json.RawMessage(`1`)}
	for range 3 { // so that pages are used again
		if _, err := l.Commit(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	before, old = look()
	changed := statetest.Record("build.oci.b")
	changed.Private = bytes.Repeat([]byte("new "), 150)
	_, err = l.Commit(t.Context(), state.Batch{Put: []state.Record{changed}, Delete: []string{"build.oci.a"}, Outputs: map[string]json.RawMessage{"o": json.RawMessage(`2`)},
		History: []state.Revision{{Action: "update", Record: changed}}})
	if err != nil {
		t.Fatal(err)
	}
	after, next = look()
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	return path, before, after, old, next
}

const page = 8192

// The last commit reaches the disk up to any byte and no further, as its pages are written: first those of the
// data, then, after a sync, the one that names them. The state is the old one or the new one, whole.
func TestTornWrite(t *testing.T) {
	path, before, after, old, next := lastCommit(t, 0)
	var data, head []int // pages that differ
	for i := 0; i < len(after); i += page {
		switch {
		case i < len(before) && bytes.Equal(before[i:min(i+page, len(before))], after[i:i+page]):
		case i < 2*page:
			head = append(head, i)
		default:
			data = append(data, i)
		}
	}
	if len(head) != 1 || len(data) < 3 {
		t.Fatalf("the commit wrote the pages %v and %v", data, head)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(before); err != nil {
		t.Fatal(err)
	}
	s := store(t, path)
	wasOld, wasNew := 0, 0
	look := func(at int) {
		got, err := s.Archive(t.Context())
		switch {
		case err != nil:
			t.Fatalf("torn at byte %d: %v", at, err)
		case reflect.DeepEqual(got, old):
			wasOld++
			if wasNew > 0 {
				t.Fatalf("torn at byte %d: the old state is back", at)
			}
		case reflect.DeepEqual(got, next):
			wasNew++
		default:
			t.Fatalf("torn at byte %d, the state is neither the old nor the new one: %+v", at, got)
		}
	}
	look(0)
	torn := 0
	for _, p := range slices.Concat(data, head) {
		for i := p; i < p+page; i++ {
			if i < len(before) && before[i] == after[i] {
				continue // nothing happens
			}
			if _, err := f.WriteAt(after[i:i+1], int64(i)); err != nil {
				t.Fatal(err)
			}
			torn++
			look(i)
		}
	}
	statetest.Numbers(t, "%d pages, torn at each of %d bytes: %d times the old state, %d times the new one, 0 times another", len(data)+len(head), torn, wasOld, wasNew)
	if wasNew == 0 {
		t.Error("the new state never came")
	}
}

// A disk that says that it has synced and has not may write the page that names the others before them. What is
// then missing is named or the file is refused; a state that is neither old nor new is never taken for sound.
func TestLostPages(t *testing.T) {
	path, before, after, old, next := lastCommit(t, 0)
	s := store(t, path)
	refused, named, sound := 0, 0, 0
	var changed []int
	for i := 0; i < len(after); i += page {
		was := make([]byte, page)
		if i < len(before) {
			copy(was, before[i:])
		}
		if !bytes.Equal(was, after[i:i+page]) {
			changed = append(changed, i)
		}
	}
	if len(changed) < 4 || len(changed) > 14 {
		t.Fatalf("the commit wrote the pages %v", changed)
	}
	for lost := range 1 << len(changed) { // every subset of them is lost
		disk := bytes.Clone(after)
		for j, p := range changed {
			if lost&(1<<j) != 0 {
				clear(disk[p : p+page])
				if p < len(before) {
					copy(disk[p:p+page], before[p:p+page])
				}
			}
		}
		if err := os.WriteFile(path, disk, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := s.Archive(t.Context())
		switch {
		case err != nil:
			refused++
		case len(got.Damaged) > 0:
			named++
		case reflect.DeepEqual(got, old) || reflect.DeepEqual(got, next):
			sound++
		default:
			t.Fatalf("without the pages %b of %v the state is taken for sound:\n%s", lost, changed, cmp.Diff(next, got))
		}
	}
	statetest.Numbers(t, "of %d ways to lose some of %d pages: %d refused, %d with the damage named, %d the old or the new state", 1<<len(changed), len(changed), refused, named, sound)
}

// Whatever bits of the file flip: the damage is named, or the file is refused, or nothing that counts has changed.
// There is one exception: if they are of the page that names the last commit, the file is the same as if that had been torn,
// and the state is the one before.
func TestFlippedBits(t *testing.T) {
	path, _, after, old, next := lastCommit(t, 400)
	s := store(t, path)
	refused, named, sound, back := 0, 0, 0, 0
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const files = 600
	for range files {
		disk := bytes.Clone(after)
		for range 1 + rand.IntN(3) {
			at := rand.IntN(len(disk))
			if rand.IntN(2) == 0 { // where a page says what is in it
				at = at/page*page + rand.IntN(128)
			}
			disk[at] ^= 1 << rand.IntN(8)
		}
		if _, err := f.WriteAt(disk, 0); err != nil {
			t.Fatal(err)
		}
		got, err := s.Archive(t.Context())
		switch {
		case err != nil:
			refused++
		case len(got.Damaged) > 0:
			named++
		case reflect.DeepEqual(got, next):
			sound++
		case reflect.DeepEqual(got, old) && !bytes.Equal(disk[:2*page], after[:2*page]):
			back++
		default:
			t.Errorf("a changed state is taken for sound: %s", cmp.Diff(next, got))
			return
		}
	}
	statetest.Numbers(t, "%d files with flipped bits: %d refused, %d with the damage named, %d in which nothing that counts has changed, %d one commit back", files, refused, named, sound, back)
}

// Pages that name themselves, or each other, or none that there is, are found before anybody goes round in them.
func TestPagesInCircles(t *testing.T) {
	path, _, after, _, _ := lastCommit(t, 400)
	const branch, header = 1, 16
	var branches []int
	for at := 2 * page; at+page <= len(after); at += page {
		if binary.NativeEndian.Uint16(after[at+8:]) == branch {
			branches = append(branches, at)
		}
	}
	if len(branches) == 0 {
		t.Fatal("the state is too small to have branches")
	}
	used := map[int]bool{} // the others are free: of earlier commits
	edit(t, path, func(tx *bbolt.Tx) error {
		for _, at := range branches {
			info, err := tx.Page(at / page)
			if err != nil {
				return err
			}
			used[at] = info != nil && info.Type == "branch"
		}
		return nil
	})
	refused := 0
	for _, at := range branches {
		entries := int(binary.NativeEndian.Uint16(after[at+10:]))
		for i := range entries {
			below := at + header + 16*i + 8
			for _, to := range []uint64{uint64(at / page), uint64(branches[0] / page), 0, 1, uint64(len(after)), 1 << 63, binary.NativeEndian.Uint64(after[at+header+16*((i+1)%entries)+8:])} {
				disk := bytes.Clone(after)
				binary.NativeEndian.PutUint64(disk[below:], to)
				if err := os.WriteFile(path, disk, 0o600); err != nil {
					t.Fatal(err)
				}
				s := store(t, path)
				_, err := s.Archive(t.Context())
				_, lockErr := s.Lock(t.Context(), state.Holder{})
				if used[at] && (err == nil || lockErr == nil) {
					t.Fatalf("entry %d of page %d leads to page %d: %v, %v", i, at/page, to, err, lockErr)
				}
				if err != nil {
					refused++
				}
			}
		}
	}
	statetest.Numbers(t, "%d files with pages in circles or out of the file, all refused", refused)
	if refused == 0 {
		t.Error("no page that counts was changed")
	}
}
