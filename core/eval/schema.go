package eval

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/dynblock"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/davit-sh/davit/core/diag"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

// Schema is the form of a block's body: what a plugin described, made ready for decoding.
type Schema struct {
	Attributes map[string]*Attribute
	Blocks     map[string]*Nested
	names      []string // of Attributes, sorted
	required   []string // of Attributes
	sensitive  []string // of Attributes
	hides      bool     // something of it, or of a nested block, is sensitive
	body       *hcl.BodySchema
	blocks     []string // names of Blocks, sorted
	typ        cty.Type
}

// Attribute is one argument of a block.
type Attribute struct {
	Name       string
	Type       cty.Type // may have optional attributes
	Required   bool
	Sensitive  bool
	Deprecated string
	Default    cty.Value // cty.NilVal: none
}

// Nested is a nested block.
type Nested struct {
	*Schema
	List     bool
	Required bool
}

// CompileSchema makes a schema of a plugin's description and of attributes that the kind adds.
func CompileSchema(b *pluginv1.Block, kind ...*Attribute) (*Schema, error) {
	s := &Schema{Attributes: map[string]*Attribute{}, Blocks: map[string]*Nested{}, body: &hcl.BodySchema{}}
	for _, a := range b.GetAttributes() {
		t, err := ctyjson.UnmarshalType(a.GetType())
		if err != nil {
			return nil, fmt.Errorf("attribute %q: type: %w", a.GetName(), err)
		}
		attr := &Attribute{Name: a.GetName(), Type: t, Required: a.GetRequired(), Sensitive: a.GetSensitive(), Deprecated: a.GetDeprecated()}
		if a.GetDefault() != nil {
			if attr.Default, err = DecodeValue(a.GetDefault(), t); err != nil {
				return nil, fmt.Errorf("attribute %q: default: %w", a.GetName(), err)
			}
		}
		s.Attributes[attr.Name] = attr
	}
	for _, a := range kind {
		s.Attributes[a.Name] = a
	}
	types := map[string]cty.Type{}
	for name, a := range s.Attributes {
		s.names = append(s.names, name)
		if a.Required {
			s.required = append(s.required, name)
		}
		if a.Sensitive {
			s.sensitive, s.hides = append(s.sensitive, name), true
		}
		s.body.Attributes = append(s.body.Attributes, hcl.AttributeSchema{Name: name, Required: a.Required})
		types[name] = a.Type.WithoutOptionalAttributesDeep()
	}
	slices.Sort(s.names)
	slices.SortFunc(s.body.Attributes, func(a, b hcl.AttributeSchema) int { return slices.Compare([]string{a.Name}, []string{b.Name}) })
	for _, n := range b.GetBlocks() {
		inner, err := CompileSchema(n.GetBlock())
		if err != nil {
			return nil, fmt.Errorf("block %q: %w", n.GetName(), err)
		}
		nested := &Nested{Schema: inner, List: n.GetNesting() == pluginv1.NestedBlock_NESTING_LIST, Required: n.GetRequired()}
		s.Blocks[n.GetName()] = nested
		s.body.Blocks = append(s.body.Blocks, hcl.BlockHeaderSchema{Type: n.GetName()})
		s.hides = s.hides || inner.hides
		types[n.GetName()] = inner.typ
		if nested.List {
			types[n.GetName()] = cty.List(inner.typ)
		}
	}
	if len(s.Blocks) > 0 {
		s.blocks = slices.Sorted(maps.Keys(s.Blocks))
		s.body.Blocks = append(s.body.Blocks, hcl.BlockHeaderSchema{Type: dynamicBlock, LabelNames: []string{"type"}})
	}
	s.typ = cty.Object(types)
	return s, nil
}

// Type is the type of the values that Decode makes.
func (s *Schema) Type() cty.Type { return s.typ }

// Mark marks what the schema calls sensitive in a value that Decode has made, in nested blocks as well.
func (s *Schema) Mark(v cty.Value) cty.Value {
	if !s.hides || v.IsMarked() || !v.IsKnown() || v.IsNull() {
		return v
	}
	attrs := v.AsValueMap()
	for _, name := range s.sensitive {
		attrs[name] = MarkSensitive(attrs[name])
	}
	for name, nested := range s.Blocks {
		attrs[name] = nested.mark(attrs[name])
	}
	return cty.ObjectVal(attrs)
}

// mark does the same for what is made of all blocks of one name.
func (n *Nested) mark(v cty.Value) cty.Value {
	if !n.List {
		return n.Mark(v)
	}
	if !n.hides || v.IsMarked() || !v.IsKnown() || v.IsNull() || v.LengthInt() == 0 {
		return v
	}
	list := v.AsValueSlice()
	for i := range list {
		list[i] = n.Mark(list[i])
	}
	return cty.ListVal(list)
}

// Has tells whether there is an attribute or nested block of that name.
func (s *Schema) Has(name string) bool { return s.Attributes[name] != nil || s.Blocks[name] != nil }

// Names returns the names of the attributes and nested blocks, sorted.
func (s *Schema) Names() []string {
	names := slices.Clone(s.names)
	for name := range s.Blocks {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// dynamicBlock is the block that makes nested blocks out of a collection.
const dynamicBlock = "dynamic"

var dynamicSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "for_each", Required: true}, {Name: "iterator"}, {Name: "labels"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "content"}},
}

// Expr is an expression of a body, and the names that dynamic blocks around it bind.
type Expr struct {
	hcl.Expression
	Bound []string
}

// References returns the references of the expression.
func (e Expr) References() []Ref { return References(e.Expression, e.Bound...) }

// plain returns the arguments of a body that has nothing else, and no mistake in its form, as most have. For others ok is false.
func (s *Schema) plain(body hcl.Body) (args hclsyntax.Attributes, ok bool) {
	b, ok := body.(*hclsyntax.Body)
	if !ok || len(b.Blocks) > 0 {
		return nil, false
	}
	for name := range b.Attributes {
		if s.Attributes[name] == nil {
			return nil, false
		}
	}
	for _, name := range s.required {
		if b.Attributes[name] == nil {
			return nil, false
		}
	}
	for _, nested := range s.Blocks {
		if nested.Required {
			return nil, false
		}
	}
	return b.Attributes, true
}

// Expressions returns all expressions of a body, and what is wrong with its form.
func (s *Schema) Expressions(body hcl.Body, bound ...string) ([]Expr, hcl.Diagnostics) {
	if args, ok := s.plain(body); ok {
		list := make([]Expr, 0, len(args))
		for _, a := range args {
			list = append(list, Expr{a.Expr, bound})
		}
		sortExpressions(list)
		return list, nil
	}
	content, diags := body.Content(s.body)
	list := make([]Expr, 0, len(content.Attributes))
	for _, a := range content.Attributes {
		list = append(list, Expr{a.Expr, bound})
	}
	sortExpressions(list)
	for _, b := range content.Blocks {
		var inner []Expr
		var more hcl.Diagnostics
		if b.Type == dynamicBlock {
			inner, more = s.dynamicExpressions(b, bound)
		} else {
			inner, more = s.Blocks[b.Type].Expressions(b.Body, bound...)
		}
		list, diags = append(list, inner...), append(diags, more...)
	}
	return list, diags
}

func sortExpressions(list []Expr) {
	slices.SortFunc(list, func(a, b Expr) int { return a.Range().Start.Byte - b.Range().Start.Byte })
}

func (s *Schema) dynamicExpressions(b *hcl.Block, bound []string) ([]Expr, hcl.Diagnostics) {
	name := b.Labels[0]
	nested := s.Blocks[name]
	if nested == nil {
		return nil, hcl.Diagnostics{diag.Errorf(b.LabelRanges[0], "Unknown block", "A dynamic block cannot generate a block %q here.%s", name, diag.DidYouMean(name, slices.Clone(s.blocks)))}
	}
	content, diags := b.Body.Content(dynamicSchema)
	if diags.HasErrors() {
		return nil, diags
	}
	list := []Expr{{content.Attributes["for_each"].Expr, bound}}
	iterator := name
	if a := content.Attributes["iterator"]; a != nil {
		if iterator = hcl.ExprAsKeyword(a.Expr); iterator == "" {
			return list, append(diags, diag.Errorf(a.Range, "Not a name", "iterator must be a plain name, such as rule."))
		}
	}
	if len(content.Blocks) != 1 {
		return list, append(diags, diag.Errorf(b.DefRange, "Block is missing", "A dynamic block must have one content block."))
	}
	inner, more := nested.Expressions(content.Blocks[0].Body, append(slices.Clone(bound), iterator)...)
	return append(list, inner...), append(diags, more...)
}

// CheckLiterals evaluates those arguments of a body that refer to nothing, and returns what is wrong with them.
func (s *Schema) CheckLiterals(body hcl.Body, e *Evaluator) hcl.Diagnostics {
	var diags hcl.Diagnostics
	check := func(name string, x hcl.Expression) {
		if attr := s.Attributes[name]; attr != nil && IsLiteral(x) {
			_, more := attr.decode(x, s.typ.AttributeType(name), e)
			diags = append(diags, more...)
		}
	}
	if args, ok := s.plain(body); ok {
		for name, a := range args {
			check(name, a.Expr)
		}
	} else {
		content, _ := body.Content(s.body)
		for name, a := range content.Attributes {
			check(name, a.Expr)
		}
		for _, b := range content.Blocks {
			if nested := s.Blocks[b.Type]; nested != nil {
				diags = append(diags, nested.CheckLiterals(b.Body, e)...)
			}
		}
	}
	slices.SortFunc(diags, func(a, b *hcl.Diagnostic) int { return a.Subject.Start.Byte - b.Subject.Start.Byte })
	return diags
}

// IsLiteral tells whether an expression refers to nothing.
func IsLiteral(x hcl.Expression) bool {
	switch x.(type) {
	case *hclsyntax.LiteralValueExpr:
		return true
	case *hclsyntax.ScopeTraversalExpr:
		return false
	}
	return len(x.Variables()) == 0
}

// Decode evaluates a body. Attributes that are absent or null get their default.
func (s *Schema) Decode(body hcl.Body, e *Evaluator) (cty.Value, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	vals := make(map[string]cty.Value, len(s.names)+len(s.Blocks))
	decode := func(name string, x hcl.Expression) {
		v, more := s.Attributes[name].decode(x, s.typ.AttributeType(name), e)
		diags = append(diags, more...)
		vals[name] = v
	}
	args, plain := s.plain(body)
	content := &hcl.BodyContent{}
	if !plain {
		content, diags = s.content(body, e)
	}
	for _, name := range s.names {
		if a := args[name]; a != nil {
			decode(name, a.Expr)
		} else if a := content.Attributes[name]; a != nil {
			decode(name, a.Expr)
		} else {
			decode(name, nil)
		}
	}
	for _, name := range s.blocks {
		v, more := s.Blocks[name].decode(name, content, e)
		diags = append(diags, more...)
		vals[name] = v
	}
	return cty.ObjectVal(vals), diags
}

// content reads a body, with its dynamic blocks made into plain ones.
func (s *Schema) content(body hcl.Body, e *Evaluator) (*hcl.BodyContent, hcl.Diagnostics) {
	content, diags := body.Content(s.body)
	for _, b := range content.Blocks {
		if b.Type == dynamicBlock {
			ctx, more := e.context()
			if e.wrong {
				return content, append(diags, more...)
			}
			return dynblock.Expand(body, ctx).Content(s.body)
		}
	}
	return content, diags
}

// decode evaluates an argument; nil is one that is absent. want is its type without optional attributes.
func (a *Attribute) decode(x hcl.Expression, want cty.Type, e *Evaluator) (cty.Value, hcl.Diagnostics) {
	if x == nil {
		return a.orDefault(cty.NullVal(want)), nil
	}
	v, diags := e.Value(x)
	if diags.HasErrors() {
		return cty.UnknownVal(want), diags
	}
	converted, err := convert.Convert(v, a.Type)
	if err != nil {
		return cty.UnknownVal(want), append(diags, diag.Errorf(x.Range(), "Wrong type of value",
			"The argument %q must be %s.", a.Name, mismatch(a.Type, v, err)))
	}
	if a.Required && converted.IsKnown() && converted.IsNull() {
		return cty.UnknownVal(want), append(diags, diag.Errorf(x.Range(), "A required argument is null",
			"The argument %q must have a value.", a.Name))
	}
	return a.orDefault(converted), diags
}

func (a *Attribute) orDefault(v cty.Value) cty.Value {
	if a.Default != cty.NilVal && v.IsKnown() && v.IsNull() {
		return a.Default
	}
	return v
}

func (n *Nested) decode(name string, content *hcl.BodyContent, e *Evaluator) (cty.Value, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	var list []cty.Value
	unknown := false
	for _, b := range content.Blocks {
		if b.Type != name {
			continue
		}
		if !n.List && len(list) == 1 {
			diags = append(diags, diag.Errorf(b.DefRange, "Duplicate block", "Only one %s block is allowed.", name))
			continue
		}
		if made, ok := b.Body.(interface{ Unknown() bool }); ok && made.Unknown() {
			unknown = true // how many there are is not known yet
			continue
		}
		v, more := n.Decode(b.Body, e)
		diags = append(diags, more...)
		list = append(list, v)
	}
	if unknown {
		if n.List {
			return cty.UnknownVal(cty.List(n.typ)), diags
		}
		return cty.UnknownVal(n.typ), diags
	}
	if n.Required && len(list) == 0 {
		diags = append(diags, diag.Errorf(content.MissingItemRange, "A block is missing", "A %s block is required here.", name))
	}
	switch {
	case n.List && len(list) == 0:
		return cty.ListValEmpty(n.typ), diags
	case n.List:
		return cty.ListVal(list), diags
	case len(list) == 0:
		return cty.NullVal(n.typ), diags
	}
	return list[0], diags
}

// EncodeValue encodes a value for a plugin. The value must not be marked.
func EncodeValue(v cty.Value) (*pluginv1.Value, error) { return wire.Encode(v, v.Type()) }

// EncodeJSON encodes a value that is there in JSON, as a plan and a record have it.
func EncodeJSON(b []byte, t cty.Type) (*pluginv1.Value, error) {
	return wire.FromJSON(b, t.WithoutOptionalAttributesDeep())
}

// DecodeValue decodes a plugin's value as a type. No value is a null.
func DecodeValue(v *pluginv1.Value, t cty.Type) (cty.Value, error) {
	return wire.Decode(v, t.WithoutOptionalAttributesDeep())
}

// Partials returns what is known of the unknown texts among the arguments of a body, by argument. config is what Decode made of the body.
func (s *Schema) Partials(body hcl.Body, e *Evaluator, config cty.Value) map[string]PartialText {
	var out map[string]PartialText
	for _, name := range s.names {
		if s.typ.AttributeType(name) != cty.String || config.GetAttr(name).IsKnown() || config.GetAttr(name).IsMarked() {
			continue
		}
		content, _, _ := body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: name}}})
		a := content.Attributes[name]
		if a == nil {
			continue
		}
		if t, ok := e.scope.Partial(a.Expr, e.each); ok {
			out = made(out)
			out[name] = t
		}
	}
	return out
}
