package objects

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/davit-sh/davit/state"
)

// draft is what a commit makes of a head, and what was written for it.
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
		// Both logs are flushed at once only when it cannot be helped: a commit should be few requests.
		if len(d.wrote) > 0 {
			limit = 2 * l.store.options.Tail
		}
		return l.store.extendHistory(ctx, l.token, d, c, limit)
	})
}

// ready reads what the head says unless that is known, and tells how long tails may be.
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

// commit makes a draft and swaps the head for one that says so.
func (l *lease) commit(ctx context.Context, draw func(context.Context, *head, *draft) error) (uint64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.life, func() { cancel(state.ErrLeaseLost) })()
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

// done is what remains when a draft has become the head.
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

// clean removes garbage. What cannot be removed now stays named in the head.
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

// sweep finds what earlier leases wrote and did not come to use. They cannot any more: their tokens are too old. What
// has a newer token than this lease is not looked at, for it may be another's by now.
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

// change is an overlay over contents.
type change struct {
	below   contents
	set     map[string][]byte // nil: gone
	history []entry
}

func newChange(below contents) *change { return &change{below: below, set: map[string][]byte{}} }

func (c *change) get(key string) (entry, bool) {
	v, ok := c.set[key]
	if !ok {
		v, ok = c.below[key]
	}
	return entry{key, v}, ok && v != nil
}

func (c *change) put(key string, v any) error {
	e, err := seal(key, v)
	c.set[key] = e.value
	return err
}

// remove takes a key away. What was never there needs no word.
func (c *change) remove(key string) {
	if _, ok := c.get(key); ok {
		c.set[key] = nil
	}
}

func (c *change) entries() []entry {
	list := make([]entry, 0, len(c.set))
	for _, key := range slices.Sorted(maps.Keys(c.set)) {
		list = append(list, entry{key, c.set[key]})
	}
	return list
}

func (c *change) batch(b state.Batch) error {
	for _, m := range b.Move {
		if err := c.move(m); err != nil {
			return err
		}
	}
	for _, d := range b.Delete {
		c.remove(keyRecord + d)
	}
	for _, r := range b.Put {
		if err := c.put(keyRecord+r.Address, r); err != nil {
			return err
		}
	}
	for _, id := range b.End {
		c.remove(keyOperation + id)
	}
	for _, o := range b.Begin {
		if err := c.put(keyOperation+o.ID, o); err != nil {
			return err
		}
	}
	if b.Outputs != nil {
		if err := c.outputs(b.Outputs); err != nil {
			return err
		}
	}
	for _, r := range b.History {
		if err := c.revision(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) move(m state.Move) error {
	if e, ok := c.get(keyRecord + m.From); ok {
		var r state.Record
		if err := e.unseal(&r); err != nil {
			return err
		}
		r.Address = m.To
		c.remove(keyRecord + m.From)
		if err := c.put(keyRecord+m.To, r); err != nil {
			return err
		}
	}
	if e, ok := c.get(keyRevisions + m.From); ok {
		var r revisions
		c.remove(keyRevisions + m.From)
		if e.unseal(&r) == nil {
			return c.put(keyRevisions+m.To, r)
		}
	}
	return nil
}

func (c *change) outputs(all map[string]json.RawMessage) error {
	for key := range c.below {
		if strings.HasPrefix(key, keyOutput) {
			c.remove(key)
		}
	}
	for name, v := range all {
		if err := c.put(keyOutput+name, v); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) revision(r state.Revision) error {
	key := keyRevisions + r.Record.Address
	known := revisions{Stream: newID(), First: 1}
	if e, ok := c.get(key); ok {
		var before revisions
		if e.unseal(&before) == nil {
			known = before
		}
	}
	known.Last++
	if known.Last >= state.KeepRevisions {
		known.First = max(known.First, known.Last-state.KeepRevisions+1)
	}
	r.Number = known.Last
	e, err := seal(historyKey(known.Stream, r.Number), r)
	c.history = append(c.history, e)
	return errors.Join(err, c.put(key, known))
}

// archive is all of a state.
func (c *change) archive(a *state.Archive) error {
	for address, r := range a.Records {
		if err := c.put(keyRecord+address, r); err != nil {
			return err
		}
	}
	for id, o := range a.Operations {
		if err := c.put(keyOperation+id, o); err != nil {
			return err
		}
	}
	for name, o := range a.Outputs {
		if err := c.put(keyOutput+name, o); err != nil {
			return err
		}
	}
	known := map[string]revisions{}
	for _, r := range a.History {
		k, ok := known[r.Record.Address]
		if !ok {
			k = revisions{Stream: newID(), First: r.Number, Last: r.Number}
		}
		k.First, k.Last = min(k.First, r.Number), max(k.Last, r.Number)
		known[r.Record.Address] = k
		e, err := seal(historyKey(k.Stream, r.Number), r)
		if err != nil {
			return err
		}
		c.history = append(c.history, e)
	}
	for address, k := range known {
		if err := c.put(keyRevisions+address, k); err != nil {
			return err
		}
	}
	return nil
}
