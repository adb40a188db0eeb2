package config

import (
	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/kinds"
)

var lifecycleSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "prevent_destroy"}, {Name: "create_before_destroy"}, {Name: "ignore_changes"}, {Name: "replace_triggered_by"}, {Name: "drift"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "precondition"}, {Type: "postcondition"}},
}

func (b *Block) addLifecycle(block *hcl.Block) hcl.Diagnostics {
	c, diags := block.Body.Content(lifecycleSchema)
	l := &b.Lifecycle
	diags = append(diags, literal(c.Attributes["prevent_destroy"], &l.PreventDestroy)...)
	diags = append(diags, literal(c.Attributes["create_before_destroy"], &l.CreateBeforeDestroy)...)
	if a := c.Attributes["drift"]; a != nil {
		more := literal(a, &l.Drift)
		diags = append(diags, more...)
		if !more.HasErrors() && l.Drift != DriftMend && l.Drift != DriftReport {
			diags = append(diags, diag.Errorf(a.Expr.Range(), "Unknown way to deal with drift",
				"drift is %q: davit serve mends what others have changed. %q only reports it.", DriftMend, DriftReport))
		}
	}
	diags = append(diags, b.addIgnoreChanges(c.Attributes["ignore_changes"])...)
	if a := c.Attributes["replace_triggered_by"]; a != nil {
		list, more := hcl.ExprList(a.Expr)
		diags = append(diags, more...)
		l.ReplaceTriggeredBy = append(l.ReplaceTriggeredBy, list...)
	}
	for _, rule := range c.Blocks {
		into := &l.Pre
		if rule.Type == "postcondition" {
			into = &l.Post
		}
		diags = append(diags, addCondition(rule, into)...)
	}
	managed := kinds.IsManaged(b.Addr.Kind)
	for name, a := range c.Attributes {
		if !managed {
			diags = append(diags, diag.Errorf(a.Range, "Not for this kind of block",
				"%s is only observed, never created or deleted: %s has no effect. Remove it.", b.Addr, name))
		}
	}
	return diags
}

func (b *Block) addIgnoreChanges(a *hcl.Attribute) hcl.Diagnostics {
	if a == nil {
		return nil
	}
	if hcl.ExprAsKeyword(a.Expr) == "all" {
		b.Lifecycle.IgnoreAll = true
		return nil
	}
	list, diags := hcl.ExprList(a.Expr)
	for _, e := range list {
		t, more := hcl.RelTraversalForExpr(e)
		diags = append(diags, more...)
		if !more.HasErrors() {
			b.Lifecycle.Ignore = append(b.Lifecycle.Ignore, t)
		}
	}
	return diags
}

// addCondition reads a block with a condition and what to say when it does not hold.
func addCondition(b *hcl.Block, into *[]Condition) hcl.Diagnostics {
	c, diags := b.Body.Content(conditionSchema)
	if !diags.HasErrors() {
		*into = append(*into, Condition{Condition: c.Attributes["condition"].Expr, Message: c.Attributes["error_message"].Expr, Range: b.DefRange})
	}
	return diags
}
