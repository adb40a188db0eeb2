package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/sdk/wire"
	"github.com/davit-sh/davit/state/key"
)

// SameArguments compares the arguments that a review has shown with those of now.
func SameArguments(reviewed, now []plan.Field) error {
	list := map[string]*plan.Field{}
	for i := range now {
		list[now[i].Path] = &now[i]
	}
	var unknown []string
	for i := range reviewed {
		was := &reviewed[i]
		is := list[was.Path]
		delete(list, was.Path)
		if was.Unknown {
			unknown = append(unknown, was.Path)
		}
		switch {
		case is == nil && !was.Unknown: // it is what was applied last
			return &StaleError{What: fmt.Sprintf("its argument %s would change to %s in the reviewed plan and does not change now", was.Path, fieldText(was))}
		case is != nil && !becomes(was, is):
			return &StaleError{What: fmt.Sprintf("its argument %s was %s in the reviewed plan and is now %s", was.Path, fieldText(was), fieldText(is))}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(list)) {
		if !slices.ContainsFunc(unknown, func(p string) bool { return below(path, p) }) {
			return &StaleError{What: fmt.Sprintf("its argument %s did not change in the reviewed plan and is now %s", path, fieldText(list[path]))}
		}
	}
	return nil
}

// SameSecrets compares the sensitive arguments by their fingerprints. Those of another key cannot be told.
func SameSecrets(reviewed, now map[string]string) error {
	for _, path := range slices.Sorted(maps.Keys(reviewed)) {
		if is := now[path]; key.Same(reviewed[path], is) && reviewed[path] != is {
			return &StaleError{What: fmt.Sprintf("its sensitive argument %s has changed since the review", path)}
		}
	}
	return nil
}

// becomes tells whether a reviewed field can be the one of now.
func becomes(reviewed, now *plan.Field) bool {
	switch {
	case reviewed.Unknown && (now.Unknown || now.Sensitive):
		return true
	case reviewed.Unknown:
		return reviewed.Prefix == "" || strings.HasPrefix(textOf(now.After), reviewed.Prefix)
	}
	return !now.Unknown && reviewed.Sensitive == now.Sensitive && sameJSON(reviewed.After, now.After)
}

// below tells whether a path is another one, or below it.
func below(path, above string) bool {
	rest, in := strings.CutPrefix(path, above)
	return in && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// textOf is the text in a JSON string, and nothing of another value.
func textOf(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // what is no text begins with nothing
	return s
}

// sameJSON compares values, which a file may have written in another way.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	if len(a) == 0 || len(b) == 0 || unmarshal(a, &x) != nil || unmarshal(b, &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}

// unmarshal reads numbers as they are written.
func unmarshal(raw json.RawMessage, into *any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(into)
}

// fieldText writes the new side of a field for an error.
func fieldText(f *plan.Field) string {
	switch {
	case f.Sensitive:
		return secret.Masked
	case f.Unknown:
		return f.Prefix + "(known after apply)"
	case f.After == nil:
		return "nothing"
	}
	return cut(string(f.After))
}

// Consistent tells whether a change, planned again at apply, is still what was reviewed: only
// what was unknown may differ. lacks says that a build failed on which it depends: then outputs may stay as they are in state.
// It returns a *StaleError that says what differs.
func Consistent(reviewed, now *plan.Change, lacks bool) error {
	if reviewed.Deferred {
		return nil // nothing of it could be reviewed but that it will be planned
	}
	if now.Action == plan.None || now.AsIs {
		return nil // somebody else has done it, or what was unknown changes nothing
	}
	if reviewed.Action != now.Action && (reviewed.Action != plan.Build || now.Action != plan.Adopt) {
		return &StaleError{What: fmt.Sprintf("%s would be %s in the reviewed plan and would now be %s", reviewed.Address, Past(reviewed.Action), Past(now.Action))}
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
	if now.Action == plan.Adopt {
		return nil // it was made already, under the name that it got then
	}
	return consistentOutputs(reviewed, now, lacks)
}

// consistentOutputs compares the outputs that a review has shown with those that are planned now.
func consistentOutputs(reviewed, now *plan.Change, lacks bool) error {
	want, err1 := opened(reviewed.After)
	got, err2 := opened(now.After)
	if err1 != nil || err2 != nil || !want.Type().Equals(got.Type()) {
		return nil // what cannot be read fails when it is applied
	}
	values, before := got.AsValueMap(), cty.EmptyObjectVal
	if lacks && reviewed.Before != nil {
		if v, err := opened(reviewed.Before); err == nil && v.Type().IsObjectType() {
			before = v
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if before.Type().HasAttribute(name) && values[name].RawEquals(before.GetAttr(name)) {
			continue
		}
		if was := want.GetAttr(name); values[name].IsWhollyKnown() && !wire.Includes(was, values[name]) {
			return &StaleError{What: fmt.Sprintf("%s: its output %s was %s in the reviewed plan and would now be %s", reviewed.Address, name, valueText(was), valueText(values[name]))}
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
		case old.Unknown && (old.Prefix == "" || strings.HasPrefix(textOf(f.After), old.Prefix)):
			continue
		case !old.Unknown && sameJSON(old.After, f.After):
			continue
		}
		return &StaleError{What: fmt.Sprintf("%s: the change of %s of %s %s differs from the reviewed plan", address, f.Path, now.Kind, now.Name)}
	}
	return nil
}

// Past returns the past participle of an action: "created".
func Past(a plan.Action) string {
	switch a {
	case plan.Build:
		return "built"
	case plan.Adopt:
		return "adopted"
	case plan.None:
		return "removed from state"
	}
	return string(a) + "d"
}
