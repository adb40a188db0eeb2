package poll

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// place is something that is looked at.
type place struct {
	mu    sync.Mutex
	value string
	err   error
	looks []time.Time
}

func (p *place) look(context.Context, string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looks = append(p.looks, time.Now())
	return p.value, p.err
}

func (p *place) set(value string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.value, p.err = value, err
}

func (p *place) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.looks)
}

// watcher runs one watch and keeps what it tells.
type watcher struct {
	mu   sync.Mutex
	told []string
	err  error
	done bool
	stop context.CancelFunc
}

func (w *watcher) run(t *testing.T, h *Hub[string], p *place, id, prior string) {
	ctx, cancel := context.WithCancel(t.Context())
	w.stop = cancel
	go func() {
		err := h.Run(ctx, Watch[string]{ID: id, Key: "place", Interval: time.Minute, Look: p.look, Prior: prior, Part: func(v string) (string, error) { return v, nil }},
			func(part string) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.told = append(w.told, part)
			})
		w.mu.Lock()
		defer w.mu.Unlock()
		w.err, w.done = err, true
	}()
	synctest.Wait()
}

func (w *watcher) ended() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return fmt.Errorf("ended: %w", w.err)
	}
	return nil
}

func (w *watcher) want(t *testing.T, what string, want ...string) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if fmt.Sprint(w.told) != fmt.Sprint(want) {
		t.Errorf("%s: told %q, want %q", what, w.told, want)
	}
	w.told = nil
}

const rounds = time.Minute + 10*time.Second // more than one interval with its jitter

func TestAllShareOneLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := &Hub[string]{}, &place{value: "one"}
		var a, b, c watcher
		a.run(t, h, p, "a", "one")
		b.run(t, h, p, "b", "one")
		c.run(t, h, p, "c", "")
		for range 100 {
			time.Sleep(time.Minute)
		}
		if n := p.count(); n < 95 || n > 106 {
			t.Errorf("%d looks in 100 minutes", n)
		}
		a.want(t, "nothing has changed")
		c.want(t, "nothing has changed")
		p.set("two", nil)
		time.Sleep(rounds)
		for _, w := range []*watcher{&a, &b, &c} {
			w.want(t, "it has changed", "two")
		}
		time.Sleep(time.Hour)
		a.want(t, "it is told once")
		a.stop()
		b.stop()
		c.stop()
		time.Sleep(2 * linger)
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.looks) != 0 || len(h.notes) != 0 {
			t.Errorf("left are %v, %v", h.looks, h.notes)
		}
	})
}

func TestWhatWasSeenIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := &Hub[string]{}, &place{value: "two"}
		h.Note("b", "two")
		var a, b watcher
		a.run(t, h, p, "a", "one")
		b.run(t, h, p, "b", "one")
		time.Sleep(rounds)
		a.want(t, "it changed before the watch began", "two")
		b.want(t, "it was seen before the watch began")
		b.stop()
		h.Note("a", "two")
		p.set("three", nil)
		h.Note("a", "three") // it was looked at because of a webhook
		time.Sleep(rounds)
		a.want(t, "it is known already")
		p.set("two", nil)
		time.Sleep(rounds)
		a.want(t, "it is as it once was", "two")
		a.stop()
		time.Sleep(2 * linger)
	})
}

type inAnHour struct{ error }

func (inAnHour) RetryAfter() time.Duration { return time.Hour }

func TestTheOtherSideSaysWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := &Hub[string]{}, &place{value: "one", err: inAnHour{errors.New("too many requests")}}
		var a, b watcher
		a.run(t, h, p, "a", "")
		b.run(t, h, p, "b", "") // it does not hurry
		time.Sleep(59 * time.Minute)
		if n := p.count(); n != 1 {
			t.Errorf("%d looks in an hour", n)
		}
		p.set("two", nil)
		time.Sleep(90 * time.Second)
		if n := p.count(); n != 2 || a.ended() != nil {
			t.Errorf("%d looks, %v", n, a.ended())
		}
		a.stop()
		b.stop()
		time.Sleep(2 * time.Hour)
	})
}

func TestFailuresEndAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, p := &Hub[string]{}, &place{value: "one"}
		var a watcher
		a.run(t, h, p, "a", "one")
		p.set("", errors.New("unreachable"))
		for p.count() == 0 {
			time.Sleep(time.Second)
		}
		p.set("two", nil)
		time.Sleep(rounds)
		a.want(t, "one failure is nothing", "two")
		p.set("", errors.New("unreachable"))
		time.Sleep(10 * time.Minute)
		if err := a.ended(); err == nil || err.Error() != "ended: unreachable" {
			t.Fatal(err)
		}
		before := p.count()
		var again watcher
		again.run(t, h, p, "a", "two")
		time.Sleep(time.Second)
		if n := p.count() - before; again.ended() == nil || n != 1 {
			t.Errorf("%v after %d looks", again.ended(), n)
		}
		p.set("three", nil)
		var third watcher
		third.run(t, h, p, "a", "two")
		time.Sleep(time.Second)
		third.want(t, "it answers again", "three")
		third.stop()
		time.Sleep(2 * linger)
	})
}
