package view

import (
	"io"

	"github.com/emicklei/dot"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/plan"
)

// Graph draws what refers to what, as "dot" or "mermaid".
func Graph(w io.Writer, o engine.Outline, format string) error {
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

// fills are the colours of what happens to an instance.
var fills = map[plan.Action]string{
	plan.Create: "palegreen", plan.Build: "paleturquoise", plan.Adopt: "paleturquoise", plan.Update: "khaki",
	plan.Replace: "lightsalmon", plan.Delete: "lightsalmon", plan.Forget: "lightgrey",
}

// PlanGraph draws what a plan would do, and in which order.
func PlanGraph(w io.Writer, p *plan.Plan, format string) error {
	g := newGraph(format)
	known := map[string]bool{}
	for i := range p.Observations {
		g.Node(clean(p.Observations[i].Address))
		known[p.Observations[i].Address] = true
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		known[c.Address] = true
		n := g.Node(clean(c.Address)).Label(clean(c.Address) + ": " + string(c.Action))
		if fill := fills[c.Action]; fill != "" && format == "dot" {
			n.Attr("style", "filled").Attr("fillcolor", fill)
		}
	}
	edges := func(address string, needs []string) {
		for _, need := range needs {
			if known[need] {
				g.Edge(g.Node(clean(need)), g.Node(clean(address)))
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
	text := g.String()
	if format == "mermaid" {
		text = dot.MermaidGraph(g, dot.MermaidLeftToRight)
	}
	_, err := io.WriteString(w, text+"\n")
	return err
}
