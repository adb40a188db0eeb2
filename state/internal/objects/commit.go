package objects

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/davit-sh/davit/state"
)

// draft is the next head of a commit, and the objects that were written for it.
type draft struct {
	lineage        string
	serial         uint64
	state, history log
	changes        []entry
	anew           bool            // there is nothing else than the changes
	lost           map[string]bool // objects of the state that are named and not there
	wrote, drop    []string        // objects
}

// Commit implements state.Lease.
func (l *lease) Commit(ctx context.Context, b state.Batch) (uint64, error) {
	if err := b.Check(); err != nil {
		return 0, err
	}
	return l.commit(ctx, func(ctx context.Context, h *head, d *draft) error {
		limit, err := l.ready(ctx, h)
		if err != nil {
			return err
		}
		c := newChange(l.content)
		if err := c.batch(b); err != nil {
			return err
		}
		if d.lineage == "" {
			d.lineage = uuid.NewString()
		}
		d.serial, d.changes, d.lost = h.Serial+1, c.entries(), l.lost
		if err := l.store.extendState(ctx, l.token, d, limit); err != nil {
			return err
		}
		// Both logs are flushed at once only if necessary: a commit should need few requests.
		if len(d.wrote) > 0 {
			limit = 2 * l.store.options.Tail
		}
		return l.store.extendHistory(ctx, l.token, d, c, limit)
	})
}

// ready reads the contents of the head if they are unknown, and returns the maximum length of the tails.
func (l *lease) ready(ctx context.Context, h *head) (limit int, err error) {
	limit = l.store.options.Tail
	if l.content != nil {
		return limit, nil
	}
	l.lost = map[string]bool{}
	for {
		l.content, err = l.store.contents(ctx, h, l.lost)
		var gone *goneError
		if !errors.As(err, &gone) {
			return 2 * limit, err
		}
		l.lost[gone.name] = true // nobody else may remove it
	}
}

// Replace implements state.Lease.
func (l *lease) Replace(ctx context.Context, a *state.Archive) error {
	if err := a.Check(); err != nil {
		return err
	}
	_, err := l.commit(ctx, func(ctx context.Context, h *head, d *draft) error {
		c := newChange(nil)
		if err := c.archive(a); err != nil {
			return err
		}
		d.drop = append(h.State.names(), h.History.names()...)
		d.lineage, d.serial, d.changes, d.anew = a.Lineage, a.Serial, c.entries(), true
		d.state, d.history = log{}, log{}
		if err := l.store.extendState(ctx, l.token, d, l.store.options.Tail); err != nil {
			return err
		}
		return l.store.extendHistory(ctx, l.token, d, c, l.store.options.Tail)
	})
	return err
}

// commit makes a draft and swaps the head for that of the draft.
func (l *lease) commit(ctx context.Context, draw func(context.Context, *head, *draft) error) (uint64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.life, func() { cancel(state.ErrLeaseLost) })()
	if l.released.Load() {
		l.lose()
		return 0, state.ErrLeaseLost
	}
	if ctx.Err() != nil {
		return 0, l.store.failed("writing", context.Cause(ctx))
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return 0, l.store.failed("writing", context.Cause(ctx))
	}
	for {
		serial, err := l.try(ctx, draw)
		if errors.Is(err, errStale) {
			continue
		}
		if cause := context.Cause(ctx); err != nil && errors.Is(cause, state.ErrLeaseLost) && !errors.As(err, new(*UnknownError)) {
			err = state.ErrLeaseLost
		}
		return serial, l.store.failed("writing", err)
	}
}

func (l *lease) try(ctx context.Context, draw func(context.Context, *head, *draft) error) (uint64, error) {
	h, _, _, generation := l.now()
	if l.read != generation {
		l.content, l.read = nil, generation
	}
	d := &draft{lineage: h.Lineage, state: h.State, history: h.History}
	if err := draw(ctx, h, d); err != nil {
		l.spare = append(l.spare, d.wrote...)
		return 0, err
	}
	id := newID()
	err := l.swap(ctx, generation, func(next *head) {
		next.Lineage, next.Serial, next.State, next.History = d.lineage, d.serial, d.state, d.history
		if d.anew {
			next.Commits = nil
		}
		next.Commits = append(next.Commits, id)
		next.Commits = next.Commits[max(0, len(next.Commits)-keepCommits):]
		next.Garbage = slices.DeleteFunc(next.Garbage, func(name string) bool { return slices.Contains(l.removed, name) })
		next.Garbage = slices.Concat(next.Garbage, l.spare, d.drop)
	})
	var moved *movedError
	switch {
	case err == nil:
		l.done(ctx, d)
		return d.serial, nil
	case errors.As(err, &moved) && moved.head != nil:
		yes, known := moved.head.committed(d.serial, id)
		if yes {
			return d.serial, nil // and then the lease was lost
		}
		if !known {
			return 0, &UnknownError{state.ErrLeaseLost}
		}
		return 0, state.ErrLeaseLost
	case moved != nil:
		return 0, state.ErrLeaseLost
	case !errors.As(err, new(*UnknownError)):
		l.spare = append(l.spare, d.wrote...)
	}
	return 0, err
}

// done updates the store after a draft has become the head.
func (l *lease) done(ctx context.Context, d *draft) {
	l.spare, l.removed = nil, nil
	if d.anew {
		l.content = contents{}
	}
	l.content.apply(d.changes)
	h, _, _, _ := l.now()
	l.store.forget(h)
	remove := 2 // a few at a time: a commit should be few requests
	if len(d.wrote) > 0 {
		l.flushed, remove = true, 0
	} else if l.flushed && !l.swept {
		l.swept = l.sweep(ctx, h) == nil
	}
	if len(h.Garbage) > 64 {
		remove = 16
	}
	l.clean(ctx, h.Garbage[:min(len(h.Garbage), remove)])
}

// clean removes unused objects. The head keeps the names of those that cannot be removed now.
func (l *lease) clean(ctx context.Context, names []string) {
	ok := make([]bool, len(names))
	ctx, cancel := context.WithTimeout(ctx, l.store.options.Request)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, name := range names {
		group.Go(func() error {
			ok[i] = l.store.bucket.Delete(ctx, name) == nil
			return nil
		})
	}
	_ = group.Wait()
	for i, name := range names {
		if ok[i] {
			l.removed = append(l.removed, name)
		}
	}
}

// sweep removes objects that earlier leases wrote and never used. Those leases cannot use them, because their tokens are too old.
// Objects with a newer token than that of this lease are left alone: they may belong to the next holder.
func (l *lease) sweep(ctx context.Context, h *head) error {
	ctx, cancel := context.WithTimeout(ctx, l.store.options.Request)
	defer cancel()
	names, err := l.store.bucket.List(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, name := range slices.Concat(h.State.names(), h.History.names(), h.Garbage) {
		known[name] = true
	}
	for _, name := range names {
		if token, ok := writtenBy(name); ok && token < l.token && !known[name] {
			l.spare = append(l.spare, name)
		}
	}
	return nil
}
