// Package objects keeps a stack's state in a set of small objects of which one, the head, is changed by
// compare-and-swap. It is what the remote backends share; each of them is a Bucket.
//
// The head holds everything that must change together: lineage, serial, the lease with its fencing
// token, what was committed lately, and the names of the objects that hold the rest. Those are written
// once, under names that are never used again, and removed when no head names them any more. So a
// commit is one swap of the head, whatever it touches; who lost the lease cannot swap; and a reader
// that meets a missing object reads the head again.
package objects

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/davit-sh/davit/state"
)

// Bucket is a flat set of named objects. All methods may be called concurrently. Each sends one request and
// returns its result; this package waits and retries. A bucket marks an error that a retry cannot repair
// with Permanent.
type Bucket interface {
	// Get returns an object and its version, or ErrNotFound.
	Get(ctx context.Context, name string) (data []byte, version string, err error)
	// Put writes an object if it still has that version, or, for an empty version, if it does not exist;
	// else it returns ErrConflict. Only Head is written more than once.
	Put(ctx context.Context, name string, data []byte, version string) (newVersion string, err error)
	// Delete removes an object. A missing object is not an error.
	Delete(ctx context.Context, name string) error
	// List names all objects but perhaps Head.
	List(ctx context.Context) ([]string, error)
	// String says where the bucket is, for people.
	String() string
}

// Announcer is a Bucket that shows the holder of the lease to people. Nothing depends on it.
type Announcer interface {
	// Announce shows the holder; nil: the lease is free.
	Announce(ctx context.Context, holder *state.Holder)
}

// Head is the name of the object that is swapped.
const Head = "head"

// The errors of a Bucket.
var (
	ErrNotFound = errors.New("the object does not exist")
	ErrConflict = errors.New("the object has another version")
)

// Permanent marks an error that a retry cannot repair.
func Permanent(err error) error { return backoff.Permanent(err) }

// Refused marks an error of a server that did nothing, because it is overloaded or not listening: the request may be retried.
func Refused(err error) error { return &refusedError{err} }

type refusedError struct{ err error }

func (e *refusedError) Error() string { return e.err.Error() }
func (e *refusedError) Unwrap() error { return e.err }

// mayHaveWritten returns whether a request with this error may have been carried out.
func mayHaveWritten(err error) bool {
	return err != nil && !errors.As(err, new(*refusedError)) && !errors.As(err, new(*backoff.PermanentError))
}

// Error is a failure to read or write the state.
type Error struct {
	Doing, Where string
	Err          error
}

func (e *Error) Error() string { return fmt.Sprintf("%s the state in %s: %v", e.Doing, e.Where, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// UnknownError reports a write whose answer was lost: it may have been written or not. The next run reads the result.
type UnknownError struct{ Err error }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("it is not known whether this was written: %v; the next run continues from what was written", e.Err)
}

// Unwrap returns the cause.
func (e *UnknownError) Unwrap() error { return e.Err }

// Options are the sizes and times of a store. Zero values are replaced by those in the comments.
type Options struct {
	Part     int              // bytes that an object may have: 1 MiB
	Tail     int              // bytes of recent changes that the head itself holds: 24 KiB
	TTL      time.Duration    // how long a lease lasts without a heartbeat: 30 s
	Request  time.Duration    // how long one request may take, and a second more for each 64 KiB: a quarter of TTL
	Patience time.Duration    // how long requests are repeated when there is no lease to bound it: 30 s
	Pause    time.Duration    // before a request is repeated the first time; then ever longer: 100 ms
	Verify   bool             // before a state is begun, see that the server honours the versions in Put
	Now      func() time.Time // the clock by which leases expire, best that of the server: time.Now
}

func (o Options) orDefault() Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&o.TTL, 30*time.Second)
	set(&o.Request, o.TTL/4)
	set(&o.Patience, 30*time.Second)
	set(&o.Pause, 100*time.Millisecond)
	if o.Part == 0 {
		o.Part = 1 << 20
	}
	if o.Tail == 0 {
		o.Tail = 24 << 10
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// retry repeats a request until it succeeds or its error is permanent. size is the number of bytes that an
// attempt transfers. When the time is over, retry returns the last error of the bucket, not that of the context.
func (s *Store) retry(ctx context.Context, size int, attempt func(context.Context) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = s.options.Pause, 30*s.options.Pause
	limit := s.options.Request + time.Duration(size>>16)*time.Second
	var last error
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		within, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		err := attempt(within)
		if errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
			err = Permanent(err)
		}
		if err != nil && ctx.Err() == nil {
			if within.Err() != nil {
				err = fmt.Errorf("there was no answer within %s: %w", limit, err)
			}
			last = err
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(s.options.Patience))
	if err != nil && ctx.Err() != nil && last != nil {
		return fmt.Errorf("%w (%w)", last, context.Cause(ctx))
	}
	return err
}
