package objects

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Spoil changes the stored form of one item, as a bad disk would, and nothing else. It is for tests of
// backends. The kind is that of statetest.Item.
func Spoil(ctx context.Context, s *Store, kind, name string, number uint64) error {
	h, version, err := s.head(ctx)
	if err != nil {
		return err
	}
	next := h.clone()
	which, key := &next.State, map[string]string{"record": keyRecord, "operation": keyOperation, "output": keyOutput}[kind]+name
	if kind == "revision" {
		all, err := s.contents(ctx, h, nil)
		if err != nil {
			return err
		}
		var known revisions
		if err := (entry{keyRevisions + name, all[keyRevisions+name]}).unseal(&known); err != nil {
			return err
		}
		which, key = &next.History, historyKey(known.Stream, number)
	}
	if err := s.spoil(ctx, which, h.Token, key); err != nil {
		return err
	}
	_, _, err = s.swap(ctx, next, version)
	return err
}

// spoil changes the newest value of a key.
func (s *Store) spoil(ctx context.Context, l *log, token uint64, key string) error {
	tail, err := s.tail(*l)
	if err != nil {
		return err
	}
	if flip(tail, key) {
		l.Tail = s.codec.pack(tail)
		return nil
	}
	for i, seg := range slices.Backward(l.Segments) {
		entries, _, err := s.segment(ctx, seg, nil)
		if err != nil {
			return err
		}
		entries = slices.Clone(entries)
		if flip(entries, key) {
			l.Segments[i], err = s.write(ctx, token, entries, s.codec.pack(entries))
			return err
		}
	}
	return fmt.Errorf("there is no %s", key)
}

func flip(entries []entry, key string) bool {
	i := slices.IndexFunc(entries, func(e entry) bool { return e.key == key && len(e.value) > 0 })
	if i < 0 {
		return false
	}
	entries[i].value = slices.Clone(entries[i].value)
	entries[i].value[len(entries[i].value)-2] ^= 1
	return true
}

// SetFormat makes the state one of another format. It is for tests of backends.
func SetFormat(ctx context.Context, s *Store, format int) error {
	b, version, err := s.bucket.Get(ctx, Head)
	if err != nil {
		return err
	}
	var h stored
	if err := json.Unmarshal(b, &h); err != nil {
		return err
	}
	h.Format = format
	if b, err = json.Marshal(h); err != nil {
		return err
	}
	_, err = s.bucket.Put(ctx, Head, b, version)
	return err
}
