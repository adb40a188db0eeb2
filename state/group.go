package state

import (
	"context"
	"sync"
)

// Group wraps a lease so that commits share: the first goes at once, and those that come while it is
// written are merged into the next, as far as they have the same meaning together as one after the other.
// Each caller is answered when its own batch is durable.
//
// A caller whose context ends is answered at once. Its batch is taken back if its write has not begun; if it
// has, it may be written. It does not fail those who share the write, which ends early when all of them have left.
func Group(l Lease) Lease { return &group{Lease: l} }

type group struct {
	Lease
	mu      sync.Mutex
	writing bool
	waiting []*commit
}

// commit is one caller's batch on its way.
type commit struct {
	ctx    context.Context
	batch  Batch
	done   chan struct{}
	serial uint64
	err    error
}

// Commit implements Lease.
func (g *group) Commit(ctx context.Context, b Batch) (uint64, error) {
	// One that cannot be must not fail the others.
	if err := b.Check(); err != nil {
		return 0, err
	}
	mine := &commit{ctx: ctx, batch: b, done: make(chan struct{})}
	g.mu.Lock()
	g.waiting = append(g.waiting, mine)
	if !g.writing {
		g.writing = true
		go g.write()
	}
	g.mu.Unlock()
	select {
	case <-mine.done:
		return mine.serial, mine.err
	case <-ctx.Done():
		select { // it may be both
		case <-mine.done:
			return mine.serial, mine.err
		default:
			return 0, ctx.Err()
		}
	}
}

// write writes what is waiting until nothing is.
func (g *group) write() {
	for {
		g.mu.Lock()
		shared, batch := g.take()
		if len(shared) == 0 {
			g.writing = false
			g.mu.Unlock()
			return
		}
		g.mu.Unlock()
		ctx, cancel := together(shared)
		serial, err := g.Lease.Commit(ctx, batch)
		cancel()
		for _, c := range shared {
			c.serial, c.err = serial, err
			close(c.done)
		}
	}
}

// take takes those who can share the next write, in their order, and leaves the others. Who has left is
// taken out.
func (g *group) take() (shared []*commit, batch Batch) {
	m := merger{}
	for len(g.waiting) > 0 {
		c := g.waiting[0]
		switch {
		case c.ctx.Err() != nil:
			c.err = c.ctx.Err()
			close(c.done)
		case m.add(c.batch):
			shared = append(shared, c)
		default:
			return shared, m.batch()
		}
		g.waiting = g.waiting[1:]
	}
	return shared, m.batch()
}

// together is a context that ends when those of all who share a write have ended.
func together(shared []*commit) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(shared[0].ctx))
	var mu sync.Mutex
	left := len(shared)
	var stops []func() bool
	for _, c := range shared {
		stops = append(stops, context.AfterFunc(c.ctx, func() {
			mu.Lock()
			defer mu.Unlock()
			if left--; left == 0 {
				cancel()
			}
		}))
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}
