package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/view"
)

func (a *app) graphCmd() *cobra.Command {
	f := stackFlags{unset: true, noState: true}
	var format, file string
	cmd := &cobra.Command{
		Use: "graph", Short: "Print the dependency graph as DOT or Mermaid",
		Long: "Graph prints the blocks of the stack and their references or, with -plan, the changes of a saved plan and their order.\n" +
			"Variables do not need values.\n\n" +
			"  davit graph | dot -Tsvg > stack.svg\n  davit graph -format=mermaid -plan=p.davit",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if format != "dot" && format != "mermaid" {
				return fmt.Errorf("-format must be dot or mermaid, not %q", format)
			}
			if file != "" {
				p, err := plan.ReadFile(file)
				if err != nil {
					return err
				}
				return view.PlanGraph(a.out, p, format)
			}
			s, err := a.open(a.soft, &f, nil)
			if err != nil {
				return err
			}
			defer s.Close()
			if err := a.show(s.Stack, s.Engine.Check(a.soft)); err != nil {
				return err
			}
			return view.Graph(a.out, s.Engine.Outline(), format)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&format, "format", "dot", "`dot` or mermaid")
	cmd.Flags().StringVar(&file, "plan", "", "draw the saved plan in this `file`")
	return cmd
}
