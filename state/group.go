package state

import (
	"context"
	"slices"
	"sync"
)

// Group wraps a lease so that commits share: the first goes at once, and those that come
// while it is written are merged into the next. Each caller is answered when its own batch is durable.
func Group(l Lease) Lease { return &group{Lease: l} }

type group struct {
	Lease
	mu      sync.Mutex
	writing bool
	next    *shared // who waits for the commit after the one that is being written
}

type shared struct {
	batch  Batch
	done   chan struct{}
	serial uint64
	err    error
}

// Commit implements Lease. The context of the caller that writes bounds the write for all who share it.
func (g *group) Commit(ctx context.Context, b Batch) (uint64, error) {
	g.mu.Lock()
	if g.next == nil {
		g.next = &shared{done: make(chan struct{})}
	}
	mine := g.next
	mine.batch = merge(mine.batch, b)
	if g.writing {
		g.mu.Unlock()
		<-mine.done
		return mine.serial, mine.err
	}
	g.writing = true
	for g.next != nil {
		s := g.next
		g.next = nil
		g.mu.Unlock()
		s.serial, s.err = g.Lease.Commit(ctx, s.batch)
		close(s.done)
		g.mu.Lock()
	}
	g.writing = false
	g.mu.Unlock()
	return mine.serial, mine.err
}

// merge puts b after a. A later word on the same thing wins.
func merge(a, b Batch) Batch {
	put, deleted := map[string]bool{}, map[string]bool{}
	for _, r := range b.Put {
		put[r.Address] = true
	}
	for _, d := range b.Delete {
		deleted[d] = true
	}
	begun, ended := map[string]bool{}, map[string]bool{}
	for _, o := range b.Begin {
		begun[o.ID] = true
	}
	for _, id := range b.End {
		ended[id] = true
	}
	out := Batch{
		Put:    append(keep(a.Put, func(r Record) bool { return !put[r.Address] && !deleted[r.Address] }), b.Put...),
		Delete: append(keep(a.Delete, func(d string) bool { return !put[d] }), b.Delete...),
		Begin:  append(keep(a.Begin, func(o Operation) bool { return !begun[o.ID] && !ended[o.ID] }), b.Begin...),
		End:    append(keep(a.End, func(id string) bool { return !begun[id] }), b.End...),
	}
	out.Move = append(slices.Clone(a.Move), b.Move...)
	out.History = append(slices.Clone(a.History), b.History...)
	out.Outputs = a.Outputs
	if b.Outputs != nil {
		out.Outputs = b.Outputs
	}
	return out
}

func keep[T any](list []T, want func(T) bool) []T {
	out := list[:0:0]
	for _, x := range list {
		if want(x) {
			out = append(out, x)
		}
	}
	return out
}
