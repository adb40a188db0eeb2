package objects

import (
	"context"
	"errors"
)

// errUnconditional says that the server cannot be trusted with a state.
var errUnconditional = errors.New("this server writes although the condition of a write does not hold (If-None-Match and If-Match), " +
	"so two processes could overwrite each other's state: use another server, or another backend")

// verify sees that the server honours versions, on an object of its own. A write that is refused is proof
// enough, even one that should have been done: then its answer was lost and it was done before.
func (s *Store) verify(ctx context.Context) error {
	name := "probe-" + newID()
	defer func() { _ = s.bucket.Delete(context.WithoutCancel(ctx), name) }()
	put := func(data, version string) (written string, refused bool, err error) {
		err = s.retry(ctx, len(data), func(ctx context.Context) (err error) {
			written, err = s.bucket.Put(ctx, name, []byte(data), version)
			return err
		})
		if errors.Is(err, ErrConflict) {
			return "", true, nil
		}
		return written, false, err
	}
	first, refused, err := put("first", "")
	if err != nil {
		return err
	}
	if !refused {
		if _, refused, err = put("second", first); err != nil {
			return err
		}
	}
	if !refused {
		if _, refused, err = put("third", first); err == nil && !refused {
			err = errUnconditional
		}
		if err != nil {
			return err
		}
	}
	if _, refused, err = put("fourth", ""); err == nil && !refused {
		err = errUnconditional
	}
	return err
}
