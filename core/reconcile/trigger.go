package reconcile

import (
	"maps"
	"slices"
	"sync"

	"github.com/davit-sh/davit/core/addr"
)

// Kind is what sort of thing a trigger is.
type Kind string

// The kinds of triggers.
const (
	Start    Kind = "start"    // the worker has opened the stack
	Timer    Kind = "timer"    // the interval is over
	Watch    Kind = "watch"    // a plugin has seen a change of what an instance observes, or of what it has made
	Webhook  Kind = "webhook"  // somebody says that there is something new
	Person   Kind = "person"   // an order, which has a token
	Decision Kind = "decision" // a person has approved or rejected a change
	Files    Kind = "files"    // the stack's own files are others now
	Retry    Kind = "retry"    // a back-off or a window is over
	Applied  Kind = "applied"  // an apply has ended: a look at what it has done
)

// Trigger says that instances may not be as they were at the last look.
type Trigger struct {
	Kind      Kind
	Addresses []string // empty: everything
	// Reason is for people: who gave the order, which hook.
	Reason string
	Token  string // of a person's order
}

// String returns the trigger as the status and the history name it: "watch: source.git.repo".
func (t Trigger) String() string {
	s := string(t.Kind)
	switch {
	case t.Reason != "":
		s += ": " + t.Reason
	case len(t.Addresses) > 0:
		s += ": " + t.Addresses[0]
		if len(t.Addresses) > 1 {
			s += " and others"
		}
	}
	return s
}

// batch is what the triggers of one pass are together.
type batch struct {
	all       bool
	addresses map[string]bool
	triggers  []string // as people read them, each once
	tokens    []string
	kinds     map[Kind]bool
	count     int
	// ordered is what persons have ordered: they want it to go now.
	ordered struct {
		all       bool
		addresses map[string]bool
	}
}

func (b *batch) init() {
	if b.addresses == nil {
		b.addresses, b.kinds, b.ordered.addresses = map[string]bool{}, map[Kind]bool{}, map[string]bool{}
	}
}

// isOrdered tells whether a person has ordered that an instance is dealt with now.
func (b *batch) isOrdered(address string) bool { return b.ordered.all || b.ordered.addresses[address] }

// isNews tells whether a trigger says that something is new, and not only that it is time to look again.
func (b *batch) isNews() bool {
	return b.kinds[Start] || b.kinds[Watch] || b.kinds[Webhook] || b.kinds[Person] || b.kinds[Decision] || b.kinds[Files]
}

// mostTriggers is how many triggers of one pass are named.
const mostTriggers = 10

func (b *batch) add(t Trigger) {
	b.init()
	b.count++
	b.kinds[t.Kind] = true
	if len(t.Addresses) == 0 {
		b.all = true
		b.ordered.all = b.ordered.all || t.Kind == Person
	}
	for _, a := range t.Addresses {
		b.addresses[a] = true
		if t.Kind == Person {
			b.ordered.addresses[a] = true
		}
	}
	if text := t.String(); len(b.triggers) < mostTriggers && !slices.Contains(b.triggers, text) {
		b.triggers = append(b.triggers, text)
	}
	if t.Token != "" {
		b.tokens = append(b.tokens, t.Token)
	}
}

// merge adds all that another batch has.
func (b *batch) merge(o *batch) {
	if o.count == 0 {
		return
	}
	b.init()
	b.count += o.count
	b.ordered.all = b.ordered.all || o.ordered.all
	maps.Copy(b.ordered.addresses, o.ordered.addresses)
	b.all = b.all || o.all
	maps.Copy(b.addresses, o.addresses)
	maps.Copy(b.kinds, o.kinds)
	b.tokens = append(b.tokens, o.tokens...)
	for _, text := range o.triggers {
		if len(b.triggers) < mostTriggers && !slices.Contains(b.triggers, text) {
			b.triggers = append(b.triggers, text)
		}
	}
}

// instances returns the instances that the batch names. A name that is no address is left out: it may come from outside.
func (b *batch) instances() []addr.Instance {
	list := make([]addr.Instance, 0, len(b.addresses))
	for _, a := range slices.Sorted(maps.Keys(b.addresses)) {
		if in, err := addr.Parse(a); err == nil {
			list = append(list, in)
		}
	}
	return list
}

// dirty returns how many instances the batch names; -1 is all.
func (b *batch) dirty() int {
	if b.all {
		return -1
	}
	return len(b.addresses)
}

// queue holds the triggers of one stack that wait for the next pass, merged. It may be used concurrently.
type queue struct {
	mu    sync.Mutex
	batch batch
	ready chan struct{} // has a value while something waits
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

func (q *queue) add(t Trigger) {
	q.mu.Lock()
	q.batch.add(t)
	q.mu.Unlock()
	q.wake()
}

// putBack returns what was taken and not dealt with.
func (q *queue) putBack(b batch) {
	q.mu.Lock()
	b.merge(&q.batch)
	q.batch = b
	waiting := q.batch.count > 0
	q.mu.Unlock()
	if waiting {
		q.wake()
	}
}

func (q *queue) wake() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take takes everything that waits.
func (q *queue) take() batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case <-q.ready:
	default:
	}
	b := q.batch
	q.batch = batch{}
	return b
}
