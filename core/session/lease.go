package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/davit-sh/davit/state"
)

// Lock takes the lease on the state. It waits for at most a time, and calls waiting now and then meanwhile.
func (s *Session) Lock(ctx context.Context, who state.Holder, wait time.Duration, waiting func(left time.Duration, why error)) (state.Lease, error) {
	deadline := time.Now().Add(wait)
	var told time.Time
	for {
		lease, err := s.Store.Lock(ctx, who)
		var locked *state.LockedError
		if err == nil || !errors.As(err, &locked) && !errors.Is(err, state.ErrBusy) {
			s.rememberBackend()
			return lease, err
		}
		if locked == nil && !time.Now().Before(deadline) {
			return nil, err
		}
		if !time.Now().Before(deadline) {
			return nil, fmt.Errorf("%w.\nWait for it with -lock-timeout=5m, or, if that process is gone for good, run davit force-unlock %s", err, locked.Holder.ID)
		}
		if time.Since(told) >= tellEvery {
			waiting(time.Until(deadline), err)
			told = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// rememberBackend notes where the state is, so that it is not left behind unnoticed when the stack says something
// else. A stack that may only be read is used all the same.
func (s *Session) rememberBackend() {
	if s.Stack == nil {
		return
	}
	if b, diags := BackendOf(s.Stack); !diags.HasErrors() {
		_ = b.Remember(s.Stack.Dir)
	}
}

// tellEvery is how often somebody who waits for the lock hears how long it may still take.
const tellEvery = 10 * time.Second
