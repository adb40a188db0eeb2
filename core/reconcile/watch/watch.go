// Package watch watches the instances of one stack through their plugins, for the reconcile loop.
//
// The front door is Watcher. Set says which instances there are and may be called at any time; Ready says that something was noticed, Take
// returns it, and Unwatched returns the instances that somebody has to look at from time to time instead. A Watcher opens few streams
// for each plugin, opens them again with a back-off when they end, and puts together what is noticed about one instance, so that what it
// holds is bounded by the number of instances.
package watch

import (
	"bytes"
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/kinds"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Plugin is a running plugin, such as pluginhost.Client. Calls may be concurrent.
type Plugin interface {
	// Watch calls notice, one call at a time, until ctx ends or the plugin cannot go on.
	Watch(ctx context.Context, r *pluginv1.WatchRequest, notice func(*pluginv1.WatchResponse)) error
}

// Options say how to watch.
type Options struct {
	// Plugin returns a running plugin. It is called again after a plugin has ended.
	Plugin func(ctx context.Context, name string) (Plugin, error)
	// Interval is how often plugins look at what does not tell of changes by itself. 0: one minute.
	Interval time.Duration
	Log      *slog.Logger // nil: nobody listens
}

// Event is what was noticed about one instance.
type Event struct {
	Address string
	Reason  string // one line for people, of the first notice
	// Health is set when only the health of an application has changed, to the new one: nothing is to be planned again.
	Health string
	Time   time.Time // of the first notice
	Count  int       // how many notices there were
}

// Unwatched is an instance that nobody watches.
type Unwatched struct {
	Address, Kind string
	Why           string // the error of the watch; "" when its type does not notice changes by itself
}

const (
	// debounce is how long notices about one instance are collected; those about managed ones, which come in bursts, for longer.
	debounce      = 100 * time.Millisecond
	driftDebounce = time.Second
	// overlap is how long a stream goes on after another has taken its instances over, so that nothing is missed in between.
	overlap = 5 * time.Second
	// settling is how long a stream is open until it counts as working.
	settling = time.Second

	firstRetry = time.Second
	lastRetry  = time.Minute
)

// Watcher watches the instances of one stack. Its methods may be called concurrently.
type Watcher struct {
	options Options
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	ready   chan struct{}

	mu      sync.Mutex
	entries map[string]*entry // by address
	plain   []Unwatched       // their types cannot watch
	streams map[*stream]bool
	pending map[pendingKey]*pendingEvent
	timer   *time.Timer
}

// entry is one instance that is watched.
type entry struct {
	engine.Watched
	stream *stream
	failed string        // why it is not watched at the moment
	retry  time.Duration // until it is watched again after it has failed by itself
}

type pendingKey struct {
	address string
	health  bool
}

type pendingEvent struct {
	Event
	due time.Time
}

// New returns a Watcher that watches nothing yet.
func New(o Options) *Watcher {
	if o.Interval <= 0 {
		o.Interval = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{options: o, ready: make(chan struct{}, 1), entries: map[string]*entry{}, streams: map[*stream]bool{}, pending: map[pendingKey]*pendingEvent{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Close ends all watches.
func (w *Watcher) Close() {
	w.cancel()
	w.mu.Lock()
	if w.timer != nil {
		w.timer.Stop()
	}
	w.mu.Unlock()
	w.running.Wait()
}

// Set says which instances there are now. Instances that are as they were before are watched on without a gap. What is pending about
// others is kept: the caller knows whether they are there still.
func (w *Watcher) Set(instances []engine.Watched) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	before := w.entries
	w.entries, w.plain = map[string]*entry{}, nil
	fresh := map[string][]*entry{} // by plugin
	for _, in := range instances {
		if !in.CanWatch {
			w.plain = append(w.plain, Unwatched{Address: in.Address, Kind: in.Kind})
			continue
		}
		e := before[in.Address]
		if e != nil && sameWatch(e.Watched, in) {
			e.Watched = in // with what is known of it now
			w.entries[in.Address] = e
			continue
		}
		if e != nil && e.stream != nil {
			e.stream.leave(e)
		}
		e = &entry{Watched: in}
		w.entries[in.Address] = e
		fresh[in.Plugin] = append(fresh[in.Plugin], e)
	}
	for address, e := range before {
		if w.entries[address] == nil && e.stream != nil {
			e.stream.leave(e)
		}
	}
	w.retire(fresh)
	for plugin, list := range fresh {
		w.open(plugin, list, 0)
	}
}

// retire ends the streams most of whose instances have left. Those that stay are added to fresh.
func (w *Watcher) retire(fresh map[string][]*entry) {
	for s := range w.streams {
		if len(s.entries) > s.size/2 {
			continue
		}
		for e := range s.entries {
			fresh[s.plugin] = append(fresh[s.plugin], e)
		}
		clear(s.entries)
		delete(w.streams, s)
		time.AfterFunc(overlap, s.cancel)
	}
}

// sameWatch tells whether a watch of a serves for b. What is known of an observed instance is only needed when a watch begins; the record
// of a managed one says what it has.
func sameWatch(a, b engine.Watched) bool {
	if a.Plugin != b.Plugin || a.Kind != b.Kind || a.Type != b.Type || !proto.Equal(a.Config, b.Config) {
		return false
	}
	return !kinds.IsManaged(a.Kind) || bytes.Equal(a.Prior.GetPrivate(), b.Prior.GetPrivate())
}

// Ready receives a value when Take has something to return.
func (w *Watcher) Ready() <-chan struct{} { return w.ready }

// Take returns what was noticed, in the order of the first notices, and forgets it. What is still being collected comes later.
func (w *Watcher) Take() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	var list []Event
	for key, p := range w.pending {
		if !p.due.After(now) {
			list = append(list, p.Event)
			delete(w.pending, key)
		}
	}
	slices.SortFunc(list, func(a, b Event) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Address, b.Address)) })
	w.schedule()
	return list
}

// Unwatched returns the instances that somebody has to look at from time to time, sorted by address.
func (w *Watcher) Unwatched() []Unwatched {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := slices.Clone(w.plain)
	for _, e := range w.entries {
		if e.failed != "" {
			list = append(list, Unwatched{Address: e.Address, Kind: e.Kind, Why: e.failed})
		}
	}
	slices.SortFunc(list, func(a, b Unwatched) int { return cmp.Compare(a.Address, b.Address) })
	return list
}

// add notes a notice. The caller holds mu.
func (w *Watcher) add(e *entry, reason, health string) {
	key := pendingKey{e.Address, health != ""}
	p := w.pending[key]
	if p == nil {
		wait := debounce
		if kinds.IsManaged(e.Kind) && health == "" {
			wait = driftDebounce
		}
		now := time.Now()
		p = &pendingEvent{Event: Event{Address: e.Address, Reason: reason, Time: now}, due: now.Add(wait)}
		w.pending[key] = p
	}
	p.Count++
	if health != "" { // the last one counts
		p.Health, p.Reason = health, reason
	}
	w.schedule()
}

// schedule sees to it that Ready tells when the next event is due. The caller holds mu.
func (w *Watcher) schedule() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	if len(w.pending) == 0 || w.ctx.Err() != nil {
		return
	}
	var next time.Time
	for _, p := range w.pending {
		if next.IsZero() || p.due.Before(next) {
			next = p.due
		}
	}
	w.timer = time.AfterFunc(time.Until(next), func() {
		select {
		case w.ready <- struct{}{}:
		default:
		}
	})
}
