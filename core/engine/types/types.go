package types

import (
	"fmt"
	"maps"
	"slices"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Catalogue is the catalogue of what plugins provide.
type Catalogue struct {
	types    map[typeKey]*Type
	versions map[string]string // of plugins, as they say themselves
}

type typeKey struct{ kind, name string }

// Type is one type: source "git".
type Type struct {
	row                *kinds.Kind
	Kind, Name, Plugin string
	Schema             *eval.Schema
	ConfigType         cty.Type // of what the plugin gets as its configuration
	Arguments          []string // attributes of that, sorted
	outputs            map[string]cty.Type
	seen               []string // attributes of an instance as others see it, but for its address; sorted
	seenType           cty.Type
	OutputType         cty.Type
	Sensitive          []string // outputs
	CanImport          bool
	CanWatch           bool        // its plugin notices by itself when the world of an instance changes
	CannotRecover      bool        // it cannot look for the result of an operation that was cut off
	storedConfig       *plan.Typed // both as records and plans have them
	StoredOutputs      *plan.Typed
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

// NewCatalogue returns an empty catalogue.
func NewCatalogue() *Catalogue {
	return &Catalogue{types: map[typeKey]*Type{}, versions: map[string]string{}}
}

// Add adds the types that a plugin described. A type that another plugin has already is refused.
func (t *Catalogue) Add(plugin string, d *pluginv1.DescribeResponse) error {
	for _, described := range d.GetTypes() {
		key := typeKey{described.GetKind(), described.GetName()}
		if old := t.types[key]; old != nil {
			return fmt.Errorf("plugin %q provides %s %q, which plugin %q also provides: remove one of them from required_plugins", plugin, key.kind, key.name, old.Plugin)
		}
		if _, ok := kinds.Find(key.kind); !ok {
			return fmt.Errorf("plugin %q provides %q of the unknown kind %q", plugin, key.name, key.kind)
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

func newBlockType(plugin string, d *pluginv1.Type) (*Type, error) {
	kind, ok := kinds.Find(d.GetKind())
	if !ok {
		return nil, fmt.Errorf("its kind %q is unknown", d.GetKind())
	}
	config, err := eval.CompileSchema(d.GetConfig(), ownArguments(kind.Name)...)
	if err != nil {
		return nil, err
	}
	bt := &Type{row: kind, Kind: kind.Name, Name: d.GetName(), Plugin: plugin, Schema: config, outputs: map[string]cty.Type{}, CanImport: d.GetCanImport(), CanWatch: d.GetCanWatch(), CannotRecover: d.GetCannotRecover()}
	for _, a := range d.GetOutputs().GetAttributes() {
		ty, err := ctyjson.UnmarshalType(a.GetType())
		if err != nil {
			return nil, fmt.Errorf("output %q: type: %w", a.GetName(), err)
		}
		bt.outputs[a.GetName()] = ty.WithoutOptionalAttributesDeep()
		if a.GetSensitive() {
			bt.Sensitive = append(bt.Sensitive, a.GetName())
		}
	}
	for _, name := range kind.Outputs {
		if _, ok := bt.outputs[name]; !ok {
			return nil, fmt.Errorf("it lacks the output %q, which every %s has", name, bt.Kind)
		}
	}
	bt.OutputType = cty.Object(bt.outputs)
	if bt.StoredOutputs, err = plan.NewTyped(bt.OutputType); err != nil {
		return nil, err
	}
	bt.seen = append(config.Names(), slices.Collect(maps.Keys(bt.outputs))...)
	slices.Sort(bt.seen)
	bt.seen = slices.Compact(bt.seen)
	bt.seenType = bt.newSeenType()
	bt.ConfigType = configType(config, kind)
	bt.Arguments = slices.Sorted(maps.Keys(bt.ConfigType.AttributeTypes()))
	bt.storedConfig, err = plan.NewTyped(bt.ConfigType)
	return bt, err
}

// Find returns the type of a block, nil if no plugin has it.
func (t *Catalogue) Find(n addr.Node) *Type { return t.types[typeKey{n.Kind, n.Type}] }

// Version returns the version of a plugin, as it says itself.
func (t *Catalogue) Version(plugin string) string { return t.versions[plugin] }

// Names returns the types of a kind.
func (t *Catalogue) Names(kind string) []string {
	var names []string
	for k := range t.types {
		if k.kind == kind {
			names = append(names, k.name)
		}
	}
	slices.Sort(names)
	return names
}

// Decides tells whether a plugin answers for an instance of the type with a decision instead of outputs.
func (b *Type) Decides() bool { return b.row.Decides }

// HasAttribute tells whether a reference to an instance may name an attribute.
func (b *Type) HasAttribute(name string) bool {
	if _, output := b.outputs[name]; output || name == kinds.Address {
		return true
	}
	return b.Schema.Has(name)
}

// AttributeNames returns what a reference to an instance may name.
func (b *Type) AttributeNames() []string {
	return append(append(slices.Collect(maps.Keys(b.outputs)), b.Schema.Names()...), kinds.Address)
}

// PluginConfig returns a configuration as the plugin sees it, without the kind's own attributes.
func (b *Type) PluginConfig(v cty.Value) cty.Value {
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

// UnknownOutputs are the outputs of what cannot be planned yet.
func (b *Type) UnknownOutputs() cty.Value {
	attrs := make(map[string]cty.Value, len(b.outputs))
	for name, t := range b.outputs {
		attrs[name] = cty.UnknownVal(t)
	}
	return cty.ObjectVal(attrs)
}
