package view

import (
	"io"

	"github.com/emicklei/dot"

	"github.com/davit-sh/davit/core/engine/check"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/internal/text"
)

// Graph writes the graph of references between blocks, in the format "dot" or "mermaid".
func Graph(w io.Writer, o check.Outline, format string) error {
	g := newGraph(format)
	for _, b := range o.Blocks {
		g.Node(b)
	}
	for _, b := range o.Blocks {
		for _, need := range o.Needs[b] {
			g.Edge(g.Node(need), g.Node(b))
		}
	}
	return draw(w, g, format)
}

// fills are the colours of actions.
var fills = map[plan.Action]string{
	plan.Create: "palegreen", plan.Build: "paleturquoise", plan.Adopt: "paleturquoise", plan.Update: "khaki",
	plan.Replace: "lightsalmon", plan.Delete: "lightsalmon", plan.Forget: "lightgrey",
}

// PlanGraph writes the graph of a plan: its actions and their order.
func PlanGraph(w io.Writer, p *plan.Plan, format string) error {
	g := newGraph(format)
	known := map[string]bool{}
	for i := range p.Observations {
		g.Node(text.Clean(p.Observations[i].Address))
		known[p.Observations[i].Address] = true
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		known[c.Address] = true
		n := g.Node(text.Clean(c.Address)).Label(text.Clean(c.Address) + ": " + string(c.Action))
		if fill := fills[c.Action]; fill != "" && format == "dot" {
			n.Attr("style", "filled").Attr("fillcolor", fill)
		}
	}
	edges := func(address string, needs []string) {
		for _, need := range needs {
			if known[need] {
				g.Edge(g.Node(text.Clean(need)), g.Node(text.Clean(address)))
			}
		}
	}
	for i := range p.Observations {
		edges(p.Observations[i].Address, p.Observations[i].DependsOn)
	}
	for i := range p.Changes {
		edges(p.Changes[i].Address, p.Changes[i].DependsOn)
	}
	return draw(w, g, format)
}

func newGraph(format string) *dot.Graph {
	g := dot.NewGraph(dot.Directed)
	if format == "dot" {
		g.Attr("rankdir", "LR")
		g.NodeInitializer(func(n dot.Node) { n.Box() })
	}
	return g
}

func draw(w io.Writer, g *dot.Graph, format string) error {
	drawn := g.String()
	if format == "mermaid" {
		drawn = dot.MermaidGraph(g, dot.MermaidLeftToRight)
	}
	_, err := io.WriteString(w, drawn+"\n")
	return err
}
