package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

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

// Open returns the state in the bucket. It sends no request.
func Open(b Bucket, o Options) (*Store, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	return &Store{bucket: b, options: o.orDefault(), codec: c, read: map[string][]entry{}}, nil
}

// Close implements state.Store.
func (s *Store) Close() error { return nil }

// failed adds the action and the bucket to an error. Errors of package state are returned unchanged.
func (s *Store) failed(doing string, err error) error {
	var locked *state.LockedError
	var format *state.FormatError
	var own *Error
	if err == nil || errors.As(err, &locked) || errors.As(err, &format) || errors.As(err, &own) || errors.Is(err, state.ErrLeaseLost) {
		return err
	}
	return &Error{Doing: doing, Where: s.bucket.String(), Err: err}
}

// getHead reads the head with one request. It returns nil if there is none.
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

// movedError reports that another process has written the head.
type movedError struct {
	head    *head // nil: none
	version string
}

func (*movedError) Error() string { return "another process wrote in the meantime" }

// swap replaces the head of that version, and renews the lease of its holder. It recognises its own
// head: a write whose answer was lost is neither taken for that of another process nor
// repeated. renewed is the latest possible time of the renewal.
func (s *Store) swap(ctx context.Context, h *head, version string) (written string, renewed time.Time, err error) {
	if ctx.Err() != nil {
		return "", renewed, context.Cause(ctx)
	}
	h.Write = newID()
	sent := false    // something may have been written of which there was no answer
	another := false // the head has another version: perhaps that which this wrote
	first := time.Now()
	size := len(h.State.Tail) + len(h.History.Tail)
	err = s.retry(ctx, size, func(ctx context.Context) error {
		renewed = time.Now()
		if !another {
			b, err := s.renewed(h)
			if err != nil {
				return Permanent(err)
			}
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
			h.Holder, written, renewed = now.Holder, at, first
			return nil
		}
		return Permanent(&movedError{now, at})
	})
	var moved *movedError
	if err != nil && sent && !errors.As(err, &moved) {
		err = &UnknownError{err}
	}
	return written, renewed, err
}

// look reads the head once to decide whether an earlier write, whose answer was lost, took effect. If that remains unknown, it
// returns the error of the write.
func (s *Store) look(ctx context.Context, h *head, unknown error) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Request)
	defer cancel()
	now, at, err := s.getHead(ctx)
	switch {
	case err != nil:
		return "", unknown
	case now != nil && now.Write == h.Write:
		return at, nil
	case now != nil && now.Token == h.Token && now.Serial < h.Serial:
		return "", unknown // it may still be on its way
	}
	return "", &movedError{now, at}
}

// renewed returns a copy of the head with the lease renewed.
func (s *Store) renewed(h *head) ([]byte, error) {
	if h.Holder != nil {
		h.Holder.Expires = s.options.Now().Add(s.options.TTL).UTC()
	}
	return encodeHead(h)
}

// consistently calls fn with the head, and again with a newer head if an object was removed in between. Missing objects of the
// newest head are passed to fn as lost.
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
		var damaged []string
		a.History, damaged = chronicle(all, written, "")
		a.Damaged = append(a.Damaged, damaged...)
		return nil
	})
	if err != nil {
		return nil, s.failed("reading", err)
	}
	return a, nil
}

// everything returns the state and its history.
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

// revisions lists the entries of an instance's history: those of a stream with these
// numbers, oldest first. A move of the instance moves the stream.
type revisions struct {
	Stream  string   `json:"stream"`
	Numbers []uint64 `json:"numbers"`
}

func historyKey(stream string, number uint64) string { return fmt.Sprintf("h/%s/%d", stream, number) }

// History implements state.Store.
func (s *Store) History(ctx context.Context, address string) (list []state.Revision, err error) {
	err = s.consistently(ctx, func(h *head, lost map[string]bool) error {
		list = nil
		all, written, err := s.everything(ctx, h, lost)
		list, _ = chronicle(all, written, address)
		return err
	})
	if err != nil {
		return nil, s.failed("reading", err)
	}
	return list, nil
}

// chronicle returns the history of one instance, or of all, newest first, and the names of damaged revisions.
func chronicle(all, written contents, address string) (list []state.Revision, damaged []string) {
	for key, value := range all {
		of, ok := strings.CutPrefix(key, keyRevisions)
		var known revisions
		if !ok || address != "" && of != address || (entry{key, value}).unseal(&known) != nil {
			continue
		}
		for _, n := range known.Numbers {
			key := historyKey(known.Stream, n)
			var r state.Revision
			if (entry{key, written[key]}).unseal(&r) != nil {
				damaged = append(damaged, fmt.Sprintf("revision %d of %s", n, of))
				continue
			}
			r.Record.Address = of
			list = append(list, r)
		}
	}
	slices.Sort(damaged)
	return state.SortHistory(list), damaged
}

// Unlock implements state.Store.
func (s *Store) Unlock(ctx context.Context, id string) error {
	for try := 0; ; try++ {
		h, version, err := s.head(ctx)
		if err == nil && try == contention {
			err = errContention
		}
		if err != nil {
			return s.failed("unlocking", err)
		}
		if h == nil || h.Holder == nil || h.Holder.ID != id {
			return fmt.Errorf("the lock %q does not exist", id)
		}
		next := h.clone()
		next.Holder = nil
		_, _, err = s.swap(ctx, next, version)
		if _, moved := errors.AsType[*movedError](err); moved {
			continue // it was only a heartbeat, perhaps
		}
		if a, ok := s.bucket.(Announcer); ok && err == nil {
			a.Announce(ctx, nil)
		}
		return s.failed("unlocking", err)
	}
}
