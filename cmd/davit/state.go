package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/state"
)

func (a *app) stateCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "state", Short: "Look at the state"}
	list := &cobra.Command{
		Use: "list", Short: "List the addresses in the state", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withState(cmd.Context(), func(_ state.Store, s *state.Snapshot) error {
				view.StateList(a.out, s, sortedKeys(s.Records))
				return nil
			})
		},
	}
	var asJSON bool
	show := &cobra.Command{
		Use: "show ADDRESS", Short: "Print one record of the state", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), func(_ state.Store, s *state.Snapshot) error {
				r, ok := s.Records[args[0]]
				if !ok {
					return fmt.Errorf("the state has no record of %s.%s", args[0], diag.DidYouMean(args[0], sortedKeys(s.Records)))
				}
				if asJSON {
					return writeJSON(a.out, r)
				}
				view.StateShow(a.out, r, view.Options{Color: a.color(a.out)})
				return nil
			})
		},
	}
	show.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(list, show)
	return cmd
}

func (a *app) forceUnlockCmd() *cobra.Command {
	return &cobra.Command{
		Use: "force-unlock ID", Short: "End a lock on the state that its holder left behind", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), func(store state.Store, _ *state.Snapshot) error {
				if err := store.Unlock(cmd.Context(), args[0]); err != nil {
					return err
				}
				fmt.Fprintln(a.out, "Unlocked.")
				return nil
			})
		},
	}
}

// withState opens the stack's state for reading.
func (a *app) withState(ctx context.Context, fn func(state.Store, *state.Snapshot) error) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	stack, diags := config.Load(dir)
	if diags.HasErrors() {
		return a.show(stack, diags)
	}
	store, err := a.openState(stack)
	if err != nil {
		return err
	}
	defer store.Close()
	s, err := store.Load(ctx)
	if err != nil {
		return err
	}
	return fn(store, s)
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
