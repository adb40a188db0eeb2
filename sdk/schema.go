package sdk

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// field is one tagged field of a struct.
type field struct {
	name       string
	index      []int
	codec      codec
	optional   bool
	sensitive  bool
	block      bool
	doc        string
	deprecated string
	fallback   cty.Value // NilVal: none
}

// object is the codec of a struct.
type object struct {
	goType reflect.Type
	fields []field
	t      cty.Type
}

func (o *object) typ() cty.Type { return o.t }

func (o *object) decode(d *decoder, v cty.Value, into reflect.Value, path cty.Path) {
	if !d.plainly(v, path) {
		return
	}
	for i := range o.fields {
		f := &o.fields[i]
		x := cty.NullVal(f.codec.typ().WithoutOptionalAttributesDeep())
		if v.Type().HasAttribute(f.name) {
			x = v.GetAttr(f.name)
		}
		if f.fallback != cty.NilVal && x.IsKnown() && x.IsNull() {
			x = f.fallback
		}
		f.codec.decode(d, x, into.FieldByIndex(f.index), append(path, cty.GetAttrStep{Name: f.name}))
	}
}

func (o *object) encode(v reflect.Value) (cty.Value, error) {
	attrs := make(map[string]cty.Value, len(o.fields))
	for i := range o.fields {
		f := &o.fields[i]
		x, err := f.codec.encode(v.FieldByIndex(f.index))
		if err != nil {
			return cty.NilVal, fmt.Errorf("%s: %w", f.name, err)
		}
		attrs[f.name] = x
	}
	return cty.ObjectVal(attrs), nil
}

// newObject compiles a struct. A field without a davit tag is not part of it.
func newObject(t reflect.Type) (*object, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%s is not a struct", t)
	}
	o := &object{goType: t}
	if err := o.addFields(t, nil); err != nil {
		return nil, err
	}
	types := map[string]cty.Type{}
	var optional []string
	for _, f := range o.fields {
		if _, twice := types[f.name]; twice {
			return nil, fmt.Errorf("%s has two fields named %q", t, f.name)
		}
		types[f.name] = f.codec.typ()
		if f.optional {
			optional = append(optional, f.name)
		}
	}
	o.t = cty.ObjectWithOptionalAttrs(types, optional)
	return o, nil
}

func (o *object) addFields(t reflect.Type, index []int) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(slices.Clone(index), i)
		if sf.Anonymous && sf.Type.Kind() == reflect.Struct && sf.Tag.Get("davit") == "" {
			if err := o.addFields(sf.Type, at); err != nil {
				return err
			}
			continue
		}
		tag := sf.Tag.Get("davit")
		if tag == "" || tag == "-" {
			continue
		}
		if !sf.IsExported() {
			return fmt.Errorf("%s.%s has a davit tag and is not exported", t, sf.Name)
		}
		f, err := newField(sf, tag)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", t, sf.Name, err)
		}
		f.index = at
		o.fields = append(o.fields, f)
	}
	return nil
}

func newField(sf reflect.StructField, tag string) (field, error) {
	name, options, _ := strings.Cut(tag, ",")
	f := field{name: name, doc: sf.Tag.Get("doc"), deprecated: sf.Tag.Get("deprecated")}
	for _, o := range strings.Split(options, ",") {
		switch o {
		case "":
		case "optional":
			f.optional = true
		case "sensitive":
			f.sensitive = true
		case "block":
			f.block = true
			f.optional = true
		default:
			return f, fmt.Errorf("unknown option %q in the davit tag", o)
		}
	}
	var err error
	if f.codec, err = newCodec(sf.Type); err != nil {
		return f, err
	}
	if text, ok := sf.Tag.Lookup("default"); ok {
		f.optional = true
		if f.fallback, err = parseDefault(text, f.codec.typ()); err != nil {
			return f, err
		}
	}
	if f.block && structOf(f.codec) == nil {
		return f, fmt.Errorf("a block is a pointer to a struct, or a slice of structs")
	}
	return f, nil
}

// structOf is the struct behind a block field.
func structOf(c codec) *object {
	switch c := c.(type) {
	case pointer:
		o, _ := c.elem.(*object)
		return o
	case list:
		o, _ := c.elem.(*object)
		return o
	}
	return nil
}

func newCodec(t reflect.Type) (codec, error) {
	if _, ok := reflect.New(t).Interface().(anyValue); ok {
		inner, err := newCodec(reflect.New(t).Interface().(anyValue).elem())
		return value{inner}, err
	}
	switch t.Kind() {
	case reflect.String:
		return scalar{cty.String}, nil
	case reflect.Bool:
		return scalar{cty.Bool}, nil
	case reflect.Int, reflect.Int64:
		if t == reflect.TypeFor[Duration]() {
			return scalar{cty.String}, nil
		}
		return scalar{cty.Number}, nil
	case reflect.Float64:
		return scalar{cty.Number}, nil
	case reflect.Struct:
		return newObject(t)
	case reflect.Pointer:
		inner, err := newCodec(t.Elem())
		return pointer{inner}, err
	case reflect.Slice:
		inner, err := newCodec(t.Elem())
		return list{inner}, err
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return nil, fmt.Errorf("a map needs string keys, not %s", t.Key())
		}
		inner, err := newCodec(t.Elem())
		return mapping{inner}, err
	}
	return nil, fmt.Errorf("the type %s has no place in a configuration", t)
}

// describe turns the struct into the protocol's form.
func (o *object) describe() (*pluginv1.Block, error) {
	b := &pluginv1.Block{}
	for _, f := range o.fields {
		if f.block {
			inner, err := structOf(f.codec).describe()
			if err != nil {
				return nil, err
			}
			nesting := pluginv1.NestedBlock_NESTING_SINGLE
			if _, many := f.codec.(list); many {
				nesting = pluginv1.NestedBlock_NESTING_LIST
			}
			b.Blocks = append(b.Blocks, &pluginv1.NestedBlock{Name: f.name, Nesting: nesting, Block: inner, Description: f.doc})
			continue
		}
		t, err := ctyjson.MarshalType(f.codec.typ())
		if err != nil {
			return nil, err
		}
		a := &pluginv1.Attribute{Name: f.name, Type: t, Required: !f.optional, Sensitive: f.sensitive, Description: f.doc, Deprecated: f.deprecated}
		if f.fallback != cty.NilVal {
			j, err := ctyjson.Marshal(f.fallback, f.fallback.Type())
			if err != nil {
				return nil, err
			}
			a.Default = &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: j}}
		}
		b.Attributes = append(b.Attributes, a)
	}
	return b, nil
}

// unknown returns an object of which nothing is known.
func (o *object) unknown() cty.Value {
	attrs := make(map[string]cty.Value, len(o.fields))
	for _, f := range o.fields {
		attrs[f.name] = cty.UnknownVal(f.codec.typ().WithoutOptionalAttributesDeep())
	}
	return cty.ObjectVal(attrs)
}

// has tells whether the struct has the named fields, and names one that is missing.
func (o *object) lacks(names ...string) string {
	for _, n := range names {
		if !slices.ContainsFunc(o.fields, func(f field) bool { return f.name == n }) {
			return n
		}
	}
	return ""
}
