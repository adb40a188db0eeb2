package state

import (
	"context"
	"sync"
)

// Group wraps a lease so that concurrent commits share writes: the first batch is written at once, and the batches that
// arrive during the write are merged into the next one, if merging does not change their meaning.
// Commit returns when the caller's own batch is durable.
//
// If the context of a caller ends, Commit returns at once. Its batch is withdrawn if its write has not begun; otherwise it
// may be written. The other callers of a shared write are not affected; the write ends early when all of them have left.
func Group(l Lease) Lease { return &group{Lease: l} }

type group struct {
	Lease
	mu      sync.Mutex
	writing bool
	waiting []*commit
}

// commit is the batch of one caller, waiting or being written.
type commit struct {
	ctx    context.Context
	batch  Batch
	done   chan struct{}
	serial uint64
	err    error
}

// Commit implements Lease.
func (g *group) Commit(ctx context.Context, b Batch) (uint64, error) {
	// An invalid batch must not fail the others.
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

// write writes the waiting batches until none is left.
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

// take removes from the queue the batches that can share the next write, in their order, and those whose callers have left.
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

// together returns a context that ends when the contexts of all callers of a shared write have ended.
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
