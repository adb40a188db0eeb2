package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/internal/text"
)

// labels says how many labels each block form has.
var labels = labelCounts()

func labelCounts() map[string]int {
	counts := map[string]int{
		"davit": 0, "locals": 0, "variable": 1, "output": 1,
		"module": 1, "moved": 0, "removed": 0, "import": 0, "check": 1, "gate": 1, "credentials": 1,
	}
	for _, kind := range Kinds {
		counts[kind] = 2
	}
	return counts
}

// ofStack are the blocks that only the stack itself can have.
var ofStack = []string{"davit", "credentials", "gate"}

// addFile adds what a file declares. Only the root module's files have davit and credentials blocks.
func (m *Module) addFile(s *Stack, body hcl.Body, root bool) hcl.Diagnostics {
	b := body.(*hclsyntax.Body)
	var diags hcl.Diagnostics
	for _, a := range sortedAttributes(b) {
		diags = append(diags, diag.Errorf(a.SrcRange, "Unexpected argument",
			"The argument %q is outside of any block. Move it into a block or into locals.", a.Name))
	}
	for _, block := range b.Blocks {
		want, known := labels[block.Type]
		if !known {
			names := make([]string, 0, len(labels))
			for name := range labels {
				names = append(names, name)
			}
			diags = append(diags, diag.Errorf(block.TypeRange, "Unknown kind of block",
				"The block type %q does not exist.%s", block.Type, diag.DidYouMean(block.Type, names)))
			continue
		}
		if len(block.Labels) != want {
			diags = append(diags, diag.Errorf(block.DefRange(), "Wrong number of labels",
				"A %s block has %s, but this one has %d: %s.", block.Type, text.Count(want, "label"), len(block.Labels), example(block.Type)))
			continue
		}
		add := m.addBlock
		switch block.Type {
		case "davit":
			add = s.addSettings
		case "credentials":
			add = s.addCredentials
		case "gate":
			add = s.addGate
		}
		if slices.Contains(ofStack, block.Type) && !root {
			diags = append(diags, diag.Errorf(block.DefRange(), "Settings in a module", "A module cannot have a %s block. Move it to the stack that calls the module.", block.Type))
			continue
		}
		diags = append(diags, add(block)...)
	}
	return diags
}

func example(kind string) string {
	if kind == "credentials" {
		return kind + ` "git" { ... }`
	}
	switch labels[kind] {
	case 0:
		return kind + " { ... }"
	case 1:
		return kind + ` "name" { ... }`
	}
	return kind + ` "type" "name" { ... }`
}

func sortedAttributes(b *hclsyntax.Body) []*hclsyntax.Attribute {
	list := make([]*hclsyntax.Attribute, 0, len(b.Attributes))
	for _, a := range b.Attributes {
		list = append(list, a)
	}
	slices.SortFunc(list, func(x, y *hclsyntax.Attribute) int { return x.SrcRange.Start.Byte - y.SrcRange.Start.Byte })
	return list
}

func (m *Module) addBlock(block *hclsyntax.Block) hcl.Diagnostics {
	for i, l := range block.Labels {
		if !hclsyntax.ValidIdentifier(l) {
			return hcl.Diagnostics{diag.Errorf(block.LabelRanges[i], "Not a name",
				"%q is not a name: use letters, digits, _ and -, and begin with a letter.", l)}
		}
	}
	switch block.Type {
	case "locals":
		return m.addLocals(block)
	case "variable":
		return m.addVariable(block)
	case "output":
		return m.addOutput(block)
	case "module":
		return m.addCall(block)
	case "moved":
		return m.addMoved(block)
	case "removed":
		return m.addRemoved(block)
	case "import":
		return m.addImport(block)
	case "check":
		return m.addCheck(block)
	}
	return m.addKind(block)
}

// duplicate is the one text for a name that is there twice.
func duplicate(what string, again, first hcl.Range) hcl.Diagnostics {
	return hcl.Diagnostics{diag.Errorf(again, "Declared twice", "%s is already declared at %s:%d. Rename or remove one of them.", what, first.Filename, first.Start.Line)}
}

func (m *Module) addLocals(block *hclsyntax.Block) hcl.Diagnostics {
	attrs, diags := block.Body.JustAttributes()
	for _, name := range sortedKeys(attrs) {
		a := attrs[name]
		if old := m.Locals[name]; old != nil {
			diags = append(diags, duplicate("local."+name, a.NameRange, old.Range)...)
			continue
		}
		m.Locals[name] = &Local{Name: name, Expr: a.Expr, Range: a.Range}
	}
	return diags
}

func sortedKeys(attrs hcl.Attributes) []string {
	names := make([]string, 0, len(attrs))
	for name := range attrs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

var variableSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "type"}, {Name: "default"}, {Name: "description"}, {Name: "sensitive"}, {Name: "nullable"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "validation"}},
}

// reservedVariables are the names of what a module block means itself, now or later.
var reservedVariables = []string{"source", "version", "providers", "count", "for_each", "lifecycle", "depends_on", "locals"}

var conditionSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "condition", Required: true}, {Name: "error_message", Required: true}}}

func (m *Module) addVariable(block *hclsyntax.Block) hcl.Diagnostics {
	name := block.Labels[0]
	if old := m.Variables[name]; old != nil {
		return duplicate("variable "+name, block.DefRange(), old.Range)
	}
	if slices.Contains(reservedVariables, name) {
		return hcl.Diagnostics{diag.Errorf(block.LabelRanges[0], "A name that no variable can have",
			"The module block reserves the name %q, so a module could never get a value for it. Use another name.", name)}
	}
	content, diags := block.Body.Content(variableSchema)
	v := &Variable{Name: name, Nullable: true, Range: block.DefRange()}
	m.Variables[name] = v
	if a := content.Attributes["type"]; a != nil {
		v.Type = a.Expr
	}
	if a := content.Attributes["default"]; a != nil {
		v.Default = a.Expr
	}
	diags = append(diags, literal(content.Attributes["description"], &v.Description)...)
	diags = append(diags, literal(content.Attributes["sensitive"], &v.Sensitive)...)
	diags = append(diags, literal(content.Attributes["nullable"], &v.Nullable)...)
	for _, b := range content.Blocks {
		diags = append(diags, addCondition(b, &v.Validations)...)
	}
	return diags
}

var outputSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "value", Required: true}, {Name: "description"}, {Name: "sensitive"}, {Name: "depends_on"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "precondition"}},
}

func (m *Module) addOutput(block *hclsyntax.Block) hcl.Diagnostics {
	name := block.Labels[0]
	if old := m.Outputs[name]; old != nil {
		return duplicate("output "+name, block.DefRange(), old.Range)
	}
	content, diags := block.Body.Content(outputSchema)
	o := &Output{Name: name, Range: block.DefRange()}
	if a := content.Attributes["value"]; a != nil {
		o.Expr = a.Expr
		m.Outputs[name] = o
	}
	for _, b := range content.Blocks {
		diags = append(diags, addCondition(b, &o.Pre)...)
	}
	diags = append(diags, dependsOn(content.Attributes["depends_on"], &o.DependsOn)...)
	diags = append(diags, literal(content.Attributes["description"], &o.Description)...)
	return append(diags, literal(content.Attributes["sensitive"], &o.Sensitive)...)
}

// literal reads an attribute that must be a plain value.
func literal(a *hcl.Attribute, into any) hcl.Diagnostics {
	if a == nil {
		return nil
	}
	return gohcl.DecodeExpression(a.Expr, nil, into)
}

var metaSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "for_each"}, {Name: "count"}, {Name: "depends_on"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "lifecycle"}},
}

func (m *Module) addKind(block *hclsyntax.Block) hcl.Diagnostics {
	node := addr.Node{Kind: block.Type, Type: block.Labels[0], Name: block.Labels[1]}
	if old := m.Blocks[node]; old != nil {
		return duplicate(node.String(), block.DefRange(), old.Range)
	}
	b := &Block{Addr: node, Body: block.Body, Range: block.DefRange()}
	m.Blocks[node] = b
	if node.Kind == Notification {
		m.Notifications = append(m.Notifications, node)
	} else {
		m.Order = append(m.Order, node)
	}
	if !hasMeta(block.Body) {
		return nil
	}
	content, rest, diags := block.Body.PartialContent(metaSchema)
	b.Body = rest
	if a := content.Attributes["for_each"]; a != nil {
		b.ForEach = a.Expr
	}
	if a := content.Attributes["count"]; a != nil {
		b.Count = a.Expr
		if b.ForEach != nil {
			diags = append(diags, diag.Errorf(a.Range, "for_each and count", "%s has both for_each and count. Keep one.", node))
		}
	}
	diags = append(diags, dependsOn(content.Attributes["depends_on"], &b.DependsOn)...)
	for _, l := range content.Blocks {
		diags = append(diags, b.addLifecycle(l)...)
	}
	if a := content.Attributes["depends_on"]; node.Kind == Notification && (a != nil || len(content.Blocks) > 0) {
		diags = append(diags, diag.Errorf(block.DefRange(), "Not for a notification",
			"%s cannot have a lifecycle block or depends_on: a notification is never created or deleted. Remove them.", node))
	}
	return diags
}

// hasMeta tells whether a body has any meta-argument. Most have none.
func hasMeta(body *hclsyntax.Body) bool {
	for _, a := range metaSchema.Attributes {
		if body.Attributes[a.Name] != nil {
			return true
		}
	}
	return slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == metaSchema.Blocks[0].Type })
}

// dependsOn reads a list of references.
func dependsOn(a *hcl.Attribute, into *[]hcl.Traversal) hcl.Diagnostics {
	if a == nil {
		return nil
	}
	list, diags := hcl.ExprList(a.Expr)
	for _, e := range list {
		t, more := hcl.AbsTraversalForExpr(e)
		diags = append(diags, more...)
		if !more.HasErrors() {
			*into = append(*into, t)
		}
	}
	return diags
}

var (
	settingsSchema = &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "required_version"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "required_plugins"}, {Type: "state", LabelNames: []string{"type"}}},
	}
	pluginType = cty.ObjectWithOptionalAttrs(map[string]cty.Type{
		"source": cty.String, "version": cty.String, "env": cty.List(cty.String), "public_key": cty.String,
	}, []string{"source", "version", "env", "public_key"})
)

func (s *Stack) addSettings(block *hclsyntax.Block) hcl.Diagnostics {
	content, diags := block.Body.Content(settingsSchema)
	if a := content.Attributes["required_version"]; a != nil {
		s.Settings.VersionRange = a.Range
		diags = append(diags, literal(a, &s.Settings.RequiredVersion)...)
	}
	for _, b := range content.Blocks {
		if b.Type == "state" {
			if s.Settings.State != nil {
				diags = append(diags, duplicate("the state", b.DefRange, s.Settings.State.Range)...)
				continue
			}
			s.Settings.State = &StateBlock{Type: b.Labels[0], Body: b.Body, Range: b.DefRange}
			continue
		}
		attrs, more := b.Body.JustAttributes()
		diags = append(diags, more...)
		for _, name := range sortedKeys(attrs) {
			diags = append(diags, s.addPlugin(attrs[name])...)
		}
	}
	return diags
}

func (s *Stack) addPlugin(a *hcl.Attribute) hcl.Diagnostics {
	var p struct {
		Source    *string  `cty:"source"`
		Version   *string  `cty:"version"`
		Env       []string `cty:"env"`
		PublicKey *string  `cty:"public_key"`
	}
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() {
		return diags
	}
	if err := decode(v, pluginType, &p); err != nil {
		return append(diags, diag.Errorf(a.Expr.Range(), "Not a plugin requirement",
			"%s must be an object such as { source = \"./plugins/%s\" }: %s.", a.Name, a.Name, err))
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	r := &RequiredPlugin{Name: a.Name, Source: text(p.Source), Version: text(p.Version), Env: p.Env, PublicKey: text(p.PublicKey), Range: a.Range}
	for _, name := range r.Env {
		if !isVariableName(name) {
			diags = append(diags, diag.Errorf(a.Expr.Range(), "Not an environment variable",
				"env of the plugin %s contains %q, which is not the name of an environment variable. List each name.", a.Name, name))
		}
	}
	into := s.Settings.Plugins
	if r.Source == "" {
		into = s.Settings.BuiltIn
	}
	if r.Source == "" && (r.Version != "" || r.PublicKey != "" || len(r.Env) == 0) {
		diags = append(diags, diag.Errorf(a.Expr.Range(), "Not a plugin requirement",
			"%s has no source. A plugin from outside needs one, such as { source = \"./plugins/%s\" }; a built-in plugin can have env only.", a.Name, a.Name))
	}
	for _, old := range []*RequiredPlugin{s.Settings.Plugins[a.Name], s.Settings.BuiltIn[a.Name]} {
		if old != nil {
			return append(diags, duplicate("plugin "+a.Name, a.NameRange, old.Range)...)
		}
	}
	into[a.Name] = r
	return diags
}

// isVariableName tells whether a name can be that of an environment variable.
func isVariableName(name string) bool {
	for i, c := range []byte(name) {
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// Where writes a range for people: file:line.
func Where(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }
