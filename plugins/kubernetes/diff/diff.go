// Package diff compares two states of a Kubernetes object field by field, and tells who
// owns which field. It is pure: it asks no server.
//
// List items are addressed by what names them (containers[name=api]), values of Secrets
// never appear in a result, and what the server keeps for itself is left out.
package diff

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/davit-sh/davit/plugins/kubernetes/mask"
	"github.com/davit-sh/davit/sdk"
)

// Mask stands for a value that is not shown.
const Mask = "(sensitive)"

// MaxFields is how many fields of one object are listed.
const MaxFields = 200

// Options say how to compare.
type Options struct {
	Secret    bool              // the object is a Secret: its values are masked
	Sensitive *mask.Tree        // parts of after that depend on something sensitive: they are masked, and so is what they were before
	Before    *mask.Tree        // parts of before that depended on something sensitive
	Unknown   map[string]string // placeholders in after that stand for unknown strings, and their known starts
}

// Change is one changed field and where it is.
type Change struct {
	sdk.Field
	at []step
}

// Compare lists the fields that differ. A nil before means that the object is made.
func Compare(before, after map[string]any, o Options) []Change {
	c := comparison{Options: o, create: before == nil}
	c.maps(nil, before, after, trees{o.Before.On(before), o.Sensitive})
	return c.changes
}

// Fields are the fields of changes as an item shows them, and a note when not all are listed.
func Fields(changes []Change) (fields []sdk.Field, note string) {
	for _, c := range changes[:min(len(changes), MaxFields)] {
		fields = append(fields, c.Field)
	}
	if more := len(changes) - MaxFields; more > 0 {
		note = fmt.Sprintf("and %d more fields", more)
	}
	return fields, note
}

type comparison struct {
	Options
	create  bool
	changes []Change
}

// trees say what is sensitive of the two sides of a comparison.
type trees struct{ before, after *mask.Tree }

func (t trees) field(name string) trees { return trees{t.before.Field(name), t.after.Field(name)} }

// step is one step of a field's path: a field of a map, an item of a list by what names it, or by its index.
type step struct {
	field string
	names map[string]any // "name": "api"
	index int
	item  bool
}

// ignored are fields that the server keeps, or that repeat others.
var ignored = map[string]bool{
	"status": true, "apiVersion": true, "kind": true,
	"metadata.name": true, "metadata.namespace": true, "metadata.managedFields": true, "metadata.resourceVersion": true,
	"metadata.uid": true, "metadata.generation": true, "metadata.creationTimestamp": true, "metadata.selfLink": true,
	// kubectl's copy of the whole object. It holds a Secret's values in clear.
	`metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`: true,
}

// marks are the owner mark's fields. They say nothing new in an object that davit makes.
var marks = map[string]bool{
	`metadata.annotations["davit.sh/application"]`: true, `metadata.annotations["davit.sh/stack"]`: true, `metadata.annotations["davit.sh/lineage"]`: true,
}

// IsMark tells whether a field's path is of the owner mark.
func IsMark(path string) bool { return marks[path] }

func (c *comparison) maps(at []step, before, after map[string]any, t trees) {
	keys := map[string]bool{}
	for k := range before {
		keys[k] = true
	}
	for k := range after {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		b, had := before[k]
		a, has := after[k]
		c.values(with(at, step{field: k}), b, a, had, has, t.field(k))
	}
}

func (c *comparison) values(at []step, before, after any, had, has bool, t trees) {
	path := text(at)
	if ignored[path] || c.create && marks[path] || had && has && same(before, after) {
		return
	}
	if c.Secret && (at[0].field == "data" || at[0].field == "stringData") && (len(at) > 1 || !isMapOrNil(before) || !isMapOrNil(after)) {
		c.masked(at, had, has)
		return
	}
	if t.before.IsWhole() || t.after.IsWhole() {
		c.masked(at, had, has)
		return
	}
	bm, bIsMap := before.(map[string]any)
	am, aIsMap := after.(map[string]any)
	if (bIsMap || !had) && (aIsMap || !has) && len(bm)+len(am) > 0 {
		c.maps(at, bm, am, t)
		return
	}
	bl, bIsList := before.([]any)
	al, aIsList := after.([]any)
	if (bIsList || !had) && (aIsList || !has) {
		if key := itemKey(bl, al); key != nil && !t.before.Names(key) && !t.after.Names(key) {
			c.lists(at, bl, al, key, t)
			return
		}
	}
	if t.before != nil || t.after != nil { // a part of it is sensitive, and it is shown in one piece
		c.masked(at, had, has)
		return
	}
	c.leaf(at, before, after, had, has)
}

func isMapOrNil(v any) bool {
	_, isMap := v.(map[string]any)
	return v == nil || isMap
}

func (c *comparison) masked(at []step, had, has bool) {
	f := sdk.Field{Path: text(at), Sensitive: true}
	if had {
		f.Before = Mask
	}
	if has {
		f.After = Mask
	}
	c.changes = append(c.changes, Change{f, at})
}

func (c *comparison) leaf(at []step, before, after any, had, has bool) {
	f := sdk.Field{Path: text(at)}
	if had {
		f.Before = before
	}
	if has {
		f.After = after
	}
	if placeholder, isText := after.(string); isText {
		if prefix, unknown := c.Unknown[placeholder]; unknown {
			f.After, f.Unknown, f.Prefix = nil, true, prefix
		}
	}
	c.changes = append(c.changes, Change{f, at})
}

// lists compares lists whose items have names.
func (c *comparison) lists(at []step, before, after []any, key []string, t trees) {
	old := map[string]map[string]any{}
	for _, item := range before {
		m := item.(map[string]any)
		old[nameOf(m, key)] = m
	}
	var orderBefore, orderAfter []string
	kept := map[string]bool{}
	for _, item := range after {
		m := item.(map[string]any)
		name := nameOf(m, key)
		was, had := old[name]
		if had {
			kept[name] = true
			orderAfter = append(orderAfter, name)
		}
		c.item(with(at, named(m, key)), was, m, key, t)
	}
	for _, item := range before {
		m := item.(map[string]any)
		name := nameOf(m, key)
		if kept[name] {
			orderBefore = append(orderBefore, name)
			continue
		}
		c.item(with(at, named(m, key)), m, nil, key, t)
	}
	if !slices.Equal(orderBefore, orderAfter) {
		c.changes = append(c.changes, Change{sdk.Field{Path: text(at) + " (order)", Before: anys(orderBefore), After: anys(orderAfter)}, at})
	}
}

// item compares two items, or lists the fields of one that comes or goes. What names it is in its path already.
func (c *comparison) item(at []step, before, after map[string]any, key []string, t trees) {
	t = trees{t.before.Item(at[len(at)-1].names), t.after.Item(at[len(at)-1].names)}
	whole := before == nil || after == nil
	if whole && len(before)+len(after) > len(key) {
		before, after = without(before, key), without(after, key)
	}
	c.maps(at, before, after, t)
}

func without(m map[string]any, key []string) map[string]any {
	if m == nil {
		return nil
	}
	m = maps.Clone(m)
	for _, k := range key {
		delete(m, k)
	}
	return m
}

// itemKeys are the fields that name items of Kubernetes' lists, the most telling first.
var itemKeys = [][]string{
	{"name"}, {"key"}, {"mountPath"}, {"containerPort"}, {"containerPort", "protocol"}, {"port"}, {"port", "protocol"},
	{"host"}, {"path"}, {"type"}, {"topologyKey"}, {"devicePath"}, {"ip"}, {"uid"}, {"id"},
}

// itemKey chooses the fields that name every item of both lists uniquely, nil when there are none.
func itemKey(before, after []any) []string {
	if len(before)+len(after) == 0 {
		return nil
	}
	for _, key := range itemKeys {
		if names(before, key) && names(after, key) {
			return key
		}
	}
	return nil
}

func names(items []any, key []string) bool {
	seen := map[string]bool{}
	for _, item := range items {
		m, ok := item.(map[string]any)
		if !ok {
			return false
		}
		for _, k := range key {
			if !scalar(m[k]) {
				return false
			}
		}
		name := nameOf(m, key)
		if seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

func scalar(v any) bool {
	switch v.(type) {
	case string, int64, float64, bool:
		return true
	}
	return false
}

func nameOf(m map[string]any, key []string) string {
	parts := make([]string, len(key))
	for i, k := range key {
		parts[i] = fmt.Sprint(m[k])
	}
	return strings.Join(parts, "/")
}

func named(m map[string]any, key []string) step {
	s := step{item: true, names: map[string]any{}}
	for _, k := range key {
		s.names[k] = m[k]
	}
	return s
}

func with(at []step, s step) []step { return append(slices.Clip(slices.Clone(at)), s) }

var plain = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)

// text writes a path: spec.template.spec.containers[name=api].image
func text(at []step) string {
	var b strings.Builder
	for _, s := range at {
		switch {
		case s.names != nil:
			b.WriteByte('[')
			for i, k := range slices.Sorted(maps.Keys(s.names)) {
				if i > 0 {
					b.WriteByte(',')
				}
				fmt.Fprintf(&b, "%s=%v", k, s.names[k])
			}
			b.WriteByte(']')
		case s.item:
			fmt.Fprintf(&b, "[%d]", s.index)
		case plain.MatchString(s.field):
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(s.field)
		default:
			fmt.Fprintf(&b, "[%q]", s.field)
		}
	}
	return b.String()
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// same compares JSON values. 1 and 1.0 are the same number.
func same(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && maps.EqualFunc(a, b, same)
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case int64:
		switch b := b.(type) {
		case int64:
			return a == b
		case float64:
			return cmp.Compare(float64(a), b) == 0
		}
		return false
	case float64:
		switch b := b.(type) {
		case int64:
			return a == float64(b)
		case float64:
			return a == b
		}
		return false
	default:
		return a == b
	}
}
