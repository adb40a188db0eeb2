package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
)

var callSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "source", Required: true}, {Name: "version"}, {Name: "for_each"}, {Name: "count"}, {Name: "depends_on"},
}}

// addCall reads a module block: the arguments that are not meta-arguments are the module's variables.
func (m *Module) addCall(block *hclsyntax.Block) hcl.Diagnostics {
	name := block.Labels[0]
	if old := m.Calls[name]; old != nil {
		return duplicate("module "+name, block.DefRange(), old.Range)
	}
	content, rest, diags := block.Body.PartialContent(callSchema)
	c := &Call{Name: name, Range: block.DefRange()}
	diags = append(diags, literal(content.Attributes["source"], &c.Source)...)
	diags = append(diags, literal(content.Attributes["version"], &c.Version)...)
	if a := content.Attributes["for_each"]; a != nil {
		c.ForEach = a.Expr
	}
	if a := content.Attributes["count"]; a != nil {
		c.Count = a.Expr
		if c.ForEach != nil {
			diags = append(diags, diag.Errorf(a.Range, "for_each and count", "module %s has both for_each and count. Keep one.", name))
		}
	}
	diags = append(diags, dependsOn(content.Attributes["depends_on"], &c.DependsOn)...)
	var more hcl.Diagnostics
	c.Arguments, more = rest.JustAttributes()
	diags = append(diags, more...)
	m.Calls[name] = c
	m.CallOrder = append(m.CallOrder, name)
	return diags
}

// place reads an attribute that names an instance, a block or a module.
func place(a *hcl.Attribute, into *addr.Place) hcl.Diagnostics {
	if a == nil {
		return nil // reported as missing
	}
	t, diags := hcl.AbsTraversalForExpr(a.Expr)
	if diags.HasErrors() {
		return diags
	}
	p, err := addr.FromTraversal(t)
	if err != nil {
		return hcl.Diagnostics{diag.Errorf(a.Expr.Range(), "Not an address", "%s must be an address, such as application.kubernetes.api or module.shop.", a.Name)}
	}
	*into = p
	return nil
}

var movedSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "from", Required: true}, {Name: "to", Required: true}}}

func (m *Module) addMoved(block *hclsyntax.Block) hcl.Diagnostics {
	c, diags := block.Body.Content(movedSchema)
	moved := &Moved{Range: block.DefRange()}
	diags = append(diags, place(c.Attributes["from"], &moved.From)...)
	diags = append(diags, place(c.Attributes["to"], &moved.To)...)
	if diags.HasErrors() {
		return diags
	}
	if moved.From.IsModule() != moved.To.IsModule() || moved.From.Kind != moved.To.Kind || moved.From.Type != moved.To.Type {
		return append(diags, diag.Errorf(block.DefRange(), "Invalid move", "%s cannot move to %s: only the name, the key and the module may change.", moved.From, moved.To))
	}
	for _, old := range m.Moved {
		if old.From == moved.From {
			return append(diags, diag.Errorf(block.DefRange(), "Moved twice", "%s is already moved to %s at %s. Remove one of the moved blocks.", moved.From, old.To, Where(old.Range)))
		}
	}
	m.Moved = append(m.Moved, moved)
	return diags
}

var (
	removedSchema = &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "from", Required: true}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "lifecycle"}},
	}
	destroySchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "destroy"}}}
)

func (m *Module) addRemoved(block *hclsyntax.Block) hcl.Diagnostics {
	c, diags := block.Body.Content(removedSchema)
	r := &Removed{Destroy: true, Range: block.DefRange()}
	diags = append(diags, place(c.Attributes["from"], &r.From)...)
	for _, l := range c.Blocks {
		content, more := l.Body.Content(destroySchema)
		diags = append(diags, more...)
		diags = append(diags, literal(content.Attributes["destroy"], &r.Destroy)...)
	}
	if !diags.HasErrors() {
		m.Removed = append(m.Removed, r)
	}
	return diags
}

var importSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "for_each"}, {Name: "to", Required: true}, {Name: "id", Required: true}}}

func (m *Module) addImport(block *hclsyntax.Block) hcl.Diagnostics {
	c, diags := block.Body.Content(importSchema)
	i := &Import{Range: block.DefRange()}
	to := c.Attributes["to"]
	if to != nil { // application.x.y[each.key]: the key is an expression
		if index, ok := to.Expr.(*hclsyntax.IndexExpr); ok {
			to = &hcl.Attribute{Name: to.Name, Expr: index.Collection, Range: to.Range, NameRange: to.NameRange}
			i.Key = index.Key
		}
	}
	diags = append(diags, place(to, &i.To)...)
	if diags.HasErrors() {
		return diags
	}
	if a := c.Attributes["for_each"]; a != nil {
		i.ForEach = a.Expr
		if i.Key == nil {
			return append(diags, diag.Errorf(to.Range, "Many objects for one instance", "An import with for_each is into an instance for each of them: to = %s[each.key].", i.To))
		}
	}
	if i.To.IsModule() {
		return append(diags, diag.Errorf(block.DefRange(), "Not an instance", "to of an import names one instance, such as application.kubernetes.api."))
	}
	i.ID = c.Attributes["id"].Expr
	for _, old := range m.Imports {
		if i.Key == nil && old.Key == nil && old.To == i.To {
			return append(diags, diag.Errorf(block.DefRange(), "Two imports into one instance", "Another object is imported into %s at %s. Remove one of the import blocks.", i.To, Where(old.Range)))
		}
	}
	m.Imports = append(m.Imports, i)
	return diags
}

var checkSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "assert"}}}

func (m *Module) addCheck(block *hclsyntax.Block) hcl.Diagnostics {
	content, diags := block.Body.Content(checkSchema)
	c := &Check{Name: block.Labels[0], Range: block.DefRange()}
	for _, b := range content.Blocks {
		diags = append(diags, addCondition(b, &c.Asserts)...)
	}
	if len(content.Blocks) == 0 && !diags.HasErrors() {
		diags = append(diags, diag.Errorf(block.DefRange(), "Check without an assertion", "check %q has no assert block.", c.Name))
	}
	for _, old := range m.Checks {
		if old.Name == c.Name {
			return append(diags, duplicate("check "+c.Name, block.DefRange(), old.Range)...)
		}
	}
	m.Checks = append(m.Checks, c)
	return diags
}
