package local

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"

	"github.com/davit-sh/davit/state"
)

// held is the lease as the file has it.
type held struct {
	Holder state.Holder `json:"holder"`
	Token  uint64       `json:"token"` // only ever grows
}

func heldLease(tx *bbolt.Tx) (*held, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil {
		return nil, nil
	}
	b := meta.Get(keyLease)
	if b == nil {
		return nil, nil
	}
	var h held
	if err := unseal(b, &h); err != nil {
		return nil, err
	}
	return &h, nil
}

// Lock implements state.Store. The lease of a process of this machine that has ended counts as expired.
func (s *Store) Lock(_ context.Context, who state.Holder) (state.Lease, error) {
	if err := s.create(); err != nil {
		return nil, err
	}
	l := &lease{store: s, lost: make(chan struct{}), stop: make(chan struct{})}
	who.ID, who.Since, who.Expires = uuid.NewString(), s.now().UTC(), s.now().Add(s.ttl).UTC()
	if who.PID == 0 {
		who.PID = os.Getpid()
	}
	err := s.update(func(tx *bbolt.Tx) error {
		if err := begin(tx, s.path); err != nil {
			return err
		}
		h, err := heldLease(tx)
		if err != nil {
			return err
		}
		if h != nil && s.now().Before(h.Holder.Expires) && !ended(h.Holder) {
			return &state.LockedError{Holder: h.Holder}
		}
		meta := tx.Bucket(bucketMeta)
		l.held = held{Holder: who, Token: number(meta.Get(keyToken)) + 1}
		return errors.Join(putNumber(meta, keyToken, l.held.Token), putLease(tx, l.held))
	})
	if err != nil {
		return nil, err
	}
	l.beating.Go(l.beat)
	return l, nil
}

func putLease(tx *bbolt.Tx, h held) error {
	b, err := seal(h)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketMeta).Put(keyLease, b)
}

// ended tells whether the holder was a process of this machine that is not there any more.
func ended(h state.Holder) bool {
	_, where, _ := strings.Cut(h.Who, "@")
	host, err := os.Hostname()
	if err != nil || where != host || h.PID <= 0 {
		return false
	}
	return errors.Is(syscall.Kill(h.PID, 0), syscall.ESRCH)
}

type lease struct {
	store *Store
	held  held

	once, lostOnce sync.Once
	lost, stop     chan struct{}
	beating        sync.WaitGroup
}

// mine checks, in the transaction that would write, that the lease is still this one's.
func (l *lease) mine(tx *bbolt.Tx) error {
	h, err := heldLease(tx)
	if err != nil {
		return err
	}
	if h == nil || h.Token != l.held.Token || !l.store.now().Before(h.Holder.Expires) {
		l.lostOnce.Do(func() { close(l.lost) })
		return state.ErrLeaseLost
	}
	return nil
}

func (l *lease) renew(tx *bbolt.Tx) error {
	h := l.held
	h.Holder.Expires = l.store.now().Add(l.store.ttl).UTC()
	return putLease(tx, h)
}

// Commit implements state.Lease. It also renews the lease.
func (l *lease) Commit(_ context.Context, b state.Batch) (serial uint64, err error) {
	err = l.store.update(func(tx *bbolt.Tx) error {
		if err := l.mine(tx); err != nil {
			return err
		}
		if err := l.renew(tx); err != nil {
			return err
		}
		serial, err = write(tx, b)
		return err
	})
	return serial, err
}

// Replace implements state.Lease.
func (l *lease) Replace(_ context.Context, a *state.Archive) error {
	return l.store.update(func(tx *bbolt.Tx) error {
		if err := l.mine(tx); err != nil {
			return err
		}
		return replace(tx, a)
	})
}

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
			// A beat that fails for another reason is tried again: the lease lasts three of them.
			_ = l.store.update(func(tx *bbolt.Tx) error {
				if err := l.mine(tx); err != nil {
					return err
				}
				return l.renew(tx)
			})
		}
	}
}

// Lost implements state.Lease.
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Release implements state.Lease.
func (l *lease) Release(context.Context) (err error) {
	l.once.Do(func() {
		close(l.stop)
		l.beating.Wait() // a beat that comes later would be one too many
		err = l.store.update(func(tx *bbolt.Tx) error {
			if l.mine(tx) != nil {
				return nil // somebody else's by now
			}
			return tx.Bucket(bucketMeta).Delete(keyLease)
		})
	})
	return err
}
