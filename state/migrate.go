package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Migration is the result of Migrate.
type Migration struct {
	Lineage string `json:"lineage"`
	Serial  uint64 `json:"serial"`
	// Records, Operations, Outputs and Revisions are the numbers of copied and compared entries.
	Records    int `json:"records"`
	Operations int `json:"operations"`
	Outputs    int `json:"outputs"`
	Revisions  int `json:"revisions"`
	// Already is true if the target already contained the same state, after an earlier migration.
	Already bool `json:"already,omitempty"`
	// LeftBehind are damaged revisions, which cannot be copied.
	LeftBehind []string `json:"left_behind,omitempty"`
}

// Migrate copies a whole state into another store: records, open operations, outputs and history, with
// lineage and serial. It holds the leases of both, writes in one step, reads back and compares item by item.
// The source is not changed. If Migrate is interrupted, the target is either unchanged or complete, and Migrate can be
// called again.
//
// It refuses a source with damaged records, and a target with the state of another stack, or with a later
// or different state of the same stack. An empty source copies nothing.
func Migrate(ctx context.Context, from, to Store, who Holder) (_ Migration, err error) {
	release := func(l Lease) { err = errors.Join(err, l.Release(context.WithoutCancel(ctx))) }
	source, err := from.Lock(ctx, who)
	if err != nil {
		return Migration{}, fmt.Errorf("the state to migrate from: %w", err)
	}
	defer release(source)
	target, err := to.Lock(ctx, who)
	if err != nil {
		return Migration{}, fmt.Errorf("the state to migrate to: %w", err)
	}
	defer release(target)
	have, err := from.Archive(ctx)
	if err != nil {
		return Migration{}, fmt.Errorf("the state to migrate from: %w", err)
	}
	there, err := to.Archive(ctx)
	if err != nil {
		return Migration{}, fmt.Errorf("the state to migrate to: %w", err)
	}
	m := Migration{Lineage: have.Lineage, Serial: have.Serial}
	if have.Serial == 0 {
		return m, nil
	}
	if m.LeftBehind, err = migratable(have, there); err != nil {
		return m, err
	}
	clean := *have
	clean.Damaged, clean.History = nil, SortHistory(have.History)
	if there.Serial == have.Serial && len(there.Damaged) == 0 {
		if err := m.compare(&clean, there); err != nil {
			return m, fmt.Errorf("the target contains another state of this stack with the same serial: %w; both were changed separately: empty the one that you do not want to keep", err)
		}
		m.Already = true
		return m, nil
	}
	if lost(source) {
		return m, fmt.Errorf("the state to migrate from: %w", ErrLeaseLost)
	}
	if err := target.Replace(ctx, &clean); err != nil {
		return m, fmt.Errorf("the state to migrate to: %w", err)
	}
	if there, err = to.Archive(ctx); err != nil {
		return m, fmt.Errorf("reading the migrated state back: %w", err)
	}
	if err := m.compare(&clean, there); err != nil {
		return m, fmt.Errorf("the migrated state differs from the state that was written: %w; keep the old one", err)
	}
	if lost(source) {
		return m, fmt.Errorf("the state to migrate from may have changed during the migration: %w; migrate again", ErrLeaseLost)
	}
	return m, nil
}

func lost(l Lease) bool {
	select {
	case <-l.Lost():
		return true
	default:
		return false
	}
}

// migratable returns an error if the source must not be copied, or the target not be overwritten. Damaged revisions are allowed: they are named.
func migratable(have, there *Archive) (leftBehind []string, err error) {
	revisions := 0
	for _, d := range have.Damaged {
		if isRevision(d) {
			revisions++
			leftBehind = append(leftBehind, d)
		}
	}
	switch {
	case len(have.Damaged) > revisions:
		return nil, fmt.Errorf("damaged in the state to migrate from: %q; restore or remove them first", have.Damaged)
	case there.Serial == 0:
		return leftBehind, nil
	case there.Lineage != have.Lineage:
		return nil, fmt.Errorf("the target contains the state of another stack (lineage %s, serial %d, %d records; expected lineage %s): name another target, or empty this one first",
			there.Lineage, there.Serial, len(there.Records), have.Lineage)
	case there.Serial > have.Serial:
		return nil, fmt.Errorf("the target contains a later state of this stack (serial %d; the state to migrate has serial %d): the target is already in use", there.Serial, have.Serial)
	}
	return leftBehind, nil
}

func isRevision(damaged string) bool {
	return strings.HasPrefix(damaged, "revision ") || damaged == "table history"
}

// compare returns the numbers of entries, and an error that names the first difference of the two archives.
func (m *Migration) compare(want, got *Archive) error {
	switch {
	case want.Lineage != got.Lineage || want.Serial != got.Serial:
		return fmt.Errorf("lineage %s and serial %d became %s and %d", want.Lineage, want.Serial, got.Lineage, got.Serial)
	case len(got.Damaged) > 0:
		return fmt.Errorf("%q are damaged", got.Damaged)
	}
	var err error
	if m.Records, err = same("record", want.Records, got.Records); err != nil {
		return err
	}
	if m.Operations, err = same("operation", want.Operations, got.Operations); err != nil {
		return err
	}
	if m.Outputs, err = same("output", want.Outputs, got.Outputs); err != nil {
		return err
	}
	m.Revisions, err = same("revision", byName(want.History), byName(got.History))
	return err
}

func byName(list []Revision) map[string]Revision {
	out := make(map[string]Revision, len(list))
	for _, r := range list {
		out[fmt.Sprintf("%d of %s", r.Number, r.Record.Address)] = r
	}
	return out
}

// same compares two tables by the JSON of their items, and returns how many there are.
func same[T any](kind string, want, got map[string]T) (int, error) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		g, there := got[name]
		if !there {
			return 0, fmt.Errorf("the %s %s is missing", kind, name)
		}
		a, err1 := json.Marshal(want[name])
		b, err2 := json.Marshal(g)
		if err := errors.Join(err1, err2); err != nil {
			return 0, fmt.Errorf("the %s %s: %w", kind, name, err)
		}
		if !bytes.Equal(a, b) {
			return 0, fmt.Errorf("the %s %s differs", kind, name)
		}
	}
	for name := range got {
		if _, there := want[name]; !there {
			return 0, fmt.Errorf("the %s %s was not written", kind, name)
		}
	}
	return len(want), nil
}
