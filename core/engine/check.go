package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/graph"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

func convertTo(v cty.Value, t cty.Type) (cty.Value, error) { return convert.Convert(v, t) }

// check finds what is wrong with the stack as it is written, all of it in one go.
func (e *Engine) check() hcl.Diagnostics {
	var diags hcl.Diagnostics
	scope := eval.NewScope(e.Stack, nil, nil)
	for _, n := range e.Stack.Order {
		b := e.Stack.Blocks[n]
		t := e.Types.of(n)
		if t == nil {
			diags = append(diags, diag.Errorf(b.Range, "Unknown type", "No plugin provides %s %q.%s There are: %s. Types of other plugins need an entry in required_plugins.",
				n.Kind, n.Type, diag.DidYouMean(n.Type, e.Types.names(n.Kind)), strings.Join(e.Types.names(n.Kind), ", ")))
			continue
		}
		exprs, more := t.config.Expressions(b.Body)
		diags = append(diags, more...)
		if b.ForEach != nil {
			exprs = append(exprs, b.ForEach)
		}
		if b.Count != nil {
			exprs = append(exprs, b.Count)
		}
		for _, x := range exprs {
			diags = append(diags, e.checkRefs(eval.References(x))...)
		}
		for _, d := range b.DependsOn {
			diags = append(diags, e.checkRefs([]eval.Ref{eval.RefOf(d)})...)
		}
		if !more.HasErrors() {
			diags = append(diags, e.checkLiterals(scope, b, t)...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Stack.Locals)) {
		diags = append(diags, e.checkRefs(eval.References(e.Stack.Locals[name].Expr))...)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Stack.Outputs)) {
		diags = append(diags, e.checkRefs(eval.References(e.Stack.Outputs[name].Expr))...)
	}
	return append(diags, e.checkCycles()...)
}

// checkLiterals finds values of a wrong type where they are written out, without any reference.
func (e *Engine) checkLiterals(scope *eval.Scope, b *config.Block, t *blockType) hcl.Diagnostics {
	ctx, diags := scope.Context(nil, eval.Each{})
	for _, d := range t.config.CheckLiterals(b.Body, ctx) {
		d.EvalContext = nil
		diags = append(diags, d)
	}
	return diags
}

func (e *Engine) checkRefs(refs []eval.Ref) hcl.Diagnostics {
	var diags hcl.Diagnostics
	unknown := func(r eval.Ref, what, suggestion string) {
		diags = append(diags, diag.Errorf(r.Range, "Reference to something that is not there", "There is no %s.%s", what, suggestion))
	}
	for _, r := range refs {
		switch {
		case r.Bad != "":
			roots := append(slices.Clone(config.Kinds), "var", "local", "each", "count", "path")
			if slices.Contains(roots, r.Bad) {
				diags = append(diags, diag.Errorf(r.Range, "Incomplete reference", "A reference to a block is kind.type.name, to a variable var.name, to a local local.name."))
				continue
			}
			diags = append(diags, diag.Errorf(r.Range, "Unknown name", "%q is no kind of block and no name that is known here.%s", r.Bad, diag.DidYouMean(r.Bad, roots)))
		case r.Var != "":
			if e.Stack.Variables[r.Var] == nil {
				unknown(r, "variable "+quoted(r.Var), diag.DidYouMean(r.Var, slices.Collect(maps.Keys(e.Stack.Variables))))
			}
		case r.Local != "":
			if e.Stack.Locals[r.Local] == nil {
				unknown(r, "local "+quoted(r.Local), diag.DidYouMean(r.Local, slices.Collect(maps.Keys(e.Stack.Locals))))
			}
		default:
			diags = append(diags, e.checkBlockRef(r)...)
		}
	}
	return diags
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func (e *Engine) checkBlockRef(r eval.Ref) hcl.Diagnostics {
	target := e.Stack.Blocks[r.Node]
	if target == nil {
		return hcl.Diagnostics{diag.Errorf(r.Range, "Reference to something that is not there", "There is no block %s.%s",
			r.Node, e.suggestNode(r.Node))}
	}
	expanded := target.ForEach != nil || target.Count != nil
	if r.Key != nil && !expanded {
		return hcl.Diagnostics{diag.Errorf(r.Range, "An index where there is one instance", "%s has neither for_each nor count. Remove the index.", r.Node)}
	}
	if len(r.Rest) == 0 || (expanded && r.Key == nil) {
		return nil
	}
	step, ok := r.Rest[0].(hcl.TraverseAttr)
	t := e.Types.of(r.Node)
	if !ok || t == nil {
		return nil
	}
	if attrs := t.attributes(); !attrs[step.Name] {
		return hcl.Diagnostics{diag.Errorf(step.SrcRange, "Unknown attribute", "%s %q has no attribute %q.%s",
			r.Node.Kind, r.Node.Type, step.Name, diag.DidYouMean(step.Name, slices.Collect(maps.Keys(attrs))))}
	}
	return nil
}

func (e *Engine) suggestNode(n addr.Node) string {
	all := make([]string, len(e.Stack.Order))
	for i, o := range e.Stack.Order {
		all[i] = o.String()
	}
	return diag.DidYouMean(n.String(), all)
}

// nodeRefs are the references of a block's arguments and meta-arguments, as they are written.
func (e *Engine) nodeRefs(b *config.Block) (own, expansion []eval.Ref) {
	if t := e.Types.of(b.Addr); t != nil {
		exprs, _ := t.config.Expressions(b.Body)
		for _, x := range exprs {
			own = append(own, eval.References(x)...)
		}
	}
	for _, d := range b.DependsOn {
		own = append(own, eval.RefOf(d))
	}
	if b.ForEach != nil {
		expansion = eval.References(b.ForEach)
	}
	if b.Count != nil {
		expansion = eval.References(b.Count)
	}
	return own, expansion
}

// checkCycles finds blocks, and locals, that depend on themselves.
func (e *Engine) checkCycles() hcl.Diagnostics {
	var ids []string
	deps := map[string][]string{}
	ranges := map[string]hcl.Range{}
	add := func(id string, at hcl.Range, refs []eval.Ref) {
		ids = append(ids, id)
		ranges[id] = at
		for _, r := range refs {
			switch {
			case r.Local != "":
				deps[id] = append(deps[id], "local."+r.Local)
			case r.Node.Kind != "":
				deps[id] = append(deps[id], r.Node.String())
			}
		}
	}
	for _, n := range e.Stack.Order {
		b := e.Stack.Blocks[n]
		own, expansion := e.nodeRefs(b)
		add(n.String(), b.Range, append(own, expansion...))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Stack.Locals)) {
		l := e.Stack.Locals[name]
		add("local."+name, l.Range, eval.References(l.Expr))
	}
	_, cycles := graph.Sort(ids, func(id string) []string { return deps[id] })
	var diags hcl.Diagnostics
	for _, c := range cycles {
		diags = append(diags, diag.Errorf(ranges[c.Cycle[0]], "A circle of references",
			"Each of these needs the next one first, so none can begin: %s. Remove one of the references.", c))
	}
	return diags
}

// validateConfigs asks the plugins about each block, with everything that is not a plain value unknown.
func (e *Engine) validateConfigs(ctx context.Context) hcl.Diagnostics {
	r := newRun(e, nil)
	var diags hcl.Diagnostics
	for _, n := range e.Stack.Order {
		b, t := e.Stack.Blocks[n], e.Types.of(n)
		in := &instance{addr: addr.Instance{Node: n}, node: r.nodes[n]}
		if b.ForEach != nil || b.Count != nil {
			continue // its values are known when it is expanded
		}
		config, more := r.decode(in)
		if more.HasErrors() {
			diags = append(diags, more...)
			continue
		}
		plain, _ := config.UnmarkDeep()
		value, err := eval.EncodeValue(t.pluginConfig(plain))
		if err != nil {
			diags = append(diags, r.failure(in, "validating", err))
			continue
		}
		client, err := e.Plugins.Client(ctx, t.plugin)
		if err != nil {
			diags = append(diags, r.failure(in, "validating", err))
			continue
		}
		resp, err := client.Validate(ctx, &pluginv1.ValidateRequest{Kind: n.Kind, Type: n.Type, Config: value})
		if err != nil {
			diags = append(diags, r.failure(in, "validating", err))
			continue
		}
		diags = append(diags, r.diagnostics(in, resp.GetDiagnostics())...)
	}
	return diags
}
