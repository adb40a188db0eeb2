package engine

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/davit-sh/davit/core/plan"
)

// consistent tells whether a change, planned again at apply, is still what was reviewed: only
// what was unknown may differ. It returns a *StaleError that says what differs.
func consistent(reviewed, now *plan.Change) error {
	if reviewed.Deferred {
		return nil // nothing of it could be reviewed but that it will be planned
	}
	if now.Action == plan.None || now.AsIs {
		return nil // somebody else has done it, or what was unknown changes nothing
	}
	if reviewed.Action != now.Action && (reviewed.Action != plan.Build || now.Action != plan.Adopt) {
		return &StaleError{What: fmt.Sprintf("%s was to be %s and would now be %s", reviewed.Address, past(reviewed.Action), past(now.Action))}
	}
	before := map[string]*plan.Item{}
	for i := range reviewed.Items {
		before[reviewed.Items[i].Key] = &reviewed.Items[i]
	}
	for i := range now.Items {
		item := &now.Items[i]
		old := before[item.Key]
		if item.Action == plan.None || now.Action == plan.Adopt {
			continue
		}
		if old == nil || old.Action != item.Action {
			return &StaleError{What: fmt.Sprintf("%s would now also %s %s %s", reviewed.Address, item.Action, item.Kind, item.Name)}
		}
		if err := consistentFields(reviewed.Address, old, item); err != nil {
			return err
		}
	}
	return nil
}

func consistentFields(address string, reviewed, now *plan.Item) error {
	before := map[string]*plan.Field{}
	for i := range reviewed.Fields {
		before[reviewed.Fields[i].Path] = &reviewed.Fields[i]
	}
	for i := range now.Fields {
		f := &now.Fields[i]
		old := before[f.Path]
		switch {
		case old == nil:
		case old.Unknown && strings.HasPrefix(strings.Trim(string(f.After), `"`), old.Prefix):
			continue
		case !old.Unknown && bytes.Equal(old.After, f.After):
			continue
		}
		return &StaleError{What: fmt.Sprintf("%s: %s of %s %s was not reviewed as it would be changed now", address, f.Path, now.Kind, now.Name)}
	}
	return nil
}

func past(a plan.Action) string {
	switch a {
	case plan.Build:
		return "built"
	case plan.Adopt:
		return "adopted"
	case plan.None:
		return "left alone"
	}
	return string(a) + "d"
}
