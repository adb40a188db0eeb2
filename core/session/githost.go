package session

import (
	"net/url"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/limit"
	"github.com/davit-sh/davit/core/modules"
	"github.com/davit-sh/davit/core/plan"
)

// GitHostVariable tells the plugin "git" which host the token in DAVIT_GIT_TOKEN is for.
const GitHostVariable = "DAVIT_GIT_HOST"

// GitHostOf is what the plugin "git" is told besides what a person has said: the host of the token if the stack has only one Git host.
func GitHostOf(stack *config.Stack, values map[string]cty.Value, said string) []string {
	if said != "" {
		return nil
	}
	hosts := gitHosts{}
	hosts.module(stack.Module, values)
	if hosts.unclear || len(hosts.names) != 1 {
		return nil
	}
	return []string{GitHostVariable + "=" + hosts.names[0]}
}

// gitHosts are the HTTP hosts of the Git repositories that a stack names.
type gitHosts struct {
	names   []string
	unclear bool // the host of one cannot be told before the stack is evaluated
}

// module adds the hosts of a module and of those that it calls. values are those of its variables, as far as they are known.
func (h *gitHosts) module(m *config.Module, values map[string]cty.Value) {
	for _, at := range m.Order {
		if b := m.Blocks[at]; at.Kind == "source" && at.Type == "git" {
			h.source(b, values)
		}
	}
	for _, name := range m.CallOrder {
		call := m.Calls[name]
		if p, _, err := modules.Parse(call.Source); err == nil && p.Type == "git" {
			h.add(p.Where, true)
		}
		if call.Module != nil {
			h.module(call.Module, argumentsOf(call, values))
		}
	}
}

// argumentsOf are the variables of a called module that are given by what is known already.
func argumentsOf(call *config.Call, values map[string]cty.Value) map[string]cty.Value {
	out := map[string]cty.Value{}
	for name, v := range call.Module.Variables {
		out[name] = cty.DynamicVal
		if a := call.Arguments[name]; a != nil {
			out[name] = Early(a.Expr, values)
		} else if v.Default != nil {
			out[name] = Early(v.Default, nil)
		}
	}
	return out
}

func (h *gitHosts) source(b *config.Block, values map[string]cty.Value) {
	content, _, _ := b.Body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "url"}}})
	a := content.Attributes["url"]
	if a == nil {
		return // an error, which is told elsewhere
	}
	v := Early(a.Expr, values)
	if v.IsKnown() && !v.IsNull() && v.Type() == cty.String {
		h.add(v.AsString(), true)
		return
	}
	h.add(plan.Prefix(v), false)
}

// add adds the host of a URL, or of the beginning of one.
func (h *gitHosts) add(raw string, whole bool) {
	_, rest, isURL := strings.Cut(raw, "://")
	if !whole && (!isURL || !strings.Contains(rest, "/")) {
		h.unclear = true
		return
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return // a path, or git@host:path
	}
	host := strings.ToLower(u.Host)
	switch scheme := strings.ToLower(u.Scheme); scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return
	}
	if !slices.Contains(h.names, host) {
		h.names = append(h.names, host)
	}
}

// Early is the value of an expression before anything is looked at: variables are known, the rest is not.
func Early(expr hcl.Expression, values map[string]cty.Value) cty.Value {
	ctx := &hcl.EvalContext{Variables: map[string]cty.Value{}}
	for _, t := range expr.Variables() {
		ctx.Variables[t.RootName()] = cty.DynamicVal
	}
	if _, used := ctx.Variables["var"]; used {
		ctx.Variables["var"] = cty.ObjectVal(values)
	}
	if node, ok := expr.(hclsyntax.Node); !ok || callsFunctions(node) {
		return cty.DynamicVal
	}
	limit.New(nil).Bind(ctx)
	v, diags := expr.Value(ctx)
	if diags.HasErrors() {
		return cty.DynamicVal
	}
	v, _ = v.UnmarkDeep()
	return v
}

func callsFunctions(node hclsyntax.Node) bool {
	found := false
	_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
		if _, is := n.(*hclsyntax.FunctionCallExpr); is {
			found = true
		}
		return nil
	})
	return found
}
