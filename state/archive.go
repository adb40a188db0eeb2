package state

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Archive is a whole state with its history: the output of `davit state pull`, and the unit that moves between backends.
type Archive struct {
	// FormatVersion is the format once more, under the name that it has in all JSON of davit. Zero but in what davit state pull prints.
	FormatVersion int `json:"format_version,omitempty"`
	Snapshot
	// History is sorted by address, then newest first.
	History []Revision `json:"history,omitempty"`
}

// ReadArchive reads the output of `davit state pull`, in this format or an older one. It refuses a
// newer format (with a *FormatError), unknown fields, text after the end, and every archive that Check refuses.
// where is the name of the file, for errors.
func ReadArchive(where string, text []byte) (*Archive, error) {
	var head struct {
		Format int `json:"format"`
	}
	// The format is looked at first: a newer one may have fields that are not known here. This also
	// refuses text after the end, which a decoder would leave unread.
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, fmt.Errorf("%s is not a state file, or is damaged: %w", where, err)
	}
	if head.Format > Format {
		return nil, &FormatError{Where: where, Got: head.Format, Know: Format}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var a Archive
	if err := d.Decode(&a); err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", where, err)
	}
	if a.Format < 1 {
		return nil, fmt.Errorf("%s is not a state file: it has no format", where)
	}
	if err := a.Check(); err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w", where, err)
	}
	a.Format = Format // the archives of formats 1 and 2 differ in nothing else
	return &a, nil
}

// Check returns an error if no store could hold the archive: an item is under another name than its own,
// a revision occurs twice or has no number, or the lineage is missing.
func (a *Archive) Check() error {
	if a.Lineage == "" {
		return errors.New("the state has no lineage")
	}
	for address, r := range a.Records {
		if r.Address != address {
			return fmt.Errorf("the record of %q is under %q", r.Address, address)
		}
		if err := checkNames("address", address); err != nil {
			return err
		}
	}
	for id, o := range a.Operations {
		if o.ID != id {
			return fmt.Errorf("the operation %q is under %q", o.ID, id)
		}
		if err := checkNames("id of an operation", id); err != nil {
			return err
		}
	}
	for name := range a.Outputs {
		if err := checkNames("name of an output", name); err != nil {
			return err
		}
	}
	type key struct {
		address string
		number  uint64
	}
	seen := make(map[key]bool, len(a.History))
	for _, r := range a.History {
		k := key{r.Record.Address, r.Number}
		if r.Number == 0 || seen[k] {
			return fmt.Errorf("revision %d of %s appears twice or has no number", r.Number, r.Record.Address)
		}
		seen[k] = true
		if err := checkNames("address", r.Record.Address); err != nil {
			return err
		}
	}
	return nil
}

// SortHistory puts revisions in the order of an archive, and drops those of each address that are older
// than its newest KeepRevisions. It returns a new list.
func SortHistory(list []Revision) []Revision {
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b Revision) int {
		return cmp.Or(cmp.Compare(a.Record.Address, b.Record.Address), cmp.Compare(b.Number, a.Number))
	})
	of, n := "", 0
	return slices.DeleteFunc(sorted, func(r Revision) bool {
		if r.Record.Address != of {
			of, n = r.Record.Address, 0
		}
		n++
		return n > KeepRevisions
	})
}
