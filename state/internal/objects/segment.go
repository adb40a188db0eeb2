package objects

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sync/errgroup"
)

// parallel is the number of objects that are read or written at a time.
const parallel = 8

// goneError reports that an object named in the head does not exist.
type goneError struct{ name string }

func (e *goneError) Error() string { return fmt.Sprintf("the object %s is missing", e.name) }

// segment reads the entries of a segment. Entries of lost or damaged objects are returned as unreadable, as far as their keys
// are known, so that older values of these keys do not reappear.
func (s *Store) segment(ctx context.Context, seg segment, lost map[string]bool) (entries []entry, whole bool, err error) {
	parts := make([][]byte, len(seg.Parts))
	damaged := make([]bool, len(seg.Parts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, p := range seg.Parts {
		group.Go(func() error {
			var b []byte
			err := s.retry(ctx, p.Size, func(ctx context.Context) (err error) {
				b, _, err = s.bucket.Get(ctx, p.Name)
				return err
			})
			if errors.Is(err, ErrNotFound) {
				if !lost[p.Name] {
					return &goneError{p.Name}
				}
			} else if err != nil {
				return err
			}
			damaged[i] = sum(b) != p.Sum
			parts[i] = make([]byte, p.Size)
			copy(parts[i], b)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, false, err
	}
	entries, err = s.codec.unpack(slices.Concat(parts...))
	if err != nil {
		if i := slices.Index(damaged, true); i >= 0 {
			return nil, false, &damagedError{seg.Parts[i].Name, lost[seg.Parts[i].Name]}
		}
	}
	return entries, !slices.Contains(damaged, true), err
}

// damagedError reports an object whose list of keys is damaged.
type damagedError struct {
	name    string
	missing bool
}

func (e *damagedError) Error() string {
	what := "damaged"
	if e.missing {
		what = "missing"
	}
	return fmt.Sprintf("the object %s is %s, and its contents are not known: restore it, or the whole state, from a backup", e.name, what)
}

// unreadable returns whether the error reports a missing or damaged object.
func unreadable(err error) bool {
	return errors.As(err, new(*goneError)) || errors.As(err, new(*damagedError))
}

// contents are sealed values by key.
type contents map[string][]byte

func (c contents) apply(entries []entry) {
	for _, e := range entries {
		if e.value == nil {
			delete(c, e.key)
		} else {
			c[e.key] = e.value
		}
	}
}

// contents reads the state of a head.
func (s *Store) contents(ctx context.Context, h *head, lost map[string]bool) (contents, error) {
	segments := make([][]entry, len(h.State.Segments))
	group, within := errgroup.WithContext(ctx)
	for i, seg := range h.State.Segments {
		group.Go(func() (err error) {
			segments[i], err = s.remembered(within, seg, lost)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	s.forget(h)
	all := contents{}
	for _, entries := range segments {
		all.apply(entries)
	}
	tail, err := s.tail(h.State)
	all.apply(tail)
	return all, err
}

// remembered returns the entries of a segment from memory, or reads them with segment.
func (s *Store) remembered(ctx context.Context, seg segment, lost map[string]bool) ([]entry, error) {
	name := seg.Parts[0].Name
	s.mu.Lock()
	entries, ok := s.read[name]
	s.mu.Unlock()
	if ok {
		return entries, nil
	}
	entries, whole, err := s.segment(ctx, seg, lost)
	if err == nil && whole {
		s.remember(name, entries)
	}
	return entries, err
}

func (s *Store) remember(name string, entries []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read[name] = entries
}

// forget drops the segments that the head no longer names.
func (s *Store) forget(h *head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	named := map[string]bool{}
	for _, seg := range h.State.Segments {
		named[seg.Parts[0].Name] = true
	}
	maps.DeleteFunc(s.read, func(name string, _ []entry) bool { return !named[name] })
}

// history reads all revisions.
func (s *Store) history(ctx context.Context, h *head, lost map[string]bool) (contents, error) {
	segments := make([][]entry, len(h.History.Segments))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, seg := range h.History.Segments {
		group.Go(func() (err error) {
			segments[i], _, err = s.segment(within, seg, lost)
			if errors.As(err, new(*damagedError)) {
				return nil // the others still tell their part
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := contents{}
	for _, entries := range segments {
		all.apply(entries)
	}
	tail, err := s.tail(h.History)
	all.apply(tail)
	return all, err
}

func (s *Store) tail(l log) ([]entry, error) {
	if len(l.Tail) == 0 {
		return nil, nil
	}
	entries, err := s.codec.unpack(l.Tail)
	if err != nil {
		return nil, fmt.Errorf("the recent changes in the object %s: %w; restore it from a backup or an earlier version of the object", Head, err)
	}
	return entries, nil
}

// write stores a packed blob as a segment of a lease. It returns the names of the written objects, also with an error.
func (s *Store) write(ctx context.Context, token uint64, entries []entry, blob []byte) (segment, error) {
	seg := segment{Entries: len(entries)}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for b := range slices.Chunk(blob, s.options.Part) {
		p := part{Name: newPart(token), Size: len(b), Sum: sum(b)}
		seg.Parts = append(seg.Parts, p)
		group.Go(func() error {
			err := s.retry(ctx, len(b), func(ctx context.Context) error {
				_, err := s.bucket.Put(ctx, p.Name, b, "")
				return err
			})
			if errors.Is(err, ErrConflict) {
				return nil // nobody else uses the name: it was written and the answer was lost
			}
			return err
		})
	}
	return seg, group.Wait()
}
