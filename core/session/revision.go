package session

import (
	"context"
	"fmt"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/plan"
)

// EarlierRevision finds the revision that a rollback of an instance goes to: the one with that number or, for 0, the one before the newest.
func (s *Session) EarlierRevision(ctx context.Context, address string, to uint64) (uint64, error) {
	if _, err := addr.Parse(address); err != nil {
		return 0, err
	}
	list, err := s.Store.History(ctx, address)
	if err != nil {
		return 0, err
	}
	if len(list) == 0 {
		return 0, fmt.Errorf("the state has no revisions of %s", address)
	}
	skipped := false
	for _, r := range list { // newest first
		switch {
		case r.Action == string(plan.Delete) || len(r.Record.Config) == 0:
			continue
		case to == r.Number, to == 0 && skipped:
			return r.Number, nil
		}
		skipped = true
	}
	if to == 0 {
		return 0, fmt.Errorf("%s has only one revision: there is no earlier one", address)
	}
	return 0, fmt.Errorf("%s has no revision %d to return to: see davit history %s", address, to, address)
}
