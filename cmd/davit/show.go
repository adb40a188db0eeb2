package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/state"
)

func (a *app) showCmd() *cobra.Command {
	var asJSON, asMarkdown, verbose bool
	cmd := &cobra.Command{
		Use: "show [PLAN]", Short: "Print a saved plan, or the state", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				p, err := plan.ReadFile(args[0])
				if err != nil {
					return err
				}
				return a.printPlan(p, asJSON, asMarkdown, verbose)
			}
			if asMarkdown {
				return errors.New("-markdown is for plans: name a plan file")
			}
			return a.showState(cmd, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&asMarkdown, "markdown", false, "print Markdown for a pull request")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "show what is unchanged as well")
	return cmd
}

func (a *app) showState(cmd *cobra.Command, asJSON bool) error {
	return a.withState(cmd.Context(), func(_ state.Store, s *state.Snapshot) error {
		if asJSON {
			return writeJSON(a.out, s)
		}
		for _, address := range sortedKeys(s.Records) {
			view.StateShow(a.out, s.Records[address], view.Options{Color: a.color(a.out)})
		}
		return nil
	})
}
