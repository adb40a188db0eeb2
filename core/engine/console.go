package engine

import (
	"context"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/state"
)

// Console evaluates expressions in the names of a stack.
type Console struct{ run *run }

// Console makes a console with the values that state has of blocks, or, when fresh, with those of a new plan.
// What was never applied is unknown.
func (e *Engine) Console(ctx context.Context, snapshot *state.Snapshot, fresh bool) (*Console, hcl.Diagnostics) {
	if fresh {
		r, diags := e.look(ctx, snapshot, Options{})
		if diags.HasErrors() {
			return nil, diags
		}
		if diags := r.findings(); diags.HasErrors() {
			return nil, diags
		}
		return &Console{r}, nil
	}
	if diags := e.check(); diags.HasErrors() {
		return nil, diags
	}
	r := newRun(e, recovered(snapshot), Options{})
	(&planter{run: r}).expandStatic(r.root)
	r.recall(r.root)
	r.root.OnDemand(r.expandOnDemand)
	return &Console{r}, nil
}

// expandOnDemand makes the instances of a call when something refers to it.
func (r *run) expandOnDemand(s *eval.Scope, call *config.Call) {
	each, _ := s.Expand(callName(call.Name), call.ForEach, call.Count) // what cannot be told has no instances here
	for _, child := range s.Expanded(call, each) {
		(&planter{run: r}).expandStatic(child)
		r.recall(child)
	}
}

// recall gives the blocks of a module instance the values that state has of them.
func (r *run) recall(s *eval.Scope) {
	for _, n := range s.Module.Order {
		node := r.newNode(s, s.Module.Blocks[n])
		if node.typ == nil {
			continue
		}
		for address, rec := range r.snapshot.Records {
			a, err := addr.Parse(address)
			if err != nil || a.Node != node.addr {
				continue
			}
			in := &instance{addr: a, node: node}
			if outputs, err := types.Decode(rec.Outputs); err == nil && outputs != cty.NilVal {
				config, err := types.Decode(rec.Config)
				if err != nil {
					config = cty.NilVal
				}
				in.seen = node.typ.See(config, types.Fit(outputs, node.typ.OutputType))
			}
			node.add(in)
		}
	}
	for _, name := range s.Module.CallOrder {
		if call := s.Module.Calls[name]; call.ForEach == nil && call.Count == nil {
			for _, child := range s.Children(name) {
				r.recall(child)
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
	check := c.run.newChecker(c.run.root)
	check.refs(c.run.Stack.Module, eval.References(expr), sees{who: "the console"})
	if check.diags.HasErrors() {
		return cty.NilVal, check.diags
	}
	return c.run.root.Value(expr, eval.Each{})
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
