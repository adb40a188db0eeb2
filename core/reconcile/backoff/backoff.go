// Package backoff decides when something that failed may be tried again. It is pure: the caller gives the time.
package backoff

import (
	"math/rand/v2"
	"time"
)

// Table keeps the failures of many things by key, each with the digest of what was tried. Another digest starts at zero. It is not for
// concurrent use.
type Table struct {
	Min, Max time.Duration  // of the delay; it doubles with each failure, up to Max
	Free     int            // how many failures have no delay
	Limit    int            // after so many failures the entry is stalled: it waits for another digest or a person. 0: never
	Forget   time.Duration  // an entry whose last failure is older starts at zero. 0: never
	Random   func() float64 // in [0, 1), for the jitter; nil: math/rand

	entries map[string]*Entry
}

// Entry is what is known of one thing that failed.
type Entry struct {
	Digest   string
	Failures int
	Last     time.Time // of the last failure
	Next     time.Time // the earliest next try
	Error    string
	Stalled  bool
}

// Fail notes a failure and returns the entry.
func (t *Table) Fail(key, digest, err string, now time.Time) Entry {
	if t.entries == nil {
		t.entries = map[string]*Entry{}
	}
	e := t.entries[key]
	if e == nil || e.Digest != digest || (t.Forget > 0 && now.Sub(e.Last) > t.Forget) {
		e = &Entry{Digest: digest}
		t.entries[key] = e
	}
	e.Failures++
	e.Last, e.Error = now, err
	e.Next = now.Add(t.delay(e.Failures - t.Free))
	e.Stalled = t.Limit > 0 && e.Failures >= t.Limit
	return *e
}

// delay returns the delay after so many failures: between three quarters and all of Min * 2^(n-1), at most Max.
func (t *Table) delay(n int) time.Duration {
	if n <= 0 {
		return 0
	}
	d := t.Max
	if n < 30 && t.Min<<(n-1) < t.Max {
		d = t.Min << (n - 1)
	}
	random := t.Random
	if random == nil {
		random = rand.Float64 //nolint:gosec // jitter, not a secret
	}
	return d - time.Duration(random()*float64(d)/4)
}

// Blocked returns the entry of a key if a try with this digest has to wait at that time, else nil.
func (t *Table) Blocked(key, digest string, now time.Time) *Entry {
	e := t.entries[key]
	if e == nil || e.Digest != digest || (!e.Stalled && !now.Before(e.Next)) {
		return nil
	}
	return e
}

// Get returns the entry of a key, nil if there is none.
func (t *Table) Get(key string) *Entry { return t.entries[key] }

// Clear forgets a key.
func (t *Table) Clear(key string) { delete(t.entries, key) }

// Keep forgets all keys that are not wanted.
func (t *Table) Keep(wanted func(key string) bool) {
	for key := range t.entries {
		if !wanted(key) {
			delete(t.entries, key)
		}
	}
}
