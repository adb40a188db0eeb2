package engine

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/check"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/limit"
	"github.com/davit-sh/davit/state"
)

// Console evaluates expressions in the names of a stack.
type Console struct {
	input *input.Input
	forms *world.Forms
	tree  *world.Tree
}

// Console makes a console with the values that state has of blocks, or, when fresh, with those of a new plan.
// What was never applied is unknown.
func (e *Engine) Console(ctx context.Context, snapshot *state.Snapshot, fresh bool) (*Console, hcl.Diagnostics) {
	if fresh {
		r, diags := e.look(ctx, snapshot, input.Options{})
		if diags.HasErrors() {
			return nil, diags
		}
		if diags := r.Diagnostics(); diags.HasErrors() {
			return nil, diags
		}
		return &Console{r.Input, r.Forms, r.Tree}, nil
	}
	if diags := e.Check(ctx); diags.HasErrors() {
		return nil, diags
	}
	c := &Console{input: e.input(), forms: e.forms()}
	c.tree = e.tree(ctx)
	records := record.Recovered(snapshot).Records
	c.tree.ExpandStatic(c.tree.Root)
	c.recall(c.tree.Root, records)
	c.tree.Root.OnDemand(func(s *eval.Scope, call *config.Call) { c.expandOnDemand(s, call, records) })
	return c, nil
}

// expandOnDemand makes the instances of a call when something refers to it.
func (c *Console) expandOnDemand(s *eval.Scope, call *config.Call, records map[string]state.Record) {
	each, _ := s.Expand(world.CallName(call.Name), call.ForEach, call.Count) // what cannot be told has no instances here
	for _, child := range s.Expanded(call, each) {
		c.tree.ExpandStatic(child)
		c.recall(child, records)
	}
}

// recall gives the blocks of a module instance the values that state has of them.
func (c *Console) recall(s *eval.Scope, records map[string]state.Record) {
	for _, n := range s.Module.Order {
		node := c.tree.NewNode(s, s.Module.Blocks[n])
		if node.Type == nil {
			continue
		}
		for address, rec := range records {
			a, err := addr.Parse(address)
			if err != nil || a.Node != node.Addr {
				continue
			}
			in := &world.Instance{Addr: a, Node: node}
			if outputs, err := types.Decode(rec.Outputs); err == nil && outputs != cty.NilVal {
				config, err := types.Decode(rec.Config)
				if err != nil {
					config = cty.NilVal
				}
				in.Seen = node.Type.See(config, types.Fit(outputs, node.Type.OutputType))
			}
			node.Add(in)
		}
	}
	for _, name := range s.Module.CallOrder {
		if call := s.Module.Calls[name]; call.ForEach == nil && call.Count == nil {
			for _, child := range s.Children(name) {
				c.recall(child, records)
			}
		}
	}
}

// Eval evaluates an expression. Sensitive parts of the value are marked.
func (c *Console) Eval(text string) (cty.Value, hcl.Diagnostics) {
	expr, diags := hclsyntax.ParseExpression([]byte(text), "expression", hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	limit.Guard(expr)
	if diags := check.Expression(c.input, c.forms, c.tree.Root, expr); diags.HasErrors() {
		return cty.NilVal, diags
	}
	return c.tree.Root.Value(expr, eval.Each{})
}

// Unfinished tells whether an expression has brackets that are still open, so that another line is to come.
func Unfinished(text string) bool {
	tokens, _ := hclsyntax.LexExpression([]byte(text), "expression", hcl.InitialPos)
	depth := 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOParen, hclsyntax.TokenOBrack, hclsyntax.TokenOBrace, hclsyntax.TokenOHeredoc:
			depth++
		case hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenCHeredoc:
			depth--
		}
	}
	return depth > 0
}
