package record

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/secret"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/key"
)

// ChangedArguments returns the arguments that are not what a record was made with, and all that are set if there is no record: rec is nil
// then. now are the fingerprints of config; the changes of sensitive arguments at the ignored paths do not count.
func ChangedArguments(t *types.Type, rec *state.Record, config cty.Value, now map[string]string, ignored map[string]bool) []plan.Field {
	d := &argumentDiff{now: now}
	before := cty.NullVal(t.ConfigType)
	if rec != nil {
		d.was = rec.Fingerprints
		for path := range ignored {
			if d.was[path] != "" && d.now != nil {
				d.now[path] = d.was[path]
			}
		}
		before = types.RecordedConfig(rec, t)
	}
	d.isNew = before.IsNull()
	d.attributes(nil, t.Arguments, before, t.PluginConfig(config))
	if len(d.was) > 0 {
		d.gone()
	}
	return d.fields
}

// argumentDiff compares two configurations. One that was not there is null.
type argumentDiff struct {
	was, now map[string]string // fingerprints of the sensitive parts, by path
	isNew    bool
	fields   []plan.Field
}

func (d *argumentDiff) add(f plan.Field) { d.fields = append(d.fields, f) }

func (d *argumentDiff) value(path cty.Path, before, after cty.Value) {
	switch {
	case after.IsMarked():
		d.secret(plan.PathString(path), before, after)
	case !after.IsKnown():
		d.unknown(path, before, after)
	case before.IsNull() && after.IsNull(), before.RawEquals(after):
	case before.IsNull() && isReference(after):
		d.add(plan.Field{Path: plan.PathString(path), After: jsonOf(after.GetAttr(kinds.Address))})
	case compound(before) || compound(after):
		d.elements(path, before, after)
	default:
		d.leaf(path, before, after)
	}
}

func (d *argumentDiff) unknown(path cty.Path, before, after cty.Value) {
	f := plan.Field{Path: plan.PathString(path), Unknown: true, Prefix: plan.Prefix(after)}
	if !before.IsNull() {
		f.Before = jsonOf(before)
	}
	d.add(f)
}

// leaf is a value that is shown whole. Numbers are compared as they are written: what was read from state has another precision.
func (d *argumentDiff) leaf(path cty.Path, before, after cty.Value) {
	if !after.IsWhollyKnown() {
		d.unknown(path, before, after)
		return
	}
	f := plan.Field{Path: plan.PathString(path)}
	if !before.IsNull() {
		f.Before = jsonOf(before)
	}
	if !after.IsNull() {
		f.After = jsonOf(after)
	}
	empty := after.CanIterateElements() && after.LengthInt() == 0
	if string(f.Before) != string(f.After) && (!d.isNew || !empty) {
		d.add(f)
	}
}

// secret compares a sensitive value by its fingerprint: what cannot be told is not shown.
func (d *argumentDiff) secret(path string, before, after cty.Value) {
	plain, _ := after.UnmarkDeep()
	f := plan.Field{Path: path, Sensitive: true, Unknown: !plain.IsWhollyKnown()}
	was, now := d.was[path], d.now[path]
	known := was != "" || !before.IsNull()
	switch {
	case plain.IsNull():
		return
	case f.Unknown:
		if known {
			f.Before = secret.MaskedJSON
		}
	case was == "" && known: // it was not sensitive
		f.Before, f.After = secret.MaskedJSON, secret.MaskedJSON
	case was == "" && (d.isNew || now != ""):
		f.After = secret.MaskedJSON
	case !key.Same(was, now) || was == now:
		return
	}
	d.add(f)
}

// gone adds the sensitive values that are not set any more.
func (d *argumentDiff) gone() {
	for _, path := range slices.Sorted(maps.Keys(d.was)) {
		if _, there := d.now[path]; !there && !slices.ContainsFunc(d.fields, func(f plan.Field) bool { return f.Path == path }) {
			d.add(plan.Field{Path: path, Before: secret.MaskedJSON, Sensitive: true})
		}
	}
}

func (d *argumentDiff) elements(path cty.Path, before, after cty.Value) {
	t := after.Type()
	if after.IsNull() {
		t = before.Type()
	}
	if t.IsListType() || t.IsTupleType() {
		old, now := elementsOf(before), elementsOf(after)
		for i := range max(len(old), len(now)) {
			d.value(path.IndexInt(i), elementOrNull(old, i), elementOrNull(now, i))
		}
		return
	}
	if t.IsObjectType() {
		d.attributes(path, attributeNames(before, after), before, after)
		return
	}
	old, now := mapOf(before), mapOf(after)
	for _, key := range slices.Sorted(maps.Keys(union(old, now))) {
		d.value(path.IndexString(key), orNull(old[key]), orNull(now[key]))
	}
}

// attributes compares two objects, of which one may be null.
func (d *argumentDiff) attributes(path cty.Path, names []string, before, after cty.Value) {
	t := after.Type()
	for _, name := range names {
		was, is := attributeOf(before, name), attributeOf(after, name)
		switch {
		case was.IsNull() && is.IsNull() && !is.IsMarked():
		case name == "path" && IsTree(t): // where the files are differs from machine to machine
		default:
			d.value(path.GetAttr(name), was, is)
		}
	}
}

// compound tells whether the elements of a value are compared one by one: those of objects and maps, and those of lists that are
// more than texts and numbers.
func compound(v cty.Value) bool {
	if v.IsNull() || !v.IsKnown() || v.IsMarked() || !v.CanIterateElements() || v.Type().IsSetType() || v.LengthInt() == 0 {
		return false
	}
	if v.Type().IsObjectType() || v.Type().IsMapType() {
		return true
	}
	return slices.ContainsFunc(v.AsValueSlice(), func(e cty.Value) bool { return e.IsMarked() || !e.IsKnown() || !e.Type().IsPrimitiveType() })
}

// isReference tells whether a value is a whole block.
func isReference(v cty.Value) bool {
	if v.IsNull() || !v.Type().IsObjectType() || !v.Type().HasAttribute(kinds.Address) || v.Type().AttributeType(kinds.Address) != cty.String {
		return false
	}
	_, err := addr.Parse(types.Text(v.GetAttr(kinds.Address)))
	return err == nil
}

// IsTree tells whether a type is that of a source's files.
func IsTree(t cty.Type) bool {
	return t.IsObjectType() && len(t.AttributeTypes()) == 2 && t.HasAttribute("digest") && t.HasAttribute("path")
}

// attributeNames are the attributes of two objects, of which one may be null or have others.
func attributeNames(before, after cty.Value) []string {
	var names []string
	for _, t := range []cty.Type{before.Type(), after.Type()} {
		if t.IsObjectType() {
			names = slices.AppendSeq(names, maps.Keys(t.AttributeTypes()))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func attributeOf(v cty.Value, name string) cty.Value {
	if v.IsNull() || !v.Type().IsObjectType() || !v.Type().HasAttribute(name) {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	return v.GetAttr(name)
}

func mapOf(v cty.Value) map[string]cty.Value {
	if v.IsNull() || !v.CanIterateElements() || (!v.Type().IsObjectType() && !v.Type().IsMapType()) {
		return nil
	}
	return v.AsValueMap()
}

func elementsOf(v cty.Value) []cty.Value {
	if v.IsNull() || !v.CanIterateElements() {
		return nil
	}
	return v.AsValueSlice()
}

func union(a, b map[string]cty.Value) map[string]cty.Value {
	if len(a) == 0 {
		return b
	}
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func elementOrNull(list []cty.Value, i int) cty.Value {
	if i < len(list) {
		return list[i]
	}
	return cty.NullVal(cty.DynamicPseudoType)
}

func orNull(v cty.Value) cty.Value {
	if v == cty.NilVal {
		return cty.NullVal(cty.DynamicPseudoType)
	}
	return v
}

// jsonOf writes a known value.
func jsonOf(v cty.Value) json.RawMessage {
	v, _ = v.UnmarkDeep()
	if v.Type() == cty.String && !v.IsNull() {
		b, _ := json.Marshal(v.AsString()) // a text is always written
		return b
	}
	b, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}

// IsBlock tells whether a value is a whole block of an address.
func IsBlock(v cty.Value, address string) bool {
	return v.Type().IsObjectType() && v.IsKnown() && !v.IsNull() && v.Type().HasAttribute(kinds.Address) && types.Text(v.GetAttr(kinds.Address)) == address
}

// Mentions tells whether a configuration has the whole block of an address in it.
func Mentions(config cty.Value, address string) bool {
	found := false
	_ = cty.Walk(config, func(_ cty.Path, v cty.Value) (bool, error) {
		v, _ = v.Unmark()
		found = found || IsBlock(v, address)
		return !found, nil
	})
	return found
}
