package objects

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
)

// The logs grow as those of a log-structured merge tree: changes gather in the tail; when it is too long for the head
// it becomes a segment, which takes in the newer segments that are not much larger than itself. So
// there are few segments, of which each is much larger than the next, and an entry is rewritten only
// a few times. The first segment of the state has no word of what is gone.

// extendState adds the draft's changes to its state.
func (s *Store) extendState(ctx context.Context, token uint64, d *draft, limit int) error {
	tail, blob, err := s.longer(d.state, d.changes)
	if err != nil {
		return err
	}
	if len(blob) <= limit {
		d.state.Tail = blob
		return nil
	}
	segments := d.state.Segments
	first := older(segments, len(blob), math.MaxInt)
	merged := map[string][]byte{}
	for _, seg := range segments[first:] {
		entries, err := s.remembered(ctx, seg, d.lost)
		if err != nil {
			return err
		}
		for _, e := range entries {
			merged[e.key] = e.value
		}
	}
	maps.Copy(merged, tail)
	if first == 0 {
		maps.DeleteFunc(merged, func(_ string, v []byte) bool { return v == nil })
	}
	d.state.Segments, err = s.flush(ctx, token, d, segments[:first], segments[first:], merged)
	d.state.Tail = nil
	if n := len(d.state.Segments); err == nil && n > first {
		s.remember(d.state.Segments[n-1].Parts[0].Name, sorted(merged))
	}
	return err
}

// extendHistory adds revisions. Dropped revisions are removed when their segment is rewritten; the oldest segment is
// rewritten when more than half of its revisions are dropped ones.
func (s *Store) extendHistory(ctx context.Context, token uint64, d *draft, c *change, limit int) error {
	if len(c.history) == 0 {
		return nil
	}
	tail, blob, err := s.longer(d.history, c.history)
	if err != nil {
		return err
	}
	if len(blob) <= limit {
		d.history.Tail = blob
		return nil
	}
	live := c.live()
	segments := d.history.Segments
	first := older(segments, len(blob), s.options.Part)
	keep, rewrite := segments[:first], segments[first:]
	if written(segments) > 2*len(live)+64 && first > 0 {
		keep, rewrite = segments[1:first], slices.Concat(segments[:1], segments[first:])
	}
	merged := map[string][]byte{}
	for _, seg := range rewrite {
		entries, _, err := s.segment(ctx, seg, nil)
		if unreadable(err) {
			keep, rewrite, merged = segments, nil, map[string][]byte{} // it stays as it is
			break
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			merged[e.key] = e.value
		}
	}
	maps.Copy(merged, tail)
	maps.DeleteFunc(merged, func(key string, v []byte) bool { return !live[key] || len(v) == 0 })
	d.history.Segments, err = s.flush(ctx, token, d, keep, rewrite, merged)
	d.history.Tail = nil
	return err
}

// longer returns the tail of a log with additional entries, and its packed form.
func (s *Store) longer(l log, more []entry) (map[string][]byte, []byte, error) {
	before, err := s.tail(l)
	if err != nil {
		return nil, nil, err
	}
	tail := map[string][]byte{}
	for _, e := range slices.Concat(before, more) {
		tail[e.key] = e.value
	}
	return tail, s.codec.pack(sorted(tail)), nil
}

// older returns the index of the first segment that a new segment of this size replaces.
func older(segments []segment, size, limit int) int {
	first := len(segments)
	for first > 0 {
		n := segments[first-1].size()
		if n > 2*size || size+n > limit {
			break
		}
		size += n
		first--
	}
	return first
}

// flush writes a segment in place of others.
func (s *Store) flush(ctx context.Context, token uint64, d *draft, keep, rewrite []segment, entries map[string][]byte) ([]segment, error) {
	keep = slices.Clone(keep)
	if len(entries) > 0 {
		list := sorted(entries)
		seg, err := s.write(ctx, token, list, s.codec.pack(list))
		d.wrote = append(d.wrote, seg.names()...)
		if err != nil {
			return nil, err
		}
		keep = append(keep, seg)
	}
	for _, seg := range rewrite {
		d.drop = append(d.drop, seg.names()...)
	}
	return keep, nil
}

func sorted(entries map[string][]byte) []entry {
	list := make([]entry, 0, len(entries))
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		list = append(list, entry{key, entries[key]})
	}
	return list
}

func written(segments []segment) (n int) {
	for _, seg := range segments {
		n += seg.Entries
	}
	return n
}

// live returns the set of revisions that are not dropped.
func (c *change) live() map[string]bool {
	live := map[string]bool{}
	add := func(key string) {
		e, ok := c.get(key)
		var r revisions
		if !ok || !strings.HasPrefix(key, keyRevisions) || e.unseal(&r) != nil {
			return
		}
		for _, n := range r.Numbers {
			live[historyKey(r.Stream, n)] = true
		}
	}
	for key := range c.below {
		add(key)
	}
	for key := range c.set {
		add(key)
	}
	return live
}
