// Package poll watches what does not tell of changes by itself: it looks from time to time, once for all who want to know the same, and tells
// each of them when its own part has changed. Plugins build their Watch on it.
package poll

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/davit-sh/davit/sdk"
)

const (
	// standard is the interval of a watch that names none.
	standard = time.Minute
	// failures is how many looks in a row may fail before a watch ends with the error.
	failures = 3
	// linger is how long what was seen is kept after the last watch of it has ended, so that a watch that is opened anew goes on.
	linger = 10 * time.Minute
)

// busy is an error of another side that wants to be asked later. It does not end a watch.
type busy interface {
	error
	RetryAfter() time.Duration
}

// ID tells an instance from those of other stacks, for the call of ctx.
func ID(ctx context.Context, address string) string { return sdk.HostOf(ctx).Stack + "\x00" + address }

// Watch says what one instance wants to know.
type Watch[V any] struct {
	// ID tells the instance apart: its stack and address.
	ID string
	// Key tells what is looked at: all watches with the same key share one look, so all that a look depends on is in it.
	Key      string
	Interval time.Duration
	// Look returns what is there now. last is what the look before has returned, the zero V at the first.
	Look func(ctx context.Context, last V) (V, error)
	// Part returns what the instance makes of it, in words that are compared. An error is a part as well: its text is compared.
	Part func(V) (string, error)
	// Prior is the part that the instance has seen last; "" when that is not known.
	Prior string
}

// Hub keeps the looks of a plugin. The zero Hub is ready. Its methods may be called concurrently.
type Hub[V any] struct {
	mu    sync.Mutex
	looks map[string]*look[V]
	notes map[string]*note
}

// note is the part that an instance has seen last by other means than its watch.
type note struct {
	part    string
	watches int
}

// look is one thing that is looked at, and who wants to know.
type look[V any] struct {
	watches map[chan seen[V]]Watch[V]
	wake    chan struct{} // somebody wants to know sooner
	last    V
	known   bool
	failed  bool // the last look
	stop    context.CancelFunc
}

// seen is what a look has seen.
type seen[V any] struct {
	value V
	err   error
}

// Note says which part an instance has seen: a watch of it does not tell of that one. A plugin calls it when it observes the instance, also
// before it is watched.
func (h *Hub[V]) Note(id, part string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.note(id).part = part
}

// note returns the note of an instance. The caller holds mu.
func (h *Hub[V]) note(id string) *note {
	if h.notes == nil {
		h.notes = map[string]*note{}
	}
	n := h.notes[id]
	if n == nil {
		n = &note{}
		h.notes[id] = n
	}
	return n
}

// Run watches until ctx ends. It calls changed when the instance's part is another one than it has seen last, once for each part. It returns an
// error when the last looks have failed.
func (h *Hub[V]) Run(ctx context.Context, w Watch[V], changed func(part string)) error {
	if w.Interval <= 0 {
		w.Interval = standard
	}
	c, failed := h.join(w)
	defer h.leave(w, c)
	told := ""
	for {
		var s seen[V]
		select {
		case s = <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
		if s.err != nil {
			if _, later := errors.AsType[busy](s.err); later {
				continue
			}
			if failed++; failed >= failures {
				return s.err
			}
			continue
		}
		failed = 0
		part, err := w.Part(s.value)
		if err != nil {
			part = "error: " + err.Error()
		}
		switch news := h.isNews(w.ID, part); {
		case !news:
			told = ""
		case part != told:
			told = part
			changed(part)
		}
	}
}

// isNews tells whether an instance has not seen a part. The first part of an instance that has seen nothing is where it begins.
func (h *Hub[V]) isNews(id, part string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.notes[id]
	if n.part == "" {
		n.part = part
	}
	return n.part != part
}

// join adds a watch. Its looks begin now if nothing is known of what the instance has seen, or if the last look has failed; else within the
// interval. failed is how many looks count as failed already.
func (h *Hub[V]) join(w Watch[V]) (c chan seen[V], failed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.looks == nil {
		h.looks = map[string]*look[V]{}
	}
	n := h.note(w.ID)
	if n.part == "" {
		n.part = w.Prior
	}
	n.watches++
	c = make(chan seen[V], 1)
	l := h.looks[w.Key]
	begins := l == nil
	if begins {
		l = &look[V]{watches: map[chan seen[V]]Watch[V]{}, wake: make(chan struct{}, 1)}
		h.looks[w.Key] = l
		var ctx context.Context
		ctx, l.stop = context.WithCancel(context.Background()) //nolint:gosec // stop is called when the last watch ends
		first := rand.N(w.Interval)                            //nolint:gosec // it spreads load
		if n.part == "" {
			first = 0
		}
		go h.run(ctx, l, first)
	}
	l.watches[c] = w
	switch {
	case begins:
	case l.failed:
		failed = failures - 1
		l.hurry()
	case l.known:
		c <- seen[V]{value: l.last}
	case n.part == "":
		l.hurry()
	}
	return c, failed
}

// hurry lets the next look begin now.
func (l *look[V]) hurry() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (h *Hub[V]) leave(w Watch[V], c chan seen[V]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.notes[w.ID]; n != nil {
		if n.watches--; n.watches == 0 {
			delete(h.notes, w.ID)
		}
	}
	l := h.looks[w.Key]
	delete(l.watches, c)
	if len(l.watches) > 0 {
		return
	}
	time.AfterFunc(linger, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.looks[w.Key] == l && len(l.watches) == 0 {
			delete(h.looks, w.Key)
			l.stop()
		}
	})
}

// run looks until nobody wants to know any more. While nobody does it does not look.
func (h *Hub[V]) run(ctx context.Context, l *look[V], wait time.Duration) {
	failed := 0
	var notBefore time.Time
	for {
		select {
		case <-time.After(wait):
		case <-l.wake:
			if rest := time.Until(notBefore); rest > 0 {
				wait = rest
				continue
			}
		case <-ctx.Done():
			return
		}
		w, last, ok := h.one(l)
		if !ok {
			wait = time.Minute
			continue
		}
		value, err := w.Look(ctx, last)
		if ctx.Err() != nil {
			return
		}
		notBefore = time.Time{}
		wait = jitter(w.Interval)
		later, isBusy := errors.AsType[busy](err)
		switch {
		case isBusy:
			wait = max(wait, later.RetryAfter())
			notBefore = time.Now().Add(later.RetryAfter())
		case err != nil:
			failed++
			wait = min(jitter(w.Interval<<min(failed-1, 4)), max(w.Interval, 10*time.Minute))
		default:
			failed = 0
		}
		h.tell(l, value, err)
	}
}

// one returns a watch to look for: the one with the shortest interval.
func (h *Hub[V]) one(l *look[V]) (found Watch[V], last V, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range l.watches {
		if !ok || w.Interval < found.Interval {
			found, ok = w, true
		}
	}
	return found, l.last, ok
}

// tell tells all who want to know. Who has not read the last one gets this one instead.
func (h *Hub[V]) tell(l *look[V], value V, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l.failed = err != nil
	if err == nil {
		l.last, l.known = value, true
	}
	for c := range l.watches {
		select {
		case <-c:
		default:
		}
		c <- seen[V]{value, err}
	}
}

// jitter is a time about as long as d: 10 % more or less.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1) //nolint:gosec // it spreads load
}
