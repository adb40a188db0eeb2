package drift

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/rollout"
)

const (
	// gather is how long applications that come together are waited for, so that one list serves all of them.
	gather = 200 * time.Millisecond
	// linger is how long a watcher goes on that nobody needs, because another has taken over or somebody may come back.
	linger = 10 * time.Second
	// wide is how many namespaces of a kind are watched one by one. More are watched as one, if that is allowed.
	wide = 3
	// patience is how many times in a row the server may not answer before the applications are told.
	patience = 3

	firstRetry = time.Second
	lastRetry  = 30 * time.Second
)

// scope is what one watcher watches. An empty namespace stands for all, or for a kind that has none.
type scope struct {
	schema.GroupKind
	namespace string
}

func (s scope) has(k Key) bool {
	return s.GroupKind == k.GroupKind && (s.namespace == "" || s.namespace == k.Namespace)
}

// watcher is one watch at the server.
type watcher struct {
	scope
	stop   context.CancelFunc
	listed bool         // everything that was there has been seen once
	found  map[Key]bool // of ours, by the list that is under way
	ending *time.Timer
}

// Watch watches an application until ctx ends, or its objects cannot be watched. notice may be called concurrently.
func (h *Hub) Watch(ctx context.Context, a Application, notice func(Notice)) error {
	s := &subscription{Application: a, notice: notice, failed: make(chan error, 1), unwell: map[Key]rollout.Health{}, current: a.Health}
	if s.current == "" {
		s.current = string(rollout.Worst(nil))
	}
	fresh := h.subscribe(s)
	defer h.unsubscribe(s)
	h.lookAt(ctx, fresh)
	select {
	case err := <-s.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subscribe adds an application. It returns the objects that a watcher has dropped before, so that nothing is known of them.
func (h *Hub) subscribe(s *subscription) (fresh []Key) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k := range s.Objects {
		o := h.object(k)
		o.owners = append(o.owners, s)
		if !o.isSeen && h.isListed(k) {
			fresh = append(fresh, k)
		}
	}
	h.arrangeSoon()
	return fresh
}

func (h *Hub) isListed(k Key) bool {
	for _, w := range []*watcher{h.watchers[scope{k.GroupKind, k.Namespace}], h.watchers[scope{k.GroupKind, ""}]} {
		if w != nil && w.listed {
			return true
		}
	}
	return false
}

func (h *Hub) unsubscribe(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k := range s.Objects {
		o := h.objects[k]
		if o.owners = slices.DeleteFunc(o.owners, func(other *subscription) bool { return other == s }); len(o.owners) == 0 {
			o.health.stop()
			delete(h.objects, k)
		}
	}
	h.arrangeSoon()
}

// lookAt reads objects one by one.
func (h *Hub) lookAt(ctx context.Context, keys []Key) {
	for _, k := range keys {
		u, err := h.cluster.Get(ctx, k.ref())
		if err != nil {
			continue // the next event tells
		}
		h.mu.Lock()
		if o := h.objects[k]; o != nil && !o.isSeen {
			if u == nil {
				h.seen(k, o, 0, "")
			} else {
				h.seen(k, o, markOf(u.GetUID(), u.GetManagedFields(), u.GetDeletionTimestamp()), u.GetUID())
			}
		}
		h.mu.Unlock()
	}
}

// arrangeSoon arranges the watchers a moment later.
func (h *Hub) arrangeSoon() {
	if h.planning == nil {
		h.planning = time.AfterFunc(gather, h.arrange)
	}
}

// arrange starts the watchers that are needed, and ends the others.
func (h *Hub) arrange() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.planning = nil
	namespaces := map[schema.GroupKind]map[string]bool{}
	for k, o := range h.objects {
		if len(o.owners) == 0 {
			continue
		}
		if namespaces[k.GroupKind] == nil {
			namespaces[k.GroupKind] = map[string]bool{}
		}
		namespaces[k.GroupKind][k.Namespace] = true
	}
	needed := map[scope]bool{}
	for gk, all := range namespaces {
		if len(all) > wide && !h.narrow[gk] {
			needed[scope{gk, ""}] = true
			continue
		}
		for n := range all {
			needed[scope{gk, n}] = true
		}
	}
	for s := range needed {
		if w := h.watchers[s]; w == nil {
			h.start(s)
		} else if w.ending != nil {
			w.ending.Stop()
			w.ending = nil
		}
	}
	for s, w := range h.watchers {
		if !needed[s] && w.ending == nil {
			w.ending = time.AfterFunc(linger, func() { h.end(w) })
		}
	}
}

func (h *Hub) end(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.ending != nil && h.watchers[w.scope] == w {
		delete(h.watchers, w.scope)
		w.stop()
	}
}

func (h *Hub) start(s scope) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{scope: s, stop: cancel, found: map[Key]bool{}}
	h.watchers[s] = w
	go h.run(ctx, w)
}

// run watches until ctx ends.
func (h *Hub) run(ctx context.Context, w *watcher) {
	retry, failed := firstRetry, 0
	for {
		h.begin(w)
		err := h.cluster.Watch(ctx, w.GroupKind, w.namespace, func(s cluster.Sight) { h.seeIn(w, s) }, func() {
			retry, failed = firstRetry, 0
			h.listedAll(w)
		})
		if ctx.Err() != nil {
			return
		}
		if _, unknown := errors.AsType[*cluster.UnknownKindError](err); unknown {
			h.listedAll(w) // none of its objects is there
			failed = 0
		} else if h.narrows(w, err) {
			return
		} else if failed++; failed >= patience || cluster.Forbidden(err) {
			h.fail(w, err)
		}
		select {
		case <-time.After(retry/2 + rand.N(retry)): //nolint:gosec // it spreads load
		case <-ctx.Done():
			return
		}
		retry = min(2*retry, lastRetry)
	}
}

// narrows gives a watch of all namespaces up that the server does not allow, and has each of them watched instead.
func (h *Hub) narrows(w *watcher, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !cluster.Forbidden(err) || w.namespace != "" || !h.hasNamespaces(w.GroupKind) {
		return false
	}
	h.narrow[w.GroupKind] = true
	if h.watchers[w.scope] == w {
		delete(h.watchers, w.scope)
	}
	w.stop()
	h.arrangeSoon()
	return true
}

func (h *Hub) hasNamespaces(gk schema.GroupKind) bool {
	for k := range h.objects {
		if k.GroupKind == gk {
			return k.Namespace != ""
		}
	}
	return false
}

// begin forgets what a list has found that did not come to its end.
func (h *Hub) begin(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.found = map[Key]bool{}
}

// seeIn takes what a watcher has seen.
func (h *Hub) seeIn(w *watcher, s cluster.Sight) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := KeyOf(s.Ref)
	o := h.objects[k]
	if o == nil || len(o.owners) == 0 {
		return // nobody has asked for it
	}
	if s.Listed {
		w.found[k] = true
	}
	h.see(k, o, s)
}

// listedAll finds the objects that a list did not have.
func (h *Hub) listedAll(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, o := range h.objects {
		if w.has(k) && !w.found[k] && len(o.owners) > 0 {
			h.seen(k, o, 0, "")
		}
	}
	w.listed, w.found = true, map[Key]bool{}
}

// Abandon ends all watches with an error.
func (h *Hub) Abandon(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, o := range h.objects {
		o.fail(err)
	}
}

// fail ends the watches of the applications that have an object.
func (o *object) fail(err error) {
	for _, s := range o.owners {
		select {
		case s.failed <- err:
		default:
		}
	}
}

// fail ends the watches of the applications that need a watcher.
func (h *Hub) fail(w *watcher, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	err = fmt.Errorf("watching %s: %w", w.GroupKind, err)
	for k, o := range h.objects {
		if w.has(k) {
			o.fail(err)
		}
	}
}
