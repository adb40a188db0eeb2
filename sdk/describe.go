package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// parseDefault reads the default tag: the text itself for strings and durations, JSON for others.
func parseDefault(text string, c codec, t reflect.Type) (cty.Value, msgpack.Raw, error) {
	v, err := defaultValue(text, c.null().Type())
	if err != nil {
		return cty.NilVal, "", fmt.Errorf("the default %s: %w", strconv.Quote(text), err)
	}
	r, err := rawOf(v)
	if err == nil {
		var said notes
		if said, err = decode(c, r, reflect.New(t).Elem()); err == nil {
			err = said.err()
		}
	}
	if err != nil {
		return cty.NilVal, "", fmt.Errorf("the default %s: %w", strconv.Quote(text), err)
	}
	return v, r, nil
}

func defaultValue(text string, t cty.Type) (cty.Value, error) {
	if t.IsPrimitiveType() {
		return convert.Convert(cty.StringVal(text), t)
	}
	if !json.Valid([]byte(text)) {
		return cty.NilVal, fmt.Errorf("it is not JSON")
	}
	return ctyjson.Unmarshal([]byte(text), t)
}

// describe turns a type into the protocol's form.
func (t *typeInfo) describe() (*pluginv1.Type, error) {
	config, err := t.config.describe()
	if err != nil {
		return nil, err
	}
	outputs, err := t.outputs.describe()
	if err != nil {
		return nil, err
	}
	return &pluginv1.Type{Kind: t.kind, Name: t.name, Description: t.description, Config: config, Outputs: outputs, CannotRecover: t.cannotRecover, CanImport: t.imported != nil, CanWatch: t.watch != nil}, nil
}

func (o *object) describe() (*pluginv1.Block, error) {
	b := &pluginv1.Block{}
	for i := range o.fields {
		f := &o.fields[i]
		if f.block {
			n, err := f.describeBlock()
			if err != nil {
				return nil, err
			}
			b.Blocks = append(b.Blocks, n)
			continue
		}
		a, err := f.describe()
		if err != nil {
			return nil, err
		}
		b.Attributes = append(b.Attributes, a)
	}
	return b, nil
}

func (f *field) describeBlock() (*pluginv1.NestedBlock, error) {
	inner, err := structOf(f.codec).describe()
	if err != nil {
		return nil, err
	}
	nesting := pluginv1.NestedBlock_NESTING_SINGLE
	if _, many := f.codec.(list); many {
		nesting = pluginv1.NestedBlock_NESTING_LIST
	}
	return &pluginv1.NestedBlock{Name: f.name, Nesting: nesting, Block: inner, Description: f.doc}, nil
}

func (f *field) describe() (*pluginv1.Attribute, error) {
	t, err := ctyjson.MarshalType(f.codec.typ())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	a := &pluginv1.Attribute{Name: f.name, Type: t, Required: !f.optional, Sensitive: f.sensitive, Description: f.doc, Deprecated: f.deprecated}
	f.rule.describe(a)
	if f.fallback != cty.NilVal {
		j, err := ctyjson.Marshal(f.fallback, f.fallback.Type())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		a.Default = &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: j}}
	}
	return a, nil
}

func (o *object) field(name string) *field {
	if i := slices.IndexFunc(o.fields, func(f field) bool { return f.name == name }); i >= 0 {
		return &o.fields[i]
	}
	return nil
}
