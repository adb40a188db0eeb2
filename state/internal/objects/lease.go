package objects

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/davit-sh/davit/state"
)

// Lock implements state.Store.
func (s *Store) Lock(ctx context.Context, who state.Holder) (state.Lease, error) {
	who.ID = uuid.NewString()
	if who.PID == 0 {
		who.PID = os.Getpid()
	}
	for try := 0; ; try++ {
		h, version, err := s.head(ctx)
		if err == nil && try == contention {
			err = errContention
		}
		if err != nil {
			return nil, s.failed("locking", err)
		}
		if h == nil {
			if s.options.Verify {
				if err := s.verify(ctx); err != nil {
					return nil, s.failed("beginning", err)
				}
			}
			h = &head{}
		}
		now := s.options.Now()
		if h.Holder != nil && now.Before(h.Holder.Expires) {
			return nil, &state.LockedError{Holder: *h.Holder}
		}
		who.Since = now.UTC()
		next := h.clone()
		next.Holder, next.Token = &who, h.Token+1
		version, renewed, err := s.swap(ctx, next, version)
		if _, moved := errors.AsType[*movedError](err); moved {
			continue // somebody was faster, or a holder beat
		}
		if err != nil {
			return nil, s.failed("locking", err)
		}
		return s.lease(next, version, renewed), nil
	}
}

// contention is the maximum number of attempts of a swap that conflicts with other writers.
const contention = 100

var errContention = errors.New("other processes write all the time, or the server loses writes: try again later")

func (s *Store) lease(h *head, version string, renewed time.Time) *lease {
	l := &lease{store: s, id: h.Holder.ID, token: h.Token, head: h, version: version, renewed: renewed,
		swapping: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
	l.life, l.lose = context.WithCancel(context.Background())
	var running context.Context
	running, l.stop = context.WithCancel(l.life)
	l.beating.Go(func() { l.beat(running) })
	return l
}

// lease is the right to swap the head.
type lease struct {
	store    *Store
	id       string
	token    uint64
	life     context.Context // ends when the lease is lost
	lose     context.CancelFunc
	stop     context.CancelFunc // ends the heartbeat
	beating  sync.WaitGroup
	once     sync.Once
	released atomic.Bool

	swapping chan struct{} // holds a word while somebody swaps the head

	mu         sync.Mutex
	head       *head // as it was last seen; never changed, only replaced
	version    string
	renewed    time.Time // when the lease was, at the latest
	generation int       // grows when the head turns out to be another than the one that was written last

	turn    chan struct{} // holds a word while somebody commits; what is below belongs to them
	content contents      // what the head of this generation says; nil: not read yet
	read    int           // the generation of content
	lost    map[string]bool
	spare   []string // objects that were written and are not needed
	removed []string // garbage that is gone, and still named
	flushed bool     // objects were written
	swept   bool
}

// errStale reports that the head belongs to this lease but differs from the expected one: an earlier write, whose answer was
// lost, took effect.
var errStale = errors.New("the head is newer than expected")

// anyHead is the generation of changes that do not depend on the content of the head.
const anyHead = -1

// swap changes the head and renews the lease. When another has the lease it returns a *movedError.
func (l *lease) swap(ctx context.Context, generation int, change func(next *head)) error {
	select {
	case l.swapping <- struct{}{}:
		defer func() { <-l.swapping }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	next, version, renewed, now := l.now()
	if next.Holder == nil || !l.alive() {
		l.lose()
		return state.ErrLeaseLost
	}
	if generation != anyHead && generation != now {
		return errStale
	}
	within, cancel := context.WithDeadline(ctx, renewed.Add(l.store.options.TTL))
	defer cancel()
	next = next.clone()
	change(next)
	version, again, err := l.store.swap(within, next, version)
	var moved *movedError
	if errors.As(err, new(*UnknownError)) && ctx.Err() == nil && generation != anyHead {
		if !l.alive() {
			l.lose()
		}
		version, err = l.store.look(context.WithoutCancel(ctx), next, err) // which losing the lease would end
	}
	switch {
	case err == nil:
		l.set(next, version, again, now)
		if !l.alive() {
			l.lose()
		}
	case errors.As(err, &moved) && l.owns(moved.head):
		l.set(moved.head, moved.version, renewed, now+1)
		return errStale
	case moved != nil:
		l.lose()
	case !l.alive():
		l.lose()
		if !errors.As(err, new(*UnknownError)) {
			return state.ErrLeaseLost
		}
	}
	return err
}

func (l *lease) now() (h *head, version string, renewed time.Time, generation int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head, l.version, l.renewed, l.generation
}

func (l *lease) set(h *head, version string, renewed time.Time, generation int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head, l.version, l.renewed, l.generation = h, version, renewed, generation
}

func (l *lease) owns(h *head) bool { return h != nil && h.Holder != nil && h.Holder.ID == l.id }

// alive checks both clocks: the monotonic one stands still while the machine sleeps, the wall clock may be set.
func (l *lease) alive() bool {
	h, _, renewed, _ := l.now()
	return time.Since(renewed) < l.store.options.TTL && h.Holder != nil && l.store.options.Now().Before(h.Holder.Expires)
}

func (l *lease) beat(ctx context.Context) {
	ttl := l.store.options.TTL
	for {
		l.announce(ctx)
		_, _, renewed, _ := l.now()
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(time.Until(renewed.Add(ttl/3)), ttl/20)):
		}
		if _, _, again, _ := l.now(); again != renewed {
			continue // a commit has renewed the lease
		}
		// A failed renewal is repeated until the lease has expired; then swap returns an error.
		_ = l.swap(ctx, anyHead, func(*head) {})
	}
}

func (l *lease) announce(ctx context.Context) {
	a, ok := l.store.bucket.(Announcer)
	if !ok {
		return
	}
	h, _, _, _ := l.now()
	ctx, cancel := context.WithTimeout(ctx, l.store.options.TTL/10) // it must not keep a beat waiting
	defer cancel()
	a.Announce(ctx, h.Holder)
}

// Lost implements state.Lease.
func (l *lease) Lost() <-chan struct{} { return l.life.Done() }

// Until implements state.Lease.
func (l *lease) Until() time.Time {
	if h, _, _, _ := l.now(); h.Holder != nil {
		return h.Holder.Expires.Round(0)
	}
	return time.Unix(0, 0) // it is released
}

// Release implements state.Lease. With an ended context it still tries for a moment, because leases are often released after
// an interrupt.
func (l *lease) Release(ctx context.Context) (err error) {
	l.once.Do(func() {
		l.stop()
		l.beating.Wait() // a beat that comes later would be one too many
		defer l.released.Store(true)
		if l.life.Err() != nil {
			return
		}
		if ctx.Err() != nil {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), l.store.options.Request)
			defer cancel()
		}
		for {
			err = l.swap(ctx, anyHead, func(next *head) { next.Holder = nil })
			if !errors.Is(err, errStale) {
				break
			}
		}
		var moved *movedError
		if errors.Is(err, state.ErrLeaseLost) || errors.As(err, &moved) {
			err = nil // somebody else's by now
			return
		}
		l.announce(ctx)
	})
	return l.store.failed("unlocking", err)
}
