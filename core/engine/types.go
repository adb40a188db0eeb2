package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Types is the catalogue of what plugins provide.
type Types struct {
	types    map[typeKey]*blockType
	versions map[string]string // of plugins, as they say themselves
}

type typeKey struct{ kind, name string }

// blockType is one type: source "git".
type blockType struct {
	row                *kinds.Kind
	kind, name, plugin string
	config             *eval.Schema
	configType         cty.Type // of what the plugin gets as its configuration
	arguments          []string // attributes of that, sorted
	outputs            map[string]cty.Type
	seen               []string // attributes of an instance as others see it, but for its address; sorted
	outputType         cty.Type
	sensitive          []string // outputs
	canImport          bool
	cannotRecover      bool        // it cannot look for the result of an operation that was cut off
	storedConfig       *plan.Typed // both as records and plans have them
	storedOutputs      *plan.Typed
}

// ownArguments returns the arguments that the core adds to the types of a kind.
func ownArguments(kind string) []*eval.Attribute {
	k, ok := kinds.Find(kind)
	if !ok {
		return nil
	}
	list := make([]*eval.Attribute, len(k.Arguments))
	for i, a := range k.Arguments {
		list[i] = &eval.Attribute{Name: a.Name, Type: a.Type, Required: a.Required, Default: a.Default}
	}
	return list
}

// NewTypes returns an empty catalogue.
func NewTypes() *Types { return &Types{types: map[typeKey]*blockType{}, versions: map[string]string{}} }

// Add adds the types that a plugin described. A type that another plugin has already is refused.
func (t *Types) Add(plugin string, d *pluginv1.DescribeResponse) error {
	for _, described := range d.GetTypes() {
		key := typeKey{described.GetKind(), described.GetName()}
		if old := t.types[key]; old != nil {
			return fmt.Errorf("plugin %q provides %s %q, which plugin %q provides already: remove one of them from required_plugins", plugin, key.kind, key.name, old.plugin)
		}
		if _, ok := kinds.Find(key.kind); !ok {
			return fmt.Errorf("plugin %q provides %q of the kind %q, which there is not", plugin, key.name, key.kind)
		}
		bt, err := newBlockType(plugin, described)
		if err != nil {
			return fmt.Errorf("plugin %q, %s %q: %w", plugin, key.kind, key.name, err)
		}
		t.types[key] = bt
	}
	t.versions[plugin] = d.GetVersion()
	return nil
}

func newBlockType(plugin string, d *pluginv1.Type) (*blockType, error) {
	kind, ok := kinds.Find(d.GetKind())
	if !ok {
		return nil, fmt.Errorf("its kind %q is unknown", d.GetKind())
	}
	config, err := eval.CompileSchema(d.GetConfig(), ownArguments(kind.Name)...)
	if err != nil {
		return nil, err
	}
	bt := &blockType{row: kind, kind: kind.Name, name: d.GetName(), plugin: plugin, config: config, outputs: map[string]cty.Type{}, canImport: d.GetCanImport(), cannotRecover: d.GetCannotRecover()}
	for _, a := range d.GetOutputs().GetAttributes() {
		ty, err := ctyjson.UnmarshalType(a.GetType())
		if err != nil {
			return nil, fmt.Errorf("output %q: type: %w", a.GetName(), err)
		}
		bt.outputs[a.GetName()] = ty.WithoutOptionalAttributesDeep()
		if a.GetSensitive() {
			bt.sensitive = append(bt.sensitive, a.GetName())
		}
	}
	for _, name := range kind.Outputs {
		if _, ok := bt.outputs[name]; !ok {
			return nil, fmt.Errorf("it lacks the output %q, which every %s has", name, bt.kind)
		}
	}
	bt.outputType = cty.Object(bt.outputs)
	if bt.storedOutputs, err = plan.NewTyped(bt.outputType); err != nil {
		return nil, err
	}
	bt.seen = append(config.Names(), slices.Collect(maps.Keys(bt.outputs))...)
	slices.Sort(bt.seen)
	bt.seen = slices.Compact(bt.seen)
	bt.configType = configType(config, kind)
	bt.arguments = slices.Sorted(maps.Keys(bt.configType.AttributeTypes()))
	bt.storedConfig, err = plan.NewTyped(bt.configType)
	return bt, err
}

func (t *Types) of(n addr.Node) *blockType { return t.types[typeKey{n.Kind, n.Type}] }

// version returns the version of a plugin, as it says itself.
func (t *Types) version(plugin string) string { return t.versions[plugin] }

// names returns the types of a kind.
func (t *Types) names(kind string) []string {
	var names []string
	for k := range t.types {
		if k.kind == kind {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return names
}

// hasAttribute tells whether a reference to an instance may name an attribute.
func (b *blockType) hasAttribute(name string) bool {
	if _, output := b.outputs[name]; output || name == kinds.Address {
		return true
	}
	return b.config.Has(name)
}

// attributes returns what a reference to an instance may name.
func (b *blockType) attributes() []string {
	return append(append(slices.Collect(maps.Keys(b.outputs)), b.config.Names()...), kinds.Address)
}

// pluginConfig returns a configuration as the plugin sees it, without the kind's own attributes.
func (b *blockType) pluginConfig(v cty.Value) cty.Value {
	if len(b.row.Arguments) == 0 {
		return v
	}
	attrs := v.AsValueMap()
	for _, a := range b.row.Arguments {
		delete(attrs, a.Name)
	}
	return cty.ObjectVal(attrs)
}

// configType is the type of what pluginConfig returns.
func configType(s *eval.Schema, kind *kinds.Kind) cty.Type {
	if len(kind.Arguments) == 0 {
		return s.Type()
	}
	attributes := maps.Clone(s.Type().AttributeTypes())
	for _, a := range kind.Arguments {
		delete(attributes, a.Name)
	}
	return cty.Object(attributes)
}

// unknownOutputs are the outputs of what cannot be planned yet.
func (b *blockType) unknownOutputs() cty.Value {
	attrs := make(map[string]cty.Value, len(b.outputs))
	for name, t := range b.outputs {
		attrs[name] = cty.UnknownVal(t)
	}
	return cty.ObjectVal(attrs)
}

// fit makes a stored value one of a type that may have changed since: attributes that are gone are
// dropped, new ones and those of another type are null.
func fit(v cty.Value, t cty.Type) cty.Value {
	if v == cty.NilVal || v.IsNull() || !v.Type().IsObjectType() || !t.IsObjectType() {
		return cty.NullVal(t)
	}
	if v.Type().Equals(t) {
		return v
	}
	attrs := map[string]cty.Value{}
	for name, want := range t.AttributeTypes() {
		attrs[name] = cty.NullVal(want)
		if v.Type().HasAttribute(name) {
			if got, err := convert.Convert(v.GetAttr(name), want); err == nil {
				attrs[name] = got
			}
		}
	}
	return cty.ObjectVal(attrs)
}
