// Package drift notices when objects of applications are changed by others than davit, or are not healthy any more.
//
// A Hub watches one cluster for all applications on it: the metadata of the kinds and namespaces that their inventories name. It keeps one
// number for each of their objects and nothing of others. The number stands for the object's identity and the fields that davit, or a person
// with a tool, manages in it; so the status that controllers write is no change. What davit reads and writes itself is noted, and is no change
// when it comes back as an event.
package drift

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/diff"
	"github.com/davit-sh/davit/plugins/kubernetes/rollout"
)

// Cluster is what a Hub needs of a cluster.
type Cluster interface {
	rollout.Reader
	// Watch is that of cluster.Cluster.
	Watch(ctx context.Context, gk schema.GroupKind, namespace string, see func(cluster.Sight), listed func()) error
}

// Key names an object, in whatever version it is served.
type Key struct {
	schema.GroupKind
	Namespace, Name string
}

// KeyOf returns the name of an object without its version.
func KeyOf(r cluster.Ref) Key { return Key{r.GroupKind(), r.Namespace, r.Name} }

func (k Key) String() string { return k.Kind + "/" + k.Name }

func (k Key) ref() cluster.Ref {
	return cluster.Ref{GroupVersionKind: k.WithVersion(""), Namespace: k.Namespace, Name: k.Name}
}

// Application is what is watched for one application.
type Application struct {
	ID      string            // tells the application apart
	Objects map[Key]types.UID // that it has; an empty UID is not known
	Health  string            // of all of them together, when it was told last; "" is Current
}

// Notice is what was noticed about an application.
type Notice struct {
	Reason string
	Health string // set when only the health is another one, to the new one
}

// settle is how long a change is waited for to be explained: the answer to davit's own request may come after the event.
const settle = 300 * time.Millisecond

// mark stands for an object as it was at a moment. The zero mark is an object that is not there.
type mark uint64

// Hub watches one cluster. Its methods may be called concurrently.
type Hub struct {
	cluster Cluster

	mu       sync.Mutex
	objects  map[Key]*object
	busy     map[string]int            // applications that davit is working on, by id
	later    map[string]map[Key]bool   // what is to be looked at again when it has done so
	watchers map[scope]*watcher        // that run
	narrow   map[schema.GroupKind]bool // may not be watched in all namespaces
	planning *time.Timer               // of the next arrangement of the watchers
}

// object is one object of an application, or one that davit has read.
type object struct {
	noted, seen     mark
	isNoted, isSeen bool
	told            mark // the change that was told last
	isTold          bool
	owners          []*subscription
	confirming      bool
	health          *healthCheck
}

// subscription is one application that is watched.
type subscription struct {
	Application
	notice  func(Notice)
	failed  chan error
	unwell  map[Key]rollout.Health // objects that are not as they should be
	current string                 // the health that was told last
}

// NewHub returns a hub that watches nothing yet.
func NewHub(c Cluster) *Hub {
	return &Hub{
		cluster: c, objects: map[Key]*object{}, busy: map[string]int{}, later: map[string]map[Key]bool{}, watchers: map[scope]*watcher{},
		narrow: map[schema.GroupKind]bool{},
	}
}

// Note says how davit has read an object, or what the server has answered to a request of davit's; nil says that it is not there.
func (h *Hub) Note(r cluster.Ref, u *unstructured.Unstructured) {
	if h == nil {
		return
	}
	m := mark(0)
	if u != nil {
		m = markOf(u.GetUID(), u.GetManagedFields(), u.GetDeletionTimestamp())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o := h.object(KeyOf(r))
	o.noted, o.isNoted = m, true
	o.isTold = false
}

// Busy says that davit works on an application until done is called. Its objects' changes are looked at then.
func (h *Hub) Busy(id string) (done func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy[id]++
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.busy[id]--; h.busy[id] > 0 {
			return
		}
		delete(h.busy, id)
		for k := range h.later[id] {
			if o := h.objects[k]; o != nil {
				h.confirmSoon(k, o)
			}
		}
		delete(h.later, id)
	}
}

func (h *Hub) object(k Key) *object {
	o := h.objects[k]
	if o == nil {
		o = &object{}
		h.objects[k] = o
	}
	return o
}

// markOf returns the mark of an object: its identity, what davit manages in it and what people's tools do, and whether it is being deleted.
func markOf(uid types.UID, managed []metav1.ManagedFieldsEntry, deleted *metav1.Time) mark {
	sum := fnv.New64a()
	fmt.Fprint(sum, uid, deleted != nil)
	for _, e := range managed {
		own := e.Manager == diff.Manager && e.Operation == metav1.ManagedFieldsOperationApply && e.Subresource == ""
		if !own && !diff.ByHand(e) {
			continue
		}
		fmt.Fprint(sum, "\x00", e.Manager, e.Operation, "\x00")
		if e.Time != nil {
			fmt.Fprint(sum, e.Time.Unix())
		}
		if e.FieldsV1 == nil {
			continue
		}
		var fields any // in an order that does not depend on how it was sent
		if json.NewDecoder(e.FieldsV1.GetRawReader()).Decode(&fields) == nil {
			text, _ := json.Marshal(fields) // it was decoded a moment ago
			_, _ = sum.Write(text)          // a hash takes everything
		}
	}
	return mark(sum.Sum64() | 1)
}

// see takes what a watch has seen of an object that somebody has asked for. The caller holds mu.
func (h *Hub) see(k Key, o *object, s cluster.Sight) {
	if s.Gone {
		h.seen(k, o, 0, "")
		return
	}
	h.seen(k, o, markOf(s.Meta.UID, s.Meta.ManagedFields, s.Meta.DeletionTimestamp), s.Meta.UID)
	if s.Meta.Generation > 0 && !s.Listed && o.seen == o.noted {
		h.checkHealth(k, o)
	}
}

// seen compares an object with what is known of it. An object that was never read by davit is as it should be if it is the one in the inventory.
func (h *Hub) seen(k Key, o *object, m mark, uid types.UID) {
	o.seen, o.isSeen = m, true
	if !o.isNoted && m != 0 {
		for _, s := range o.owners {
			if known := s.Objects[k]; known == "" || known == uid {
				o.noted, o.isNoted = m, true
			}
		}
	}
	if !o.isNoted || o.noted != m {
		h.confirmSoon(k, o)
	}
}

// confirmSoon looks a moment later whether a change is still one.
func (h *Hub) confirmSoon(k Key, o *object) {
	if o.confirming {
		return
	}
	o.confirming = true
	time.AfterFunc(settle, func() { h.confirm(k, o) })
}

func (h *Hub) confirm(k Key, o *object) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o.confirming = false
	if !o.isSeen || o.isNoted && o.seen == o.noted || o.isTold && o.told == o.seen {
		return
	}
	for _, s := range o.owners {
		if h.busy[s.ID] > 0 {
			if h.later[s.ID] == nil {
				h.later[s.ID] = map[Key]bool{}
			}
			h.later[s.ID][k] = true
			continue
		}
		o.told, o.isTold = o.seen, true
		what := "was changed"
		switch {
		case o.seen == 0:
			what = "was deleted"
		case !o.isNoted || o.noted == 0:
			what = "is another one than before"
		}
		go s.notice(Notice{Reason: k.String() + " " + what})
	}
}
