package objects

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/davit-sh/davit/state"
)

// Store is a state in a bucket.
type Store struct {
	bucket  Bucket
	options Options
	codec   *codec
	mu      sync.Mutex
	read    map[string][]entry // segments of the state by their first object; objects never change
}

// Open returns the state in the bucket. It asks nothing of it yet.
func Open(b Bucket, o Options) (*Store, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &Store{bucket: b, options: o.orDefault(), codec: c, read: map[string][]entry{}}, nil
}

// Close implements state.Store.
func (s *Store) Close() error { return nil }

// failed says what went wrong where. What state's own errors say is enough.
func (s *Store) failed(doing string, err error) error {
	var locked *state.LockedError
	var format *state.FormatError
	var own *Error
	if err == nil || errors.As(err, &locked) || errors.As(err, &format) || errors.As(err, &own) || errors.Is(err, state.ErrLeaseLost) {
		return err
	}
	return &Error{Doing: doing, Where: s.bucket.String(), Err: err}
}

// getHead asks once. A head that is not there is nil.
func (s *Store) getHead(ctx context.Context) (*head, string, error) {
	b, version, err := s.bucket.Get(ctx, Head)
	if errors.Is(err, ErrNotFound) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	h, err := decodeHead(b, s.bucket.String())
	if err != nil {
		return nil, "", Permanent(err)
	}
	return h, version, nil
}

func (s *Store) head(ctx context.Context) (h *head, version string, err error) {
	err = s.retry(ctx, 0, func(ctx context.Context) (err error) {
		h, version, err = s.getHead(ctx)
		return err
	})
	return h, version, err
}

// movedError says that another head is there.
type movedError struct {
	head    *head // nil: none
	version string
}

func (*movedError) Error() string { return "another process has written in the meantime" }

// swap writes a head in place of the one of that version. It knows its own writing again: one whose
// answer was lost is not taken for another's, and not repeated.
func (s *Store) swap(ctx context.Context, h *head, version string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", context.Cause(ctx)
	}
	h.Write = newID()
	b, err := encodeHead(h)
	if err != nil {
		return "", err
	}
	var written string
	sent := false    // something may have been written of which there was no answer
	another := false // the head has another version: perhaps that which this wrote
	err = s.retry(ctx, len(b), func(ctx context.Context) (err error) {
		if !another {
			written, err = s.bucket.Put(ctx, Head, b, version)
			if another = errors.Is(err, ErrConflict); !another {
				sent = sent || mayHaveWritten(err)
				return err
			}
		}
		now, at, err := s.getHead(ctx)
		if err != nil {
			return err
		}
		if now != nil && now.Write == h.Write {
			written = at
			return nil
		}
		return Permanent(&movedError{now, at})
	})
	var moved *movedError
	if err != nil && sent && !errors.As(err, &moved) {
		err = &UnknownError{err}
	}
	return written, err
}

// consistently calls fn with the head, and again with a newer one when an object was removed under it. Objects that
// the newest head names and that are not there are told to fn as lost.
func (s *Store) consistently(ctx context.Context, fn func(h *head, lost map[string]bool) error) error {
	lost := map[string]bool{}
	for {
		h, _, err := s.head(ctx)
		if err != nil {
			return err
		}
		if h == nil {
			return nil
		}
		named := append(h.State.names(), h.History.names()...)
		err = fn(h, lost)
		var gone *goneError
		if !errors.As(err, &gone) {
			return err
		}
		again, _, err := s.head(ctx)
		if err != nil {
			return err
		}
		if again != nil && slices.Contains(named, gone.name) && slices.Contains(append(again.State.names(), again.History.names()...), gone.name) {
			lost[gone.name] = true
		}
	}
}

// Load implements state.Store.
func (s *Store) Load(ctx context.Context) (*state.Snapshot, error) {
	snapshot := empty()
	err := s.consistently(ctx, func(h *head, lost map[string]bool) error {
		all, err := s.contents(ctx, h, lost)
		if err != nil {
			return err
		}
		snapshot = h.snapshot(all)
		return nil
	})
	if err != nil {
		return nil, s.failed("reading", err)
	}
	return snapshot, nil
}

// Archive implements state.Store.
func (s *Store) Archive(ctx context.Context) (*state.Archive, error) {
	a := &state.Archive{Snapshot: *empty()}
	err := s.consistently(ctx, func(h *head, lost map[string]bool) error {
		all, written, err := s.everything(ctx, h, lost)
		if err != nil {
			return err
		}
		a = &state.Archive{Snapshot: *h.snapshot(all)}
		a.History = chronicle(all, written, "")
		return nil
	})
	if err != nil {
		return nil, s.failed("reading", err)
	}
	return a, nil
}

// everything is the state and its history.
func (s *Store) everything(ctx context.Context, h *head, lost map[string]bool) (all, written contents, err error) {
	if all, err = s.contents(ctx, h, lost); err != nil {
		return nil, nil, err
	}
	written, err = s.history(ctx, h, lost)
	return all, written, err
}

func empty() *state.Snapshot {
	return &state.Snapshot{Format: state.Format, Records: map[string]state.Record{}, Operations: map[string]state.Operation{}}
}

func (h *head) snapshot(all contents) *state.Snapshot {
	snapshot := empty()
	if h.Serial > 0 {
		snapshot.Lineage, snapshot.Serial = h.Lineage, h.Serial
	}
	fill(snapshot, all)
	return snapshot
}

// The first letters of the keys say what the value is.
const (
	keyRecord    = "r/" // by address
	keyOperation = "o/" // by id
	keyOutput    = "t/" // by name
	keyRevisions = "n/" // by address: where its history is
)

func fill(s *state.Snapshot, all contents) {
	for key, value := range all {
		kind, name := key[:2], key[2:]
		e := entry{key, value}
		switch kind {
		case keyRecord:
			var r state.Record
			if e.unseal(&r) != nil {
				s.Damaged = append(s.Damaged, name)
				continue
			}
			s.Records[name] = r
		case keyOperation:
			var o state.Operation
			if e.unseal(&o) != nil {
				s.Damaged = append(s.Damaged, "operation "+name)
				continue
			}
			s.Operations[name] = o
		case keyOutput:
			var o json.RawMessage
			if e.unseal(&o) != nil {
				s.Damaged = append(s.Damaged, "output "+name)
				continue
			}
			if s.Outputs == nil {
				s.Outputs = map[string]json.RawMessage{}
			}
			s.Outputs[name] = o
		}
	}
	slices.Sort(s.Damaged)
}

// revisions says which of the entries of the history are an instance's: those of a stream from the
// first number to the last. A move of the instance takes the stream along.
type revisions struct {
	Stream      string
	First, Last uint64
}

func historyKey(stream string, number uint64) string { return fmt.Sprintf("%s/%d", stream, number) }

// History implements state.Store.
func (s *Store) History(ctx context.Context, address string) (list []state.Revision, err error) {
	err = s.consistently(ctx, func(h *head, lost map[string]bool) error {
		list = nil
		all, written, err := s.everything(ctx, h, lost)
		list = chronicle(all, written, address)
		return err
	})
	if err != nil {
		return nil, s.failed("reading", err)
	}
	return list, nil
}

// chronicle is the history of an instance, or of all, newest first. A revision that is damaged is left out: the
// others still tell their part.
func chronicle(all, written contents, address string) []state.Revision {
	var list []state.Revision
	for key, value := range all {
		of, ok := strings.CutPrefix(key, keyRevisions)
		var known revisions
		if !ok || address != "" && of != address || (entry{key, value}).unseal(&known) != nil {
			continue
		}
		for n := known.First; n <= known.Last; n++ {
			key := historyKey(known.Stream, n)
			var r state.Revision
			if (entry{key, written[key]}).unseal(&r) != nil {
				continue
			}
			r.Record.Address = of
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b state.Revision) int {
		return cmp.Or(cmp.Compare(a.Record.Address, b.Record.Address), cmp.Compare(b.Number, a.Number))
	})
	return list
}

// Unlock implements state.Store.
func (s *Store) Unlock(ctx context.Context, id string) error {
	for {
		h, version, err := s.head(ctx)
		if err != nil {
			return s.failed("unlocking", err)
		}
		if h == nil || h.Holder == nil || h.Holder.ID != id {
			return fmt.Errorf("there is no lock %q", id)
		}
		next := h.clone()
		next.Holder = nil
		_, err = s.swap(ctx, next, version)
		var moved *movedError
		if errors.As(err, &moved) {
			continue // it was only a heartbeat, perhaps
		}
		if a, ok := s.bucket.(Announcer); ok && err == nil {
			a.Announce(ctx, nil)
		}
		return s.failed("unlocking", err)
	}
}
