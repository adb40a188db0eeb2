package watch

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/davit-sh/davit/core/kinds"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// stream is one call of Watch at a plugin, which is made again when it ends.
type stream struct {
	plugin  string
	ctx     context.Context
	cancel  context.CancelFunc
	size    int             // how many instances it was opened with
	entries map[*entry]bool // those that it is still for; under Watcher.mu
}

// leave takes an instance out. The plugin goes on to watch it until the stream ends; its notices are not listened to.
func (s *stream) leave(e *entry) {
	delete(s.entries, e)
	e.stream = nil
}

// open opens a stream for instances of one plugin, after a while. The caller holds mu.
func (w *Watcher) open(plugin string, list []*entry, after time.Duration) {
	s := &stream{plugin: plugin, size: len(list), entries: map[*entry]bool{}}
	s.ctx, s.cancel = context.WithCancel(w.ctx)
	for _, e := range list {
		s.entries[e] = true
		e.stream = s
	}
	w.streams[s] = true
	w.running.Go(func() {
		defer s.cancel()
		w.run(s, after)
	})
}

// run keeps a stream open until its context ends.
func (w *Watcher) run(s *stream, after time.Duration) {
	retry := firstRetry
	for {
		select {
		case <-time.After(after):
		case <-s.ctx.Done():
			return
		}
		opened := time.Now()
		err := w.watch(s)
		if s.ctx.Err() != nil {
			return
		}
		if time.Since(opened) > lastRetry {
			retry = firstRetry
		}
		w.options.Log.Warn("a plugin does not watch", "plugin", s.plugin, "error", err, "again_in", retry)
		w.fail(s, err)
		after = retry/2 + rand.N(retry/2+1) //nolint:gosec // it spreads load
		retry = min(2*retry, lastRetry)
	}
}

// watch makes one call of Watch.
func (w *Watcher) watch(s *stream) error {
	plugin, err := w.options.Plugin(s.ctx, s.plugin)
	if err != nil {
		return err
	}
	r := &pluginv1.WatchRequest{IntervalMs: w.options.Interval.Milliseconds()}
	w.mu.Lock()
	for e := range s.entries {
		r.Instances = append(r.Instances, &pluginv1.WatchedInstance{Address: e.Address, Kind: e.Kind, Type: e.Type, Config: e.Config, Prior: e.Prior})
	}
	s.size = len(r.Instances)
	w.mu.Unlock()
	if len(r.Instances) == 0 {
		<-s.ctx.Done()
		return nil
	}
	working := time.AfterFunc(settling, func() { w.works(s) })
	defer working.Stop()
	return plugin.Watch(s.ctx, r, func(m *pluginv1.WatchResponse) { w.hear(s, m) })
}

// works notes that a stream is open. After a gap, nobody knows what has become of managed instances: a plugin that was started again does not
// know what they were like.
func (w *Watcher) works(s *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for e := range s.entries {
		if e.failed != "" && kinds.IsManaged(e.Kind) {
			w.add(e, "the watch was interrupted", "")
		}
		e.failed = ""
	}
}

// fail notes that nobody watches the instances of a stream.
func (w *Watcher) fail(s *stream, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for e := range s.entries {
		e.failed = err.Error()
	}
}

// hear takes one message of a plugin.
func (w *Watcher) hear(s *stream, m *pluginv1.WatchResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.entries[m.GetAddress()]
	if e == nil || e.Plugin != s.plugin {
		return // it is not watched any more
	}
	if m.GetError() == "" {
		e.retry = 0
		w.add(e, m.GetReason(), m.GetHealth())
		return
	}
	if e.stream != s {
		return // of a watch that was ended
	}
	// The instance alone cannot be watched: it gets a stream of its own, later.
	s.leave(e)
	e.failed, e.retry = m.GetError(), min(max(2*e.retry, firstRetry), lastRetry)
	w.options.Log.Warn("an instance is not watched", "address", e.Address, "error", e.failed, "again_in", e.retry)
	w.open(s.plugin, []*entry{e}, e.retry)
	if len(s.entries) == 0 {
		delete(w.streams, s)
		s.cancel()
	}
}
