package reconcile

import (
	"context"
	"sync"

	"github.com/davit-sh/davit/core/event"
)

// Event is something that happens in a stack.
type Event struct {
	Stack string `json:"stack"`
	// Status says that the status of the stack is another one now; the rest is empty then.
	Status bool `json:"status,omitempty"`
	event.Event
}

// feed gives events to all who listen. Nothing is kept.
type feed struct {
	mu        sync.Mutex
	listeners map[chan Event]string
}

// mostUnread is how many events wait for one listener.
const mostUnread = 1024

func (f *feed) subscribe(ctx context.Context, stack string) <-chan Event {
	c := make(chan Event, mostUnread)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listeners == nil {
		f.listeners = map[chan Event]string{}
	}
	f.listeners[c] = stack
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, c)
		close(c)
	})
	return c
}

func (f *feed) publish(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c, stack := range f.listeners {
		if stack != "" && stack != e.Stack {
			continue
		}
		select {
		case c <- e:
		default: // who is too slow misses it
		}
	}
}
