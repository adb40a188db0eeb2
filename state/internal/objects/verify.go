package objects

import (
	"context"
	"errors"
)

// errUnconditional reports that the server ignores the conditions of writes, so it cannot store a state.
var errUnconditional = errors.New("this server writes although the condition of a write does not hold (If-None-Match and If-Match), " +
	"so two processes could overwrite each other's state: use another server, or another backend")

// verify checks with a test object that the server honours versions. A refused write is sufficient proof, even if the write
// should have succeeded: then its first answer was lost, and it was repeated.
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
