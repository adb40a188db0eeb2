package check

import (
	"context"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine/service"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Configs asks the plugins about each block, with everything that is not a plain value unknown. Of a block with
// instances one is asked about, which stands for all, unless it is told already that there are none.
func Configs(ctx context.Context, tree *world.Tree, svc *service.Services) hcl.Diagnostics {
	tree.ExpandStatic(tree.Root)
	var diags hcl.Diagnostics
	var visit func(s *eval.Scope)
	visit = func(s *eval.Scope) {
		for _, n := range slices.Concat(s.Module.Order, s.Module.Notifications) {
			b := s.Module.Blocks[n]
			node := tree.Forms.Form(b).Node(b.Addr.In(s.Path)) // the tree does not know it, so that all of what refers to it is unknown
			node.PlaceIn(s)
			diags = append(diags, validateConfig(ctx, node, svc)...)
		}
		for _, name := range s.Module.CallOrder {
			for _, child := range s.Children(name) {
				visit(child)
			}
		}
	}
	visit(tree.Root)
	return diags
}

func validateConfig(ctx context.Context, n *world.Node, svc *service.Services) hcl.Diagnostics {
	in := &world.Instance{Addr: addr.Instance{Node: n.Addr}, Node: n}
	if n.Expanded {
		list, diags := n.Scope.Expand(n.Addr.String(), n.Block.ForEach, n.Block.Count)
		if !diags.HasErrors() && len(list) == 0 { // those of a block that is switched off may have no values that would do
			return nil
		}
		in.Each = eval.Any(n.Block.ForEach != nil)
	}
	config, diags := svc.Decode(in)
	if diags.HasErrors() {
		return diags
	}
	plain, _ := config.UnmarkDeep()
	value, err := eval.EncodeValue(n.Type.PluginConfig(plain))
	if err != nil {
		return append(diags, svc.Failure(in, "validating", err))
	}
	client, err := svc.Plugins.Client(ctx, n.Type.Plugin)
	if err != nil {
		return append(diags, svc.Failure(in, "validating", err))
	}
	resp, err := client.Validate(ctx, &pluginv1.ValidateRequest{Kind: n.Addr.Kind, Type: n.Addr.Type, Config: value})
	if err != nil {
		return append(diags, svc.Failure(in, "validating", err))
	}
	return append(diags, svc.Diagnostics(in, resp.GetDiagnostics())...)
}
