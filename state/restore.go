package state

import (
	"context"
	"fmt"
	"time"
)

// ActionRestore is the action of the revision that Restore adds to the history.
const ActionRestore = "restore"

// Restore writes a damaged or removed record again, from one of the revisions of its address. n is the number of the
// revision, or 0 for the newest one. Real objects are not changed: the next plan shows how they differ. A readable
// record is overwritten only if n is not 0. Restore adds a revision by who to the history, and returns it.
func Restore(ctx context.Context, store Store, lease Lease, address string, n uint64, who string) (Revision, error) {
	snapshot, err := store.Load(ctx)
	if err != nil {
		return Revision{}, err
	}
	list, err := store.History(ctx, address)
	if err != nil {
		return Revision{}, err
	}
	if _, there := snapshot.Records[address]; there && n == 0 {
		return Revision{}, fmt.Errorf("the record of %s is not damaged: nothing to restore. To restore an earlier revision, use -to", address)
	}
	from, err := pick(list, address, n)
	if err != nil {
		return Revision{}, err
	}
	now := time.Now().UTC()
	r := Revision{
		Action: ActionRestore, Who: who, At: now, Record: from.Record, From: from.From, Items: from.Items, Arguments: from.Arguments, Inputs: from.Inputs,
		Reasons: []string{fmt.Sprintf("it was restored from revision %d", from.Number)},
	}
	r.Record.Address, r.Record.Updated = address, now
	if _, err := lease.Commit(ctx, Batch{Put: []Record{r.Record}, History: []Revision{r}}); err != nil {
		return Revision{}, err
	}
	if list, err = store.History(ctx, address); err != nil || len(list) == 0 {
		return r, err
	}
	return list[0], nil
}

// pick returns the revision from which a record is restored.
func pick(list []Revision, address string, n uint64) (Revision, error) {
	if len(list) == 0 {
		return Revision{}, fmt.Errorf("%s has no history to restore it from: import it again, or remove the record and let the next plan look", address)
	}
	if n == 0 {
		if list[0].Action == "delete" {
			return Revision{}, fmt.Errorf("%s was deleted by revision %d. To restore its record anyway, name a revision with -to", address, list[0].Number)
		}
		return list[0], nil
	}
	for _, r := range list {
		if r.Number == n {
			return r, nil
		}
	}
	return Revision{}, fmt.Errorf("%s has no revision %d: the first is %d, the last %d", address, n, list[len(list)-1].Number, list[0].Number)
}
