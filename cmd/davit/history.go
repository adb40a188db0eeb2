package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/state"
)

func (a *app) historyCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "history ADDRESS", Short: "List the revisions of an instance, newest first",
		Long: fmt.Sprintf("History lists the last %d applied revisions of an instance: when, by whom, what and why.\n\n", state.KeepRevisions) +
			"  davit history application.kubernetes.api",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeAddress,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), func(store state.Store, s *state.Snapshot) error {
				list, err := store.History(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				if len(list) == 0 {
					return fmt.Errorf("the state has no revisions of %s.%s", args[0], severalOrNone(args[0], sortedKeys(s.Records)))
				}
				if asJSON {
					return writeJSON(a.out, map[string]any{"format_version": jsonFormat, "revisions": list})
				}
				view.History(a.out, list, s.Records[args[0]].Hold, time.Now(), view.Options{Color: a.color(a.out)})
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
