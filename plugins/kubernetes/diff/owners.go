package diff

import (
	"bytes"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// Manager is the field manager that davit applies as.
const Manager = "davit"

// handTools are the managers of changes that people make by hand. What they added to
// an object that davit manages is drift, and is taken out. kubectl-rollout is not among
// them: its restart annotation is a wish that was fulfilled.
var handTools = []string{
	"kubectl", "kubectl-edit", "kubectl-patch", "kubectl-client-side-apply", "kubectl-create", "kubectl-replace", "kubectl-set",
	"kubectl-label", "kubectl-annotate", "kubectl-scale", "kubectl-run", "kubectl-expose", "before-first-apply",
}

// ByHand tells whether a manager is a tool that people change objects with.
func ByHand(entry metav1.ManagedFieldsEntry) bool {
	return entry.Subresource == "" && slices.Contains(handTools, entry.Manager)
}

// TakenOver are the managed fields of the live object as they are when davit has taken over what people's tools
// manage, nil when they manage nothing.
func TakenOver(live *unstructured.Unstructured) ([]metav1.ManagedFieldsEntry, error) {
	var kept, taken []metav1.ManagedFieldsEntry
	for _, entry := range live.GetManagedFields() {
		switch {
		case entry.Manager == Manager && entry.Operation == metav1.ManagedFieldsOperationApply && entry.Subresource == "":
			taken = slices.Insert(taken, 0, entry) // what it says besides its fields is what counts
		case ByHand(entry):
			taken = append(taken, entry)
		default:
			kept = append(kept, entry)
		}
	}
	if !slices.ContainsFunc(taken, ByHand) {
		return nil, nil
	}
	fields := fieldpath.NewSet()
	for _, entry := range taken {
		set, err := parse(entry)
		if err != nil {
			return nil, err
		}
		fields = fields.Union(set)
	}
	text, err := fields.ToJSON()
	if err != nil {
		return nil, err
	}
	own := taken[0]
	own.Manager, own.Operation, own.FieldsV1 = Manager, metav1.ManagedFieldsOperationApply, metav1.NewFieldsV1(string(text))
	return append(kept, own), nil
}

// InVersion are the managed fields of the live object with the object's own version in place of those that the server does not
// have any more, nil when there are none such. A server refuses to apply an object whose fields are managed in a removed version.
func InVersion(live *unstructured.Unstructured, served func(apiVersion string) bool) []metav1.ManagedFieldsEntry {
	entries, changed := live.GetManagedFields(), false
	for i := range entries {
		if v := entries[i].APIVersion; v != live.GetAPIVersion() && !served(v) {
			entries[i].APIVersion, changed = live.GetAPIVersion(), true
		}
	}
	if !changed {
		return nil
	}
	return entries
}

// Owners names the managers other than davit that own changed fields in the live object, in the order of their names.
func Owners(live *unstructured.Unstructured, changes []Change) []string {
	var owners []string
	for _, entry := range live.GetManagedFields() {
		if entry.Manager == Manager || entry.Subresource == "status" || slices.Contains(owners, entry.Manager) {
			continue
		}
		set := setOf(entry)
		if slices.ContainsFunc(changes, func(c Change) bool { return owns(set, c.at) }) {
			owners = append(owners, entry.Manager)
		}
	}
	slices.Sort(owners)
	return owners
}

// OwnFields are the fields that davit owns in the object, in a form that can be compared.
func OwnFields(u *unstructured.Unstructured) []byte {
	for _, entry := range u.GetManagedFields() {
		if entry.Manager == Manager && entry.Operation == metav1.ManagedFieldsOperationApply {
			text, err := setOf(entry).ToJSON()
			if err != nil {
				return nil
			}
			return bytes.TrimSpace(text)
		}
	}
	return nil
}

// HandMade tells whether people's tools own fields of the object.
func HandMade(live *unstructured.Unstructured) bool {
	return slices.ContainsFunc(live.GetManagedFields(), ByHand)
}

// WithoutHandMade returns a copy of after, the object as the server would make it of
// davit's, in which the fields that only people's tools own in the live object are as in
// fresh, the object as the server would make it if there was none: gone or at their defaults. fresh may be nil.
func WithoutHandMade(live, after, fresh *unstructured.Unstructured) *unstructured.Unstructured {
	hand, others := fieldpath.NewSet(), fieldpath.NewSet()
	for _, entry := range live.GetManagedFields() {
		if ByHand(entry) {
			hand = hand.Union(setOf(entry))
		}
	}
	for _, entry := range after.GetManagedFields() {
		if !ByHand(entry) {
			others = others.Union(setOf(entry))
		}
	}
	var paths []fieldpath.Path
	hand.Difference(others).Iterate(func(p fieldpath.Path) { paths = append(paths, p.Copy()) })
	// Whole items go first: without its fields, an item is not found any more.
	slices.SortStableFunc(paths, func(a, b fieldpath.Path) int { return len(a) - len(b) })
	result := after.DeepCopy()
	for _, path := range paths {
		if ownedBelow(others, path) {
			continue
		}
		var standard any
		if fresh != nil {
			standard = get(fresh.Object, path)
		}
		reset(result.Object, path, standard)
	}
	return result
}

// setOf are the fields of an entry, none if they cannot be read.
func setOf(entry metav1.ManagedFieldsEntry) *fieldpath.Set {
	set, err := parse(entry)
	if err != nil {
		return fieldpath.NewSet()
	}
	return set
}

func parse(entry metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	set := fieldpath.NewSet()
	if entry.FieldsV1 == nil {
		return set, nil
	}
	if err := set.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
		return nil, fmt.Errorf("the fields that %s manages: %w", entry.Manager, err)
	}
	return set, nil
}

func ownedBelow(set *fieldpath.Set, path fieldpath.Path) bool {
	for _, element := range path {
		set = set.WithPrefix(element)
	}
	return !set.Empty()
}

// owns tells whether the set has the field, something in it, or what it is in.
func owns(set *fieldpath.Set, at []step) bool {
	found := false
	set.Iterate(func(p fieldpath.Path) {
		if found || len(p) < len(at) && !leafOf(set, p) {
			return
		}
		for i := range min(len(p), len(at)) {
			if !matches(p[i], at[i]) {
				return
			}
		}
		found = true
	})
	return found
}

// leafOf tells whether a set has the path as a whole: an atomic map or list.
func leafOf(set *fieldpath.Set, p fieldpath.Path) bool { return !ownedBelow(set, p) }

func matches(element fieldpath.PathElement, s step) bool {
	switch {
	case element.FieldName != nil:
		return !s.item && *element.FieldName == s.field
	case element.Key != nil:
		if s.names == nil {
			return false
		}
		for k, v := range s.names {
			if !keyHas(*element.Key, k, v) {
				return false
			}
		}
		return true
	case element.Index != nil:
		return s.item && s.names == nil && *element.Index == s.index
	}
	return false
}

// keyHas is lenient: a field of ours that is no part of the server's key does not speak against a match.
func keyHas(key value.FieldList, name string, want any) bool {
	for _, field := range key {
		if field.Name == name {
			return same(field.Value.Unstructured(), want)
		}
	}
	return true
}

// get returns the value at path in v, nil when there is none.
func get(v any, path fieldpath.Path) any {
	if len(path) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		if path[0].FieldName != nil {
			return get(v[*path[0].FieldName], path[1:])
		}
	case []any:
		if i := slices.IndexFunc(v, func(item any) bool { return isItem(path[0], item) }); i >= 0 {
			return get(v[i], path[1:])
		}
	}
	return nil
}

// reset puts a value in the place of that at path in v, or takes it out if the new one is nil.
func reset(v any, path fieldpath.Path, standard any) {
	m, ok := v.(map[string]any)
	if !ok || len(path) == 0 || path[0].FieldName == nil {
		return
	}
	name := *path[0].FieldName
	if len(path) == 1 {
		if standard != nil {
			m[name] = standard
			return
		}
		delete(m, name)
		return
	}
	list, isList := m[name].([]any)
	if !isList {
		reset(m[name], path[1:], standard)
		return
	}
	i := slices.IndexFunc(list, func(item any) bool { return isItem(path[1], item) })
	switch {
	case i < 0:
	case len(path) > 2:
		reset(list[i], path[2:], standard)
	case standard == nil:
		m[name] = slices.Delete(slices.Clone(list), i, i+1)
	}
}

func isItem(element fieldpath.PathElement, item any) bool {
	switch {
	case element.Key != nil:
		m, ok := item.(map[string]any)
		if !ok {
			return false
		}
		for _, field := range *element.Key {
			if !same(m[field.Name], field.Value.Unstructured()) {
				return false
			}
		}
		return true
	case element.Value != nil:
		return same(item, (*element.Value).Unstructured())
	}
	return false
}
