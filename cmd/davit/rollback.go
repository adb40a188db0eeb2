package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/core/server/client"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/state"
)

func (a *app) rollbackCmd() *cobra.Command {
	var f applyFlags
	var to uint64
	var reason string
	var remote orderFlags
	cmd := &cobra.Command{
		Use: "rollback ADDRESS", Short: "Return an instance to an earlier revision, and hold it there",
		Long: "Rollback plans an instance as it was at an earlier revision (the one before the newest, or -to), shows the plan and applies it.\n" +
			"Its dependencies are not changed: nothing is built, and its files are those of that revision.\n" +
			"The instance then stays at that revision, even when its block changes, until davit release.\n" +
			"With -server, or DAVIT_SERVER, davit serve does it for the stack that -stack names.\n\n" +
			"  davit rollback application.kubernetes.api -to 12 -reason \"slow queries\"",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeAddress,
		RunE: func(_ *cobra.Command, args []string) error {
			if stack, address, is := remote.stackAddress(args); is {
				return a.ordered(&remote, stack, func(c *client.Client, stack string) (*status.Order, error) {
					return c.Rollback(a.soft, stack, address, to, reason)
				})
			}
			f.targets = []string{args[0]}
			return a.apply(&f, plan.ModeApply, nil, func(ctx context.Context, s *session.Session, o *engine.Options) error {
				number, err := s.EarlierRevision(ctx, args[0], to)
				if err != nil {
					return err
				}
				o.Rollback = &engine.Rollback{Address: args[0], Revision: number, Who: whoami(), Reason: reason}
				return nil
			})
		},
	}
	f.addRun(a, cmd)
	remote.addStack(cmd)
	cmd.Flags().Uint64Var(&to, "to", 0, "the number of the `revision` in davit history")
	cmd.Flags().StringVar(&reason, "reason", "", "the reason, shown wherever the hold is shown")
	return cmd
}

func (a *app) releaseCmd() *cobra.Command {
	var remote orderFlags
	cmd := a.stateWriter(&cobra.Command{
		Use: "release ADDRESS", Short: "End the hold of a rollback",
		Long: "Release ends the hold of davit rollback. Only the state changes; the next plan updates the instance to its block.\n\n" +
			"  davit release application.kubernetes.api && davit plan",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeAddress,
	}, func(args []string, s *stateWriting) error {
		rec, err := recordOf(s.Snapshot, args[0])
		if err != nil {
			return err
		}
		if rec.Hold == nil {
			fmt.Fprintf(a.out, "%s is not held.\n", args[0])
			return nil
		}
		was := rec.Hold.Revision
		rec.Hold = nil
		if err := s.commit(state.Batch{Put: []state.Record{rec}}); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "%s is no longer held at revision %d. Next: davit plan\n", args[0], was)
		s.tellOpen(args[0], "the next davit apply finds out how far it came")
		return nil
	})
	here := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		stack, address, is := remote.stackAddress(args)
		if !is {
			return here(cmd, args)
		}
		return a.ordered(&remote, stack, func(c *client.Client, stack string) (*status.Order, error) {
			return c.Release(a.soft, stack, address)
		})
	}
	remote.addStack(cmd)
	return cmd
}
