package seal_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/davit-sh/davit/state/internal/seal"
)

// Every changed bit is found, and so is another place.
func TestSeal(t *testing.T) {
	b, err := seal.Seal("records\x00a", map[string]any{"x": "<&>", "raw": json.RawMessage(`"<b>"`)})
	if err != nil || string(b[4:]) != `{"raw":"<b>","x":"<&>"}` {
		t.Fatalf("%q, %v", b, err)
	}
	var got map[string]string
	if err := seal.Open("records\x00a", b, &got); err != nil || got["x"] != "<&>" {
		t.Errorf("%v, %v", got, err)
	}
	for i := range len(b) * 8 {
		b[i/8] ^= 1 << (i % 8)
		if err := seal.Open("records\x00a", b, &got); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("bit %d: %v", i, err)
		}
		b[i/8] ^= 1 << (i % 8)
	}
	for _, place := range []string{"", "records\x00b", "records\x00", "records\x00a\x00", "outputs\x00a"} {
		if err := seal.Open(place, b, &got); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("at %q: %v", place, err)
		}
	}
	for n := range len(b) {
		if err := seal.Open("records\x00a", b[:n], &got); !errors.Is(err, seal.ErrDamaged) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := seal.Seal("x", json.RawMessage(`{`)); err == nil {
		t.Error("what is no JSON was sealed")
	}
}

func FuzzOpen(f *testing.F) {
	good, _ := seal.Seal("records\x00a", map[string]string{"address": "a"})
	f.Add("records\x00a", good)
	f.Add("", []byte{})
	f.Add("x", []byte("\x00\x00\x00\x00{"))
	f.Fuzz(func(t *testing.T, place string, b []byte) {
		var v any
		if seal.Open(place, b, &v) != nil {
			return
		}
		again, err := seal.Seal(place, v)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if err := seal.Open(place, again, &v); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}
