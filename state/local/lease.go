package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
)

// held is the stored form of a lease.
type held struct {
	Holder  state.Holder `json:"holder"`
	Token   uint64       `json:"token"`             // only ever grows
	Process *process     `json:"process,omitempty"` // the holder, as far as others on its machine can look for it
}

// lease returns the present lease, nil if it is free. damaged is true if the entry cannot be read, so that its holder is unknown.
func (t tables) lease() (h *held, damaged bool) {
	b := t.Bucket(bucketMeta).Get(keyLease)
	if b == nil {
		return nil, false
	}
	h = &held{}
	if t.unseal(bucketMeta, keyLease, b, h) != nil {
		return nil, true
	}
	return h, false
}

// Lock implements state.Store. The lease of a process of this machine that has ended counts as expired.
func (s *Store) Lock(ctx context.Context, who state.Holder) (state.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.explain("locking", err)
	}
	if err := s.create(ctx); err != nil {
		return nil, err
	}
	l := &lease{store: s, lost: make(chan struct{}), stop: make(chan struct{})}
	who.ID, who.Since = uuid.NewString(), s.now().UTC()
	if who.PID == 0 {
		who.PID = os.Getpid()
	}
	l.held = held{Holder: who, Process: thisProcess()}
	err := s.transact(ctx, true, func(db *bbolt.DB) error {
		if err := s.take(ctx, db, l); err != nil {
			s.failed = l.held.Holder.ID // a disk can fail after it has done its work
			return err
		}
		s.leases++
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.until = l.held.Holder.Expires
	l.expiry = time.AfterFunc(max(0, l.until.Sub(s.now())), l.lose)
	l.beating.Go(l.beat)
	return l, nil
}

// take gives the lease to l, and upgrades the file to the newest format. The file is locked.
func (s *Store) take(ctx context.Context, db *bbolt.DB, l *lease) error {
	// Check first: a file whose lease another process holds is neither copied nor upgraded.
	err := db.View(func(tx *bbolt.Tx) error {
		t, err := open(tx, s.path)
		if err != nil {
			return err
		}
		h, damaged := t.lease()
		if !damaged && h != nil && s.now().Before(h.Holder.Expires) && !h.Process.ended() && h.Holder.ID != s.failed {
			return &state.LockedError{Holder: h.Holder}
		}
		if t.format < state.Format && !damaged {
			return s.backup(ctx, tx, t.format)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var locked *state.LockedError
	err = db.Update(func(tx *bbolt.Tx) error {
		t, err := open(tx, s.path)
		if err != nil {
			return err
		}
		if _, damaged := t.lease(); damaged {
			locked, err = t.standIn(s.now(), s.ttl)
			return err
		}
		if t.format < state.Format {
			if t, err = t.upgrade(s.now()); err != nil {
				return fmt.Errorf("changing the file to format %d: %w", state.Format, err)
			}
		}
		l.held.Token = t.token(s.nanoseconds) + 1
		l.held.Holder.Expires = s.now().Add(s.ttl).UTC()
		return errors.Join(t.put(bucketMeta, keyToken, l.held.Token), t.put(bucketMeta, keyLease, l.held))
	})
	if err == nil && locked != nil {
		return locked
	}
	return err
}

func (s *Store) nanoseconds() uint64 { return uint64(s.now().UnixNano()) } //nolint:gosec // after 1970

// standIn replaces a damaged entry by one with the same token. It expires as any other, unless the
// holder of the token renews it.
func (t tables) standIn(now time.Time, ttl time.Duration) (*state.LockedError, error) {
	h := held{Token: t.token(func() uint64 { return 0 }), Holder: state.Holder{
		ID: uuid.NewString(), Who: "somebody", What: "a damaged lock entry", Since: now.UTC(), Expires: now.Add(ttl).UTC(),
	}}
	locked := &state.LockedError{Holder: h.Holder}
	if t.format < state.Format { // an old holder could not read the entry; without one it cannot write
		return locked, t.Bucket(bucketMeta).Delete(keyLease)
	}
	return locked, t.put(bucketMeta, keyLease, h)
}

// Unlock implements state.Store. It ends a damaged entry whatever the ID.
func (s *Store) Unlock(ctx context.Context, id string) error {
	if err := ctx.Err(); err != nil {
		return s.explain("unlocking", err)
	}
	if _, err := os.Stat(s.path); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s contains no state, so there is no lock", s.path)
	}
	return s.update(ctx, func(t tables) error {
		h, damaged := t.lease()
		if !damaged && (h == nil || h.Holder.ID != id) {
			return fmt.Errorf("the lock %q does not exist", id)
		}
		return t.Bucket(bucketMeta).Delete(keyLease)
	})
}

type lease struct {
	store *Store
	held  held

	release, lostOnce sync.Once
	lost, stop        chan struct{}
	released          atomic.Bool
	beating           sync.WaitGroup
	expiry            *time.Timer // closes lost when nothing has renewed the lease in time
	mu                sync.Mutex
	until             time.Time // under mu: when the lease expires
}

func (l *lease) lose() { l.lostOnce.Do(func() { close(l.lost) }) }

// write runs a transaction in which the lease is still this one's, and renews it. While the transaction has the file
// nobody else can take the lease, so a long one does not lose it.
func (l *lease) write(ctx context.Context, fn func(tables) error) error {
	s := l.store
	var expires time.Time
	err := s.update(ctx, func(t tables) error {
		if l.released.Load() || !l.mine(t) {
			l.lose()
			return state.ErrLeaseLost
		}
		l.expiry.Stop()
		if err := fn(t); err != nil {
			return err
		}
		h := l.held
		h.Holder.Expires = s.now().Add(s.ttl).UTC()
		expires = h.Holder.Expires
		return t.put(bucketMeta, keyLease, h)
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && expires.After(l.until) {
		l.until = expires
	}
	l.expiry.Reset(max(0, l.until.Sub(s.now())))
	return err
}

// mine returns, in the writing transaction, whether the lease is still this one.
func (l *lease) mine(t tables) bool {
	select {
	case <-l.lost:
		return false
	default:
	}
	h, damaged := t.lease()
	if damaged { // nobody has taken it since: who does raises the token
		return t.token(func() uint64 { return 0 }) == l.held.Token
	}
	return h != nil && h.Token == l.held.Token && l.store.now().Before(h.Holder.Expires)
}

// Commit implements state.Lease. It also renews the lease.
func (l *lease) Commit(ctx context.Context, b state.Batch) (serial uint64, err error) {
	if err := b.Check(); err != nil {
		return 0, err
	}
	err = l.write(ctx, func(t tables) error {
		serial, err = t.write(b)
		return err
	})
	if err != nil {
		return 0, err
	}
	return serial, nil
}

// Replace implements state.Lease.
func (l *lease) Replace(ctx context.Context, a *state.Archive) error {
	if err := a.Check(); err != nil {
		return err
	}
	return l.write(ctx, func(t tables) error { return t.replace(a) })
}

// beat renews the lease three times in its duration. A failed renewal is repeated until the lease has expired.
func (l *lease) beat() {
	tick := time.NewTicker(l.store.ttl / 3)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-l.lost:
			return
		case <-tick.C:
			_ = l.write(context.Background(), func(tables) error { return nil })
		}
	}
}

// Lost implements state.Lease.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Until implements state.Lease.
func (l *lease) Until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until.Round(0)
}

// Release implements state.Lease. With an ended context it still tries for a second, because leases are often
// released after an interrupt.
func (l *lease) Release(ctx context.Context) (err error) {
	l.release.Do(func() {
		close(l.stop)
		l.beating.Wait() // a beat that comes later would be one too many
		l.expiry.Stop()
		ctx, cancel := lasting(ctx)
		defer cancel()
		err = l.store.update(ctx, func(t tables) error {
			if !l.mine(t) {
				return nil // somebody else's by now
			}
			return t.Bucket(bucketMeta).Delete(keyLease)
		})
		l.released.Store(true)
		l.store.letGo()
	})
	return err
}

func lasting(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), time.Second)
}
