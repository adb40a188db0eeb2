package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/view"
)

func (a *app) graphCmd() *cobra.Command {
	f := stackFlags{unset: true}
	var format, file string
	cmd := &cobra.Command{
		Use: "graph", Short: "Draw what depends on what, as DOT or Mermaid",
		Long: "Graph draws the blocks of the stack and what each of them refers to, or, with -plan, what a saved plan would do and in which order.\n" +
			"Variables need no values.\n\n" +
			"  davit graph | dot -Tsvg > stack.svg\n  davit graph -format=mermaid -plan=p.davit",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if format != "dot" && format != "mermaid" {
				return fmt.Errorf("-format is dot or mermaid, not %q", format)
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
