package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/davit-sh/davit/core/eval"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// FileNames are the names under which a file of examples is found beside a plugin.
var FileNames = []string{"davit-plugin-test.hcl", "davit-plugin-test.json"}

// Examples are what a plugin's author says of its types, in HCL or JSON:
//
//	env = ["TOKEN"]                     # further environment variables that the plugin may see
//
//	test "source" "http" {
//	  config  = { url = env("URL") }    # works
//	  changed = { url = "..." }         # works as well, and is a change
//	  invalid = { url = "not a url" }   # does not; a list for several
//	  slow    = { ... }                 # its apply takes long enough to be cancelled
//	  tag     = "1.0"                   # image: one that is there
//	  tags    = ["1.0", "1.1"]          # policy: what to choose from
//	  id      = "x"                     # what to import
//	  needs   = "a cluster"             # what is not here, without which nothing can be planned
//	}
//
// Besides env there are the function source("folder"), a source block with the files of a folder beside this file,
// and the variables here, the folder of this file, and folder, an empty folder of the test that is also the stack's.
type Examples struct {
	File string
	Env  []string
	Args []string

	types map[string]hcl.Body // by "kind.type"
	used  map[string]bool
}

var fileSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "env"}, {Name: "args"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "test", LabelNames: []string{"kind", "type"}}},
}

// LoadExamples reads a file of examples.
func LoadExamples(file string) (*Examples, error) {
	e, parser := &Examples{File: file, types: map[string]hcl.Body{}, used: map[string]bool{}}, hclparse.NewParser()
	var f *hcl.File
	var diags hcl.Diagnostics
	if strings.HasSuffix(file, ".json") {
		f, diags = parser.ParseJSONFile(file)
	} else {
		f, diags = parser.ParseHCLFile(file)
	}
	if diags.HasErrors() {
		return nil, diags
	}
	content, diags := f.Body.Content(fileSchema)
	if diags.HasErrors() {
		return nil, diags
	}
	for name, list := range map[string]*[]string{"env": &e.Env, "args": &e.Args} {
		if a := content.Attributes[name]; a != nil {
			v, diags := a.Expr.Value(nil)
			if diags.HasErrors() {
				return nil, diags
			}
			var err error
			if *list, err = texts(v); err != nil {
				return nil, fmt.Errorf("%s: %s must be a list of strings: %w", a.Range, name, err)
			}
		}
	}
	for _, b := range content.Blocks {
		key := b.Labels[0] + "." + b.Labels[1]
		if e.types[key] != nil {
			return nil, fmt.Errorf("%s: %s has two tests", b.DefRange, key)
		}
		e.types[key] = b.Body
	}
	return e, nil
}

// FindExamples reads the file of examples beside a plugin, if there is one.
func FindExamples(plugin string) (*Examples, error) {
	for _, name := range FileNames {
		file := filepath.Join(filepath.Dir(plugin), name)
		if _, err := os.Stat(file); err == nil {
			return LoadExamples(file)
		}
	}
	return &Examples{}, nil
}

func texts(v cty.Value) ([]string, error) {
	v, err := convert.Convert(v, cty.List(cty.String))
	if err != nil || v.IsNull() || !v.IsWhollyKnown() {
		return nil, errors.Join(err)
	}
	var list []string
	for it := v.ElementIterator(); it.Next(); {
		if _, s := it.Element(); !s.IsNull() {
			list = append(list, s.AsString())
		}
	}
	return list, nil
}

// use notes that the plugin has a type.
func (e *Examples) use(t *pluginv1.Type) {
	if e.used != nil {
		e.used[typeName(t)] = true
	}
}

// unused names a test of a type that the plugin does not have.
func (e *Examples) unused() string {
	for key := range e.types {
		if !e.used[key] {
			return key
		}
	}
	return ""
}

// example is what there is for one type. A value that is cty.NilVal was not given.
type example struct {
	config, changed, slow cty.Value
	invalid               []cty.Value
	tag                   string
	tags                  []string
	id, needs             string
	made                  bool // of the schema
}

var testSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "config"}, {Name: "changed"}, {Name: "slow"}, {Name: "invalid"}, {Name: "tag"}, {Name: "tags"}, {Name: "id"}, {Name: "needs"},
}}

// of evaluates the test of one type, or makes one of its schema.
func (e *Examples) of(s *suite, t *pluginv1.Type) (example, error) {
	x := example{tags: []string{"1.0.0", "1.1.0", "2.0.0", "2.1.0-rc.1", "latest"}}
	body := e.types[typeName(t)]
	if body == nil {
		x.made, x.config = true, sampleBlock(t.GetConfig())
		x.changed = alter(t.GetConfig(), x.config)
		x.invalid = violations(t.GetConfig(), x.config)
		return x, nil
	}
	content, diags := body.Content(testSchema)
	if diags.HasErrors() {
		return x, diags
	}
	ctx := e.context(s)
	for name, into := range map[string]*cty.Value{"config": &x.config, "changed": &x.changed, "slow": &x.slow} {
		if err := e.config(ctx, t, content.Attributes[name], into); err != nil {
			return x, err
		}
	}
	if x.config == cty.NilVal {
		x.made, x.config = true, sampleBlock(t.GetConfig())
	}
	if err := e.invalid(ctx, t, content.Attributes["invalid"], &x); err != nil {
		return x, err
	}
	if x.invalid == nil {
		x.invalid = violations(t.GetConfig(), x.config)
	}
	for name, into := range map[string]*string{"tag": &x.tag, "id": &x.id, "needs": &x.needs} {
		if err := text(ctx, content.Attributes[name], into); err != nil {
			return x, err
		}
	}
	if a := content.Attributes["tags"]; a != nil {
		v, diags := a.Expr.Value(ctx)
		if diags.HasErrors() {
			return x, diags
		}
		var err error
		if x.tags, err = texts(v); err != nil {
			return x, fmt.Errorf("%s: tags must be a list of strings: %w", a.Range, err)
		}
	}
	return x, nil
}

func text(ctx *hcl.EvalContext, a *hcl.Attribute, into *string) error {
	if a == nil {
		return nil
	}
	v, diags := a.Expr.Value(ctx)
	if diags.HasErrors() {
		return diags
	}
	v, err := convert.Convert(v, cty.String)
	if err != nil || v.IsNull() || !v.IsKnown() {
		return fmt.Errorf("%s: %s must be a string", a.Range, a.Name)
	}
	*into = v.AsString()
	return nil
}

func (e *Examples) config(ctx *hcl.EvalContext, t *pluginv1.Type, a *hcl.Attribute, into *cty.Value) error {
	if a == nil {
		return nil
	}
	v, diags := a.Expr.Value(ctx)
	if diags.HasErrors() {
		return diags
	}
	var err error
	if *into, err = fill(t.GetConfig(), v); err != nil {
		return fmt.Errorf("%s: %s of %s: %w", a.Range, a.Name, typeName(t), err)
	}
	return nil
}

func (e *Examples) invalid(ctx *hcl.EvalContext, t *pluginv1.Type, a *hcl.Attribute, x *example) error {
	if a == nil {
		return nil
	}
	v, diags := a.Expr.Value(ctx)
	if diags.HasErrors() {
		return diags
	}
	list := []cty.Value{v}
	if v.Type().IsTupleType() {
		list = v.AsValueSlice()
	}
	for _, v := range list {
		full, err := fill(t.GetConfig(), v)
		if err != nil {
			return fmt.Errorf("%s: invalid of %s does not fit the schema, which davit checks by itself: %w", a.Range, typeName(t), err)
		}
		x.invalid = append(x.invalid, full)
	}
	return nil
}

// context is what expressions of the file may use.
func (e *Examples) context(s *suite) *hcl.EvalContext {
	one := []function.Parameter{{Name: "name", Type: cty.String}}
	source := cty.Object(map[string]cty.Type{
		"address": cty.String, "revision": cty.String, "time": cty.String,
		"tree": cty.Object(map[string]cty.Type{"digest": cty.String, "path": cty.String}),
	})
	return &hcl.EvalContext{
		Variables: map[string]cty.Value{"folder": cty.StringVal(s.folder), "here": cty.StringVal(filepath.Dir(e.File))},
		Functions: map[string]function.Function{
			"env": function.New(&function.Spec{Params: one, Type: function.StaticReturnType(cty.String), Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				v, ok := os.LookupEnv(args[0].AsString())
				if !ok {
					return cty.NilVal, fmt.Errorf("the environment variable %s is not set", args[0].AsString())
				}
				return cty.StringVal(v), nil
			}}),
			"source": function.New(&function.Spec{Params: one, Type: function.StaticReturnType(source), Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return sourceOf(s.cache, filepath.Join(filepath.Dir(e.File), args[0].AsString()))
			}}),
		},
	}
}

// sourceOf puts a folder's files into the cache and gives a source block that has them.
func sourceOf(cache, folder string) (cty.Value, error) {
	t, err := tree.Open(sdk.Tree{Path: folder})
	if err != nil {
		return cty.NilVal, err
	}
	kept, err := tree.Write(context.Background(), cache, t.Entries(), func(e tree.Entry) (io.ReadCloser, error) {
		f, err := t.FS().Open(e.Path)
		return f, err
	})
	if err != nil {
		return cty.NilVal, err
	}
	return cty.ObjectVal(map[string]cty.Value{
		"address": cty.StringVal("source.test.files"), "revision": cty.StringVal(kept.Digest), "time": cty.StringVal("2026-01-02T03:04:05Z"),
		"tree": cty.ObjectVal(map[string]cty.Value{"digest": cty.StringVal(kept.Digest), "path": cty.StringVal(kept.Path)}),
	}), nil
}

// fill makes a whole configuration of what was given: what is absent gets its default, or null.
func fill(b *pluginv1.Block, given cty.Value) (cty.Value, error) {
	if !given.Type().IsObjectType() && !given.Type().IsMapType() || given.IsNull() {
		return cty.NilVal, fmt.Errorf("a configuration must be an object, not %s", given.Type().FriendlyName())
	}
	schema, err := eval.CompileSchema(b)
	if err != nil {
		return cty.NilVal, err
	}
	values := given.AsValueMap()
	for n := range values {
		if !schema.Has(n) {
			return cty.NilVal, fmt.Errorf("it has no argument %q; its arguments are %s", n, strings.Join(schema.Names(), ", "))
		}
	}
	out := map[string]cty.Value{}
	for n, a := range schema.Attributes {
		want := a.Type.WithoutOptionalAttributesDeep()
		v, ok := values[n]
		switch {
		case ok:
			if out[n], err = convert.Convert(v, a.Type); err != nil {
				return cty.NilVal, fmt.Errorf("%s: %w", n, err)
			}
		case a.Default != cty.NilVal:
			out[n] = a.Default
		default:
			out[n] = cty.NullVal(want)
		}
		if a.Required && out[n].IsNull() {
			return cty.NilVal, fmt.Errorf("the argument %q is required", n)
		}
	}
	for _, n := range b.GetBlocks() {
		if out[n.GetName()], err = fillBlock(n, schema.Blocks[n.GetName()].Type(), values[n.GetName()]); err != nil {
			return cty.NilVal, fmt.Errorf("%s: %w", n.GetName(), err)
		}
	}
	return cty.ObjectVal(out), nil
}

func fillBlock(n *pluginv1.NestedBlock, typ cty.Type, given cty.Value) (cty.Value, error) {
	many := n.GetNesting() == pluginv1.NestedBlock_NESTING_LIST
	var list []cty.Value
	switch {
	case given == cty.NilVal || given.IsNull():
	case given.Type().IsTupleType() || given.Type().IsListType():
		list = given.AsValueSlice()
	default:
		list = []cty.Value{given}
	}
	if !many && len(list) > 1 {
		return cty.NilVal, errors.New("only one such block is allowed")
	}
	list = slices.Clone(list)
	for i, v := range list {
		var err error
		if list[i], err = fill(n.GetBlock(), v); err != nil {
			return cty.NilVal, err
		}
	}
	switch {
	case many && len(list) == 0:
		return cty.ListValEmpty(typ), nil
	case many:
		return cty.ListVal(list), nil
	case len(list) == 0:
		return cty.NullVal(typ), nil
	}
	return list[0], nil
}
