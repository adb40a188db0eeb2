package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/state"
)

func (a *app) showCmd() *cobra.Command {
	var f formFlags
	cmd := &cobra.Command{
		Use: "show [PLAN]", Short: "Print a saved plan, or the state", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if len(args) == 1 {
				p, err := plan.ReadFile(args[0])
				if err != nil {
					return err
				}
				return a.printPlan(p, f)
			}
			if f.asMarkdown {
				return errors.New("-markdown needs a plan file: name one")
			}
			return a.showState(cmd, f.asJSON)
		},
	}
	f.add(cmd)
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
