package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/state"
)

func (a *app) rollbackCmd() *cobra.Command {
	var f applyFlags
	var to uint64
	var reason string
	cmd := &cobra.Command{
		Use: "rollback ADDRESS", Short: "Return an instance to an earlier revision, and hold it there",
		Long: "Rollback plans an instance as it was at an earlier revision (the one before the newest, or -to), shows the plan and applies it.\n" +
			"Its dependencies are not changed: nothing is built, and its files are those of that revision.\n" +
			"The instance then stays at that revision, even when its block changes, until davit release.\n\n" +
			"  davit rollback application.kubernetes.api -to 12 -reason \"slow queries\"",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeAddress,
		RunE: func(_ *cobra.Command, args []string) error {
			f.targets = []string{args[0]}
			return a.apply(&f, plan.ModeApply, nil, func(ctx context.Context, s *session.Session, o *engine.Options) error {
				number, err := earlierRevision(ctx, s, args[0], to)
				if err != nil {
					return err
				}
				o.Rollback = &engine.Rollback{Address: args[0], Revision: number, Who: whoami(), Reason: reason}
				return nil
			})
		},
	}
	f.addRun(a, cmd)
	cmd.Flags().Uint64Var(&to, "to", 0, "the number of the `revision` in davit history")
	cmd.Flags().StringVar(&reason, "reason", "", "the reason, shown wherever the hold is shown")
	return cmd
}

// earlierRevision finds the revision that a rollback goes to.
func earlierRevision(ctx context.Context, s *session.Session, address string, to uint64) (uint64, error) {
	if _, err := addr.Parse(address); err != nil {
		return 0, err
	}
	list, err := s.Store.History(ctx, address)
	if err != nil {
		return 0, err
	}
	if len(list) == 0 {
		return 0, fmt.Errorf("the state has no revisions of %s", address)
	}
	skipped := false
	for _, r := range list { // newest first
		switch {
		case r.Action == string(plan.Delete) || len(r.Record.Config) == 0:
			continue
		case to == r.Number, to == 0 && skipped:
			return r.Number, nil
		}
		skipped = true
	}
	if to == 0 {
		return 0, fmt.Errorf("%s has only one revision: there is no earlier one", address)
	}
	return 0, fmt.Errorf("%s has no revision %d to return to: see davit history %s", address, to, address)
}

func (a *app) releaseCmd() *cobra.Command {
	return a.stateWriter(&cobra.Command{
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
}
