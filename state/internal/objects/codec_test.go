package objects

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/davit-sh/davit/state/statetest"
)

func newTestCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func some(t testing.TB, n int) (entries []entry) {
	t.Helper()
	for i := range n {
		key := fmt.Sprintf("r/build.oci.r%d", i)
		if i%10 == 3 {
			entries = append(entries, entry{key: key})
			continue
		}
		e, err := sealed(key, map[string]any{"address": key, "text": bytes.Repeat([]byte{byte(i)}, 1+i*37%4000)})
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	return entries
}

func TestPack(t *testing.T) {
	c := newTestCodec(t)
	for _, n := range []int{0, 1, 2, 7, 300} {
		want := some(t, n)
		got, err := c.unpack(c.pack(want))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(want, got, func(a, b entry) bool {
			return a.key == b.key && (a.value == nil) == (b.value == nil) && bytes.Equal(a.value, b.value)
		}) {
			t.Errorf("%d entries came back as %d others", n, len(got))
		}
	}
}

// Whatever is damaged: every entry is there, and is what it was or says that it is not; or the whole is refused.
// What was there before never shows through, because every key is named.
func TestDamage(t *testing.T) {
	c := newTestCodec(t)
	want := some(t, 60)
	blob := c.pack(want)
	refused, lost := 0, 0
	damage := map[string]func(b []byte, at int) []byte{
		"a bit":      func(b []byte, at int) []byte { b[at] ^= 1 << (at % 8); return b },
		"some zeros": func(b []byte, at int) []byte { clear(b[at:min(at+500, len(b))]); return b },
		"cut":        func(b []byte, at int) []byte { return b[:at] },
	}
	for name, spoil := range damage {
		for at := 0; at < len(blob); at += 3 {
			got, err := c.unpack(spoil(bytes.Clone(blob), at))
			if err != nil {
				refused++
				continue
			}
			if len(got) != len(want) {
				t.Fatalf("%s at %d: %d entries of %d", name, at, len(got), len(want))
			}
			for i, e := range got {
				switch {
				case e.key != want[i].key || (e.value == nil) != (want[i].value == nil):
					t.Fatalf("%s at %d: entry %d is another", name, at, i)
				case e.value != nil && e.unseal(new(json.RawMessage)) != nil:
					lost++
				case !bytes.Equal(e.value, want[i].value):
					t.Fatalf("%s at %d: entry %d is wrong and passes for right", name, at, i)
				}
			}
		}
	}
	statetest.Numbers(t, "%d bytes: %d blobs refused, %d entries lost and named", len(blob), refused, lost)
	if lost == 0 {
		t.Error("nothing was lost")
	}
}

func FuzzUnpack(f *testing.F) {
	c := newTestCodec(f)
	f.Add(c.pack(some(f, 30)))
	f.Add([]byte{})
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = c.unpack(b) })
}

func TestHeadKeepsItsWord(t *testing.T) {
	h := &head{Lineage: "x", Serial: 7, Commits: []string{"a", "b", "c"}}
	for _, c := range []struct {
		serial     uint64
		id         string
		yes, known bool
	}{
		{8, "d", false, true}, {7, "c", true, true}, {7, "b", false, true}, {5, "a", true, true}, {4, "z", false, false},
	} {
		if yes, known := h.committed(c.serial, c.id); yes != c.yes || known != c.known {
			t.Errorf("commit %s of serial %d: %v, %v", c.id, c.serial, yes, known)
		}
	}
	b, err := encodeHead(h)
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		bad := bytes.Clone(b)
		bad[rand.IntN(len(bad))] ^= byte(1 + rand.IntN(255))
		if got, err := decodeHead(bad, "here"); err == nil && (got.Serial != 7 || got.Lineage != "x") {
			t.Fatalf("a damaged head was read: %s", bad)
		}
	}
}

// The server's clock is followed as far as its dates, which are not exact, contradict this machine's.
func TestClock(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 500e6, time.UTC)
	for name, c := range map[string]struct {
		date time.Time
		took time.Duration
		want time.Duration
	}{
		"the same":         {now.Truncate(time.Second), 100 * time.Millisecond, 0},
		"kept by a server": {now.Truncate(time.Second).Add(-time.Second), 0, 0},
		"a slow answer":    {now.Truncate(time.Second).Add(4 * time.Second), 5 * time.Second, 0},
		"a minute ahead":   {now.Truncate(time.Second).Add(time.Minute), 0, time.Minute - 1500*time.Millisecond},
		"a minute behind":  {now.Truncate(time.Second).Add(-time.Minute), 0, -time.Minute + 1500*time.Millisecond},
	} {
		var k Clock
		k.Observe(c.date, now, now.Add(c.took))
		if got := time.Duration(k.offset.Load()); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
