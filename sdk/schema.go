package sdk

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/sdk/internal/msgpack"
)

// field is one tagged field of a struct.
type field struct {
	name       string
	key        msgpack.Raw // the name on the wire
	index      []int
	codec      codec
	optional   bool
	sensitive  bool
	block      bool
	doc        string
	deprecated string
	fallback   cty.Value   // NilVal: none
	preset     msgpack.Raw // the fallback on the wire; empty: none
	rule       *rule       // nil: none
}

// object is the codec of a struct.
type object struct {
	form
	goType  reflect.Type
	fields  []field
	sorted  []int     // indexes of fields, by their names: the order on the wire
	unknown cty.Value // an object of which no attribute is known
}

// place is where a struct stands, which decides what its tags may say.
type place int

const (
	inConfig  place = iota // a type's configuration, and nested blocks
	inOutputs              // a type's outputs
	inObject               // the value of an attribute
)

func (o *object) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	if !d.plainly(r, msgpack.Map, o.t) {
		return
	}
	first := len(d.raws)
	if !o.split(d, r) {
		return
	}
	for i := range o.fields {
		f := &o.fields[i]
		x := d.raws[first+i]
		if f.preset != "" && x.Kind() == msgpack.Nil {
			x = f.preset
		}
		d.in(Step{name: f.name})
		f.decode(d, x, into.FieldByIndex(f.index))
		d.out()
	}
	d.raws = d.raws[:first]
}

// split puts the attributes of an object at the end of the decoder's, in the order of the fields.
func (o *object) split(d *decoder, r msgpack.Raw) bool {
	n, rest := r.Elements()
	if n != len(o.fields) {
		d.misfit(fmt.Sprintf("an object of %d attributes is required, not of %d", len(o.fields), n))
		return false
	}
	first := len(d.raws)
	d.raws = slices.Grow(d.raws, n)[:first+n]
	raws := d.raws[first:]
	clear(raws)
	for i := range n {
		var key msgpack.Raw
		key, rest = rest.Cut()
		at := o.sorted[i] // davit sends them in this order
		if f := &o.fields[at]; key != f.key {
			at = slices.IndexFunc(o.fields, func(f field) bool { return key.Kind() == msgpack.Text && key.Text() == f.name })
		}
		if at < 0 || raws[at] != "" {
			d.misfit(fmt.Sprintf("the attribute %q does not exist or occurs twice", string(key)))
			return false
		}
		raws[at], rest = d.next(rest, o.fields[at].codec)
	}
	return true
}

func (f *field) decode(d *decoder, r msgpack.Raw, into reflect.Value) {
	before := len(d.errs)
	f.codec.decode(d, r, into)
	if f.sensitive && len(d.errs) > before { // the messages have the value in them
		d.errs = d.errs[:before]
		d.fail("this value has the wrong type")
	}
	if len(d.errs) == before && d.unfit == nil {
		f.judge(d, r)
	}
}

// judge checks what the tags say of a value besides its type.
func (f *field) judge(d *decoder, r msgpack.Raw) {
	if f.rule != nil {
		broken := f.rule.check(r, d.at)
		if f.sensitive && len(broken) > 0 { // the messages have the value in them
			broken = Errors{Errorf(slices.Clone(d.at), "this value is not allowed%s", f.rule.hidden())}
		}
		d.broken = append(d.broken, broken...)
	}
	if f.deprecated != "" && r.Kind() != msgpack.Nil && r != f.preset {
		d.deprecated = append(d.deprecated, &Error{
			Summary: f.name + " is deprecated", Detail: f.deprecated, Code: "deprecated", Path: slices.Clone(d.at), Warning: true,
		})
	}
}

func (o *object) encode(b []byte, v reflect.Value) ([]byte, error) {
	b = msgpack.AppendMap(b, len(o.fields))
	for _, i := range o.sorted {
		f := &o.fields[i]
		var err error
		if b, err = f.codec.encode(append(b, f.key...), v.FieldByIndex(f.index)); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return b, nil
}

// compiler makes codecs of types.
type compiler struct {
	open []reflect.Type // the structs that are being compiled
}

// object compiles a struct. A field without a davit tag is not part of it.
func (c *compiler) object(t reflect.Type, at place) (*object, error) {
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%s is not a struct", t)
	}
	if slices.Contains(c.open, t) {
		return nil, fmt.Errorf("%s contains itself: a schema must be finite", t)
	}
	c.open = append(c.open, t)
	defer func() { c.open = c.open[:len(c.open)-1] }()
	o := &object{goType: t}
	if err := c.addFields(o, t, nil, at); err != nil {
		return nil, err
	}
	types, unknown := map[string]cty.Type{}, map[string]cty.Value{}
	var optional []string
	for _, f := range o.fields {
		if _, twice := types[f.name]; twice {
			return nil, fmt.Errorf("%s has two fields named %q", t, f.name)
		}
		types[f.name] = f.codec.typ()
		unknown[f.name] = cty.UnknownVal(f.codec.null().Type())
		if f.optional {
			optional = append(optional, f.name)
		}
	}
	if at == inObject && len(types) == 0 {
		return nil, fmt.Errorf("%s has no fields with a davit tag", t)
	}
	o.sorted = make([]int, len(o.fields))
	for i := range o.sorted {
		o.sorted[i] = i
	}
	slices.SortFunc(o.sorted, func(a, b int) int { return strings.Compare(o.fields[a].name, o.fields[b].name) })
	o.form, o.unknown = formOf(cty.ObjectWithOptionalAttrs(types, optional)), cty.ObjectVal(unknown)
	return o, nil
}

func (c *compiler) addFields(o *object, t reflect.Type, index []int, at place) error {
	for i := range t.NumField() {
		sf := t.Field(i)
		index := append(slices.Clone(index), i)
		tag := sf.Tag.Get("davit")
		if sf.Anonymous && tag == "" {
			switch {
			case sf.Type.Kind() == reflect.Struct:
				if err := c.addFields(o, sf.Type, index, at); err != nil {
					return err
				}
			case sf.Type.Kind() == reflect.Pointer:
				return fmt.Errorf("%s embeds a pointer: embed %s itself", t, sf.Type.Elem())
			}
			continue
		}
		if tag == "" || tag == "-" {
			continue
		}
		if !sf.IsExported() {
			return fmt.Errorf("%s.%s has a davit tag but is not exported", t, sf.Name)
		}
		f, err := c.field(sf, tag, at)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", t, sf.Name, err)
		}
		f.index = index
		o.fields = append(o.fields, f)
	}
	return nil
}

var reName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

func (c *compiler) field(sf reflect.StructField, tag string, at place) (field, error) {
	name, options, _ := strings.Cut(tag, ",")
	f := field{name: name, key: msgpack.Raw(msgpack.AppendText(nil, name)), doc: sf.Tag.Get("doc"), deprecated: sf.Tag.Get("deprecated")}
	if !reName.MatchString(name) {
		return f, fmt.Errorf("%q is not a name: use lower-case letters, digits and _", name)
	}
	for o := range strings.SplitSeq(options, ",") {
		switch o {
		case "":
		case "optional":
			f.optional = true
		case "sensitive":
			f.sensitive = true
		case "block":
			f.block, f.optional = true, true
		default:
			return f, fmt.Errorf("unknown option %q in the davit tag", o)
		}
	}
	if err := f.fits(at); err != nil {
		return f, err
	}
	inside := inObject
	if f.block {
		inside = inConfig
	}
	var err error
	if f.codec, err = c.codec(sf.Type, inside); err != nil {
		return f, err
	}
	if f.rule, err = parseRule(sf.Tag, f.codec.typ()); err != nil {
		return f, err
	}
	if f.rule != nil && (f.block || at != inConfig) {
		return f, errors.New("pattern, enum, min and max are for the attributes of a configuration and of blocks in it")
	}
	text, ok := sf.Tag.Lookup("default")
	switch {
	case f.block && structOf(f.codec) == nil:
		return f, errors.New("a block must be a pointer to a struct or a slice of structs")
	case f.block && ok:
		return f, errors.New("a block has no default; its attributes may have")
	case ok:
		f.optional = true
		if f.fallback, f.preset, err = parseDefault(text, f.codec, sf.Type); err != nil || f.rule == nil {
			return f, err
		}
		if broken := f.rule.check(f.preset, nil); len(broken) > 0 {
			err = fmt.Errorf("the default: %w", broken)
		}
	}
	return f, err
}

// fits tells whether what the tag says can be said there: in an object it would be lost.
func (f *field) fits(at place) error {
	switch {
	case f.block && at != inConfig:
		return errors.New("a block can only be in a configuration or in another block")
	case f.block && f.sensitive:
		return errors.New("a block cannot be sensitive; its attributes can")
	case f.sensitive && at == inObject:
		return errors.New("only an attribute of a block can be sensitive, not one of an object; make the whole attribute sensitive, or the object a block")
	case f.deprecated != "" && at == inObject:
		return errors.New("only an attribute of a block can be deprecated, not one of an object")
	}
	return nil
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

func (c *compiler) codec(t reflect.Type, at place) (codec, error) {
	if v, ok := reflect.TypeAssert[anyValue](reflect.New(t)); ok {
		inner := v.elem()
		if _, twice := reflect.TypeAssert[anyValue](reflect.New(inner)); twice || inner.Kind() == reflect.Pointer {
			return nil, fmt.Errorf("%s: a Value can be null by itself, so it must not contain a pointer or another Value", t)
		}
		in, err := c.codec(inner, at)
		if err != nil {
			return nil, err
		}
		return newValueCodec(in), nil
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return duration{formOf(cty.String)}, nil
	case reflect.TypeFor[time.Duration]():
		return nil, errors.New("use sdk.Duration instead of time.Duration")
	case reflect.TypeFor[time.Time]():
		return nil, errors.New("use a string in the form of RFC 3339 instead of time.Time")
	}
	switch t.Kind() {
	case reflect.String:
		return text{formOf(cty.String)}, nil
	case reflect.Bool:
		return boolean{formOf(cty.Bool)}, nil
	case reflect.Int, reflect.Int64:
		return integer{formOf(cty.Number)}, nil
	case reflect.Float64:
		return float{formOf(cty.Number)}, nil
	case reflect.Struct:
		o, err := c.object(t, at)
		if err != nil {
			return nil, err
		}
		return o, nil
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return c.container(t, at)
	}
	return nil, fmt.Errorf("the type %s is not supported in a configuration: use string, bool, int, int64, float64, sdk.Duration, "+
		"sdk.Value, or structs, slices, maps and pointers of them", t)
}

func (c *compiler) container(t reflect.Type, at place) (codec, error) {
	if t.Kind() == reflect.Map && t.Key().Kind() != reflect.String {
		return nil, fmt.Errorf("a map needs string keys, not %s", t.Key())
	}
	inner, err := c.codec(t.Elem(), at)
	if err != nil {
		return nil, err
	}
	switch t.Kind() {
	case reflect.Slice:
		return list{formOf(cty.List(inner.typ())), inner, reflect.MakeSlice(t, 0, 0)}, nil
	case reflect.Map:
		return newMapping(t, inner), nil
	}
	switch inner.(type) {
	case pointer, value, list, mapping:
		return nil, fmt.Errorf("%s: a pointer points to a struct, a string, a number or a bool", t)
	}
	return pointer{formOf(inner.typ()), inner}, nil
}
