package backoff_test

import (
	"slices"
	"testing"
	"time"

	"github.com/davit-sh/davit/core/reconcile/backoff"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// The delays of one digest double from 5 s to 10 min; another digest starts at zero.
func TestDelays(t *testing.T) {
	b := backoff.Table{Min: 5 * time.Second, Max: 10 * time.Minute, Random: func() float64 { return 0 }}
	var got []string
	now := start
	for range 10 {
		e := b.Fail("a", "one", "no", now)
		got = append(got, e.Next.Sub(now).String())
		if b.Blocked("a", "one", e.Next.Add(-1)) == nil || b.Blocked("a", "one", e.Next) != nil {
			t.Error("a try is due exactly when the entry says")
		}
		if b.Blocked("a", "two", now) != nil || b.Blocked("b", "one", now) != nil {
			t.Error("another digest or another key has to wait")
		}
		now = e.Next
	}
	if want := []string{"5s", "10s", "20s", "40s", "1m20s", "2m40s", "5m20s", "10m0s", "10m0s", "10m0s"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if e := b.Fail("a", "two", "no", now); e.Failures != 1 || e.Next.Sub(now) != 5*time.Second {
		t.Errorf("another digest does not start at zero: %+v", e)
	}
	b.Clear("a")
	if b.Blocked("a", "two", now) != nil || b.Get("a") != nil {
		t.Error("a cleared key is still known")
	}
}

// Jitter takes at most a quarter of the delay away.
func TestJitter(t *testing.T) {
	for _, random := range []float64{0, 0.5, 0.999} {
		b := backoff.Table{Min: 4 * time.Second, Max: time.Minute, Random: func() float64 { return random }}
		if d := b.Fail("a", "", "", start).Next.Sub(start); d < 3*time.Second || d > 4*time.Second {
			t.Errorf("random %v: %s", random, d)
		}
	}
}

// The first tries are free, the next ones wait, and at the limit nothing is tried any more until the entry is cleared or old.
func TestStalled(t *testing.T) {
	b := backoff.Table{Min: 5 * time.Second, Max: 10 * time.Minute, Free: 2, Limit: 4, Forget: time.Hour, Random: func() float64 { return 0 }}
	now := start
	for i, want := range []struct {
		delay   time.Duration
		stalled bool
	}{{0, false}, {0, false}, {5 * time.Second, false}, {10 * time.Second, true}} {
		if e := b.Fail("a", "", "", now); e.Next.Sub(now) != want.delay || e.Stalled != want.stalled {
			t.Errorf("failure %d: %+v", i+1, e)
		}
	}
	if b.Blocked("a", "", now.Add(24*time.Hour)) == nil {
		t.Error("a stalled entry is tried again by itself")
	}
	if e := b.Fail("a", "", "", now.Add(2*time.Hour)); e.Failures != 1 || e.Stalled {
		t.Errorf("an old entry does not start at zero: %+v", e)
	}
}

// Entries of what is gone are forgotten.
func TestKeep(t *testing.T) {
	b := backoff.Table{Min: 5 * time.Second, Max: time.Minute}
	b.Fail("a", "x", "", start)
	b.Fail("b", "x", "", start)
	b.Keep(func(key string) bool { return key == "a" })
	if b.Get("a") == nil || b.Get("b") != nil {
		t.Errorf("kept are %v and %v", b.Get("a"), b.Get("b"))
	}
}
