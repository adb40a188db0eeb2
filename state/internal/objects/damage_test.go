package objects_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/objects"
	"github.com/davit-sh/davit/state/statetest"
)

// segments names the objects that hold the rest, oldest first.
func (b *bucket) segments() (names []string) {
	for _, name := range b.names() {
		if name != objects.Head {
			names = append(names, name)
		}
	}
	age := func(name string) int { n, _ := strconv.Atoi(b.objects[name].version); return n }
	slices.SortFunc(names, func(a, c string) int { return age(a) - age(c) })
	return names
}

// many makes a state of some segments of several parts, in which each record was written in two versions.
func many(t *testing.T, b *bucket) {
	t.Helper()
	l := lock(t, store(t, b, objects.Options{Part: 2 << 10, Tail: 300}))
	noise := rand.NewChaCha8([32]byte{}) // which cannot be compressed
	for version := range 2 {
		for i := range 40 {
			r := statetest.Record(fmt.Sprintf("build.oci.r%d", i))
			r.Type = fmt.Sprint(version)
			r.Private = make([]byte, 300)
			_, _ = noise.Read(r.Private)
			if _, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{r}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What is damaged or missing is named, or the state is refused; an old version never passes for the new one, and the
// rest can be read and written.
func TestDamagedObjects(t *testing.T) {
	read, refused := 0, 0
	for name, spoil := range map[string]func(b *bucket, object string){
		"damaged": func(b *bucket, name string) {
			o := b.objects[name]
			o.data = bytes.Clone(o.data)
			o.data[len(o.data)/2] ^= 4
			b.objects[name] = o
		},
		"missing": func(b *bucket, name string) { delete(b.objects, name) },
	} {
		for i := 0; ; i++ {
			b := newBucket()
			many(t, b)
			if i >= len(b.segments()) {
				break
			}
			object := b.segments()[i]
			spoil(b, object)
			s, err := store(t, b, objects.Options{}).Load(t.Context())
			if err != nil {
				refused++
				if !strings.Contains(err.Error(), object) || !strings.Contains(err.Error(), "restore") {
					t.Errorf("%s %s: %v", name, object, err)
				}
				continue
			}
			read++
			for _, r := range s.Records {
				if r.Type != "1" {
					t.Errorf("%s %s: %s is of version %s", name, object, r.Address, r.Type)
				}
			}
			if len(s.Records)+len(s.Damaged) != 40 {
				t.Errorf("%s %s: %d records and %d damaged", name, object, len(s.Records), len(s.Damaged))
			}
			// It can go on: writing the damaged ones again mends them.
			l := lock(t, store(t, b, objects.Options{Part: 2 << 10, Tail: 300}))
			commit(t, l, append(s.Damaged, "build.oci.other")...)
			if err := l.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			if s := load(t, store(t, b, objects.Options{})); len(s.Damaged) > 0 || len(s.Records) != 41 {
				t.Errorf("%s %s, written again: %d records, damaged %v", name, object, len(s.Records), s.Damaged)
			}
		}
	}
	statetest.Numbers(t, "%d states read, %d refused", read, refused)
}

// A state that cannot be read any more can be replaced, as from a backup.
func TestReplaceDamaged(t *testing.T) {
	b := newBucket()
	many(t, b)
	for _, name := range b.segments() {
		delete(b.objects, name)
	}
	if _, err := store(t, b, objects.Options{}).Load(t.Context()); err == nil {
		t.Fatal("a state without its objects was read")
	}
	l := lock(t, store(t, b, objects.Options{}))
	if _, err := l.Commit(t.Context(), state.Batch{Put: []state.Record{statetest.Record("build.oci.x")}}); err == nil {
		t.Error("a commit built on what cannot be read")
	}
	a := &state.Archive{Snapshot: state.Snapshot{Lineage: "old", Serial: 5, Records: map[string]state.Record{"build.oci.x": statetest.Record("build.oci.x")}}}
	if err := l.Replace(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if serial := commit(t, l, "build.oci.y"); serial != 6 {
		t.Errorf("the next serial is %d", serial)
	}
	if s := load(t, store(t, b, objects.Options{})); len(s.Records) != 2 || s.Lineage != "old" {
		t.Errorf("%+v", s)
	}
}

func TestBadHeads(t *testing.T) {
	good := newBucket()
	commit(t, lock(t, store(t, good, objects.Options{})), "build.oci.x")
	head := string(good.objects[objects.Head].data)
	for name, c := range map[string]struct{ data, want string }{
		"empty":          {"", "not a davit state, or is damaged"},
		"something else": {`{"version": 4, "resources": []}`, "not a davit state, or is damaged"},
		"damaged":        {strings.Replace(head, `"serial":1`, `"serial":2`, 1), "not a davit state, or is damaged"},
		"newer":          {strings.Replace(head, `"format":2`, `"format":99`, 1), "use a newer davit"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBucket()
			b.objects[objects.Head] = object{[]byte(c.data), "7"}
			s := store(t, b, objects.Options{})
			_, err := s.Load(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Load: %v", err)
			}
			if format := new(state.FormatError); name == "newer" && !errors.As(err, &format) {
				t.Errorf("Load: %v is no FormatError", err)
			}
			if _, err := s.Lock(t.Context(), state.Holder{}); err == nil {
				t.Error("Lock took what Load refuses")
			}
			if b.objects[objects.Head].version != "7" || len(b.objects) != 1 {
				t.Error("something was written")
			}
		})
	}
}
