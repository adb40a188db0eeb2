package reconcile

import (
	"context"
	"time"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/core/reconcile/watch"
	"github.com/davit-sh/davit/core/session"
)

// wholeEvery is how often everything is looked at, what is watched as well: no watch is perfect.
const wholeEvery = time.Hour

// newWatcher returns a watcher of a stack that is open. It watches nothing yet.
func (w *worker) newWatcher(s *session.Session) *watch.Watcher {
	return watch.New(watch.Options{
		Interval: w.interval(), Log: w.log,
		Plugin: func(ctx context.Context, name string) (watch.Plugin, error) { return s.Plugin(ctx, name) },
	})
}

// watchAgain tells the watcher what there is after a pass that may have changed it.
func (w *worker) watchAgain(ctx context.Context, b *batch, done *status.Pass) {
	o := w.open
	if o.watches && !b.kinds[Applied] && !b.kinds[Start] && done.Looked <= len(b.addresses) {
		return // nothing had another value
	}
	if list := o.warm.Watched(ctx); list != nil {
		o.watches = true
		o.watcher.Set(list)
		w.setReads(list)
	}
}

// takeNotices queues what the watcher has noticed. Another health of an application needs no plan.
func (w *worker) takeNotices() {
	var list []string
	reason := ""
	for _, e := range w.open.watcher.Take() {
		if e.Health != "" {
			w.healthOf(e)
			continue
		}
		if list = append(list, e.Address); reason == "" {
			reason = e.Address
			if e.Reason != "" {
				reason += " (" + e.Reason + ")"
			}
		}
	}
	if len(list) == 0 {
		return
	}
	if len(list) > 1 {
		reason += " and others"
	}
	w.queue.add(Trigger{Kind: Watch, Addresses: list, Reason: reason})
}

// healthOf notes another health of an application.
func (w *worker) healthOf(e watch.Event) {
	b := w.board
	b.mu.Lock()
	in := b.instances[e.Address]
	if in == nil || in.Health == e.Health {
		b.mu.Unlock()
		return
	}
	in.Health, in.HealthSince = e.Health, e.Time.UTC()
	if in.Message = ""; e.Health != healthy {
		in.Message = "it is " + e.Health
		if e.Reason != "" {
			in.Message += ": " + e.Reason
		}
	}
	message := summary(b.instances)
	b.mu.Unlock()
	w.log.Info("its health has changed", "address", e.Address, "health", e.Health, "reason", e.Reason)
	b.set(func(s *status.Stack) { s.Message, s.Ready = message, s.Error == "" && message == "" })
}

// healthy is the word for an application that is as it should be.
const healthy = "Current"

// facts returns since when applications are healthy, for gates; nil facts before anything is known.
func (w *worker) facts() gate.Facts {
	b := w.board
	b.mu.Lock()
	defer b.mu.Unlock()
	f := gate.Facts{}
	if len(b.instances) > 0 { // not nil where nothing is healthy: what state has would count then
		f.Healthy = map[string]time.Time{}
	}
	for address, in := range b.instances {
		if in.Kind != "application" || in.Health != healthy && in.Health != "" || in.State == status.Failed || in.State == status.Changing {
			continue
		}
		rec, recorded := w.open.snapshot.Records[address]
		if !recorded {
			continue
		}
		since := rec.Updated
		if in.HealthSince.After(since) {
			since = in.HealthSince
		}
		f.Healthy[address] = since
	}
	return f
}

// timerTrigger returns what the timer makes dirty: what nobody watches, and from time to time everything.
func (w *worker) timerTrigger(now time.Time) (Trigger, bool) {
	o := w.open
	if o.whole.IsZero() {
		o.whole = now.Add(wholeEvery)
	}
	if !o.watches || !now.Before(o.whole) {
		o.whole = now.Add(wholeEvery)
		return Trigger{Kind: Timer}, true
	}
	t := Trigger{Kind: Timer}
	for _, u := range o.watcher.Unwatched() {
		t.Addresses = append(t.Addresses, u.Address)
	}
	return t, len(t.Addresses) > 0
}

// reports tells whether drift of an instance is only reported: its block says so.
func (w *worker) reports(address string) bool {
	block := w.blockOf(address)
	return block != nil && block.Lifecycle.Drift == config.DriftReport
}
