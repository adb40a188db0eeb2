package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/internal/text"
	"github.com/davit-sh/davit/state"
)

func (a *app) stateCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "state", Short: "Inspect and repair the state"}
	cmd.AddCommand(a.stateListCmd(), a.stateShowCmd(), a.stateMvCmd(), a.stateRmCmd(), a.statePullCmd(), a.statePushCmd(), a.stateReplaceCmd(), a.stateRestoreCmd(), a.stateOperationsCmd())
	return cmd
}

func (a *app) stateListCmd() *cobra.Command {
	return &cobra.Command{
		Use: "list [ADDRESS...]", Short: "List the addresses in the state, all or those of blocks and modules",
		Long: "List prints the addresses of the records in the state.\n\n  davit state list\n  davit state list 'module.shop[\"eu\"]'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), func(_ state.Store, s *state.Snapshot) error {
				among := slices.Sorted(slices.Values(slices.Concat(s.Damaged, sortedKeys(s.Records))))
				list := among
				if len(args) > 0 {
					list = nil
				}
				for _, arg := range args {
					found, err := meant(arg, among)
					if err != nil {
						return err
					}
					list = append(list, found...)
				}
				slices.Sort(list)
				list = slices.Compact(list)
				view.StateList(a.out, s, list)
				return nil
			})
		},
	}
}

func (a *app) stateShowCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show ADDRESS", Short: "Print one record of the state", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeAddress,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withState(cmd.Context(), func(_ state.Store, s *state.Snapshot) error {
				r, err := recordOf(s, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return writeJSON(a.out, recordFile{Format: jsonFormat, Record: &r})
				}
				view.StateShow(a.out, r, view.Options{Color: a.color(a.out)})
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func recordOf(s *state.Snapshot, address string) (state.Record, error) {
	r, ok := s.Records[address]
	if slices.Contains(s.Damaged, address) {
		d := record.Damage(&plan.Plan{Damaged: []string{address}})[0]
		return r, fmt.Errorf("%s. %s", d.Summary, diag.InfoOf(d).Hint)
	}
	if !ok {
		return r, fmt.Errorf("the state has no record of %s.%s", address, severalOrNone(address, sortedKeys(s.Records)))
	}
	return r, nil
}

// stateWriting is a verb that writes to state, under the lock.
type stateWriting struct {
	app   *app
	store state.Store
	lease state.Lease
	*state.Snapshot
}

func (w *stateWriting) commit(b state.Batch) error {
	_, err := w.lease.Commit(w.app.hard, b)
	return err
}

// stateWriter makes a verb that writes to state.
func (a *app) stateWriter(cmd *cobra.Command, write func(args []string, s *stateWriting) error) *cobra.Command {
	var f stackFlags
	f.addLockTimeout(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		return a.withState(a.soft, func(store state.Store, _ *state.Snapshot) error {
			lease, err := a.lock(a.soft, &session.Session{Store: store}, cmd.CommandPath(), f.lockTimeout)
			if err != nil {
				return err
			}
			defer lease.Release(a.hard) //nolint:errcheck // it expires by itself
			s, err := store.Load(a.soft)
			if err != nil {
				return err
			}
			if s, err = record.Recover(a.hard, lease, s); err != nil {
				return err
			}
			return write(args, &stateWriting{app: a, store: store, lease: lease, Snapshot: s})
		})
	}
	return cmd
}

// open are the operations on an address that did not end.
func (w *stateWriting) open(address string) []state.Operation {
	var list []state.Operation
	for _, id := range sortedKeys(w.Operations) {
		if op := w.Operations[id]; op.Address == address && op.Kind != config.Notification {
			list = append(list, op)
		}
	}
	return list
}

// tellOpen says of operations on an address that did not end what becomes of them.
func (w *stateWriting) tellOpen(address, what string) {
	for _, op := range w.open(address) {
		fmt.Fprintf(w.app.out, "An operation on it did not end (%s, started %s): %s.\n", op.Action, op.Begun.Format(time.RFC3339), what)
	}
}

func (a *app) stateMvCmd() *cobra.Command {
	return a.stateWriter(&cobra.Command{
		Use: "mv FROM TO", Short: "Give a record another address, with its history", Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeAddress,
		Long: "Mv renames the record of an instance, or all records of a block or module; keys are kept. A moved block in the stack does the same, but in a plan that can be reviewed.\n\n" +
			"  davit state mv application.kubernetes.api application.kubernetes.web\n  davit state mv module.shop module.store",
	}, func(args []string, s *stateWriting) error {
		from, to := args[0], args[1]
		moves, err := movesOf(s.Snapshot, from, to)
		if err != nil {
			return err
		}
		list := make([]state.Move, len(moves))
		for i, m := range moves {
			list[i] = state.Move(m)
		}
		b, _ := state.Rename(s.Snapshot, list)
		if err := s.commit(b); err != nil {
			return err
		}
		for _, m := range moves {
			fmt.Fprintf(a.out, "Moved %s to %s.\n", m.From, m.To)
			s.tellOpen(m.From, "the next davit apply continues it under the new address")
		}
		return nil
	})
}

func (a *app) stateRmCmd() *cobra.Command {
	return a.stateWriter(&cobra.Command{
		Use: "rm ADDRESS...", Short: "Remove records from the state; the real objects are kept", Args: cobra.MinimumNArgs(1), ValidArgsFunction: a.completeAddress,
		Long: "Rm removes the records of an instance, of a block or of a module, with their operations that did not end. The real objects are not deleted: the next plan does not know them.\n\n" +
			"  davit state rm application.kubernetes.api",
	}, func(args []string, s *stateWriting) error {
		args, err := recorded(s.Snapshot, args)
		if err != nil {
			return err
		}
		var b state.Batch
		for _, address := range args {
			if id, operation := strings.CutPrefix(address, "operation "); operation {
				b.End = append(b.End, id)
			} else if strings.HasPrefix(address, "output ") {
				b.Outputs = maps.Clone(s.Outputs) // what can be read is written again
				if b.Outputs == nil {
					b.Outputs = map[string]json.RawMessage{}
				}
			} else {
				b.Delete = append(b.Delete, address)
				for _, op := range s.open(address) {
					b.End = append(b.End, op.ID)
				}
			}
		}
		if err := s.commit(b); err != nil {
			return err
		}
		for _, address := range args {
			fmt.Fprintf(a.out, "Removed the record of %s.\n", address)
			s.tellOpen(address, "it was removed as well; what it did was not undone")
		}
		return nil
	})
}

func (a *app) statePullCmd() *cobra.Command {
	return &cobra.Command{
		Use: "pull", Short: "Print the whole state with its history, as JSON", Args: cobra.NoArgs,
		Long: "Pull prints the state in the form that davit state push reads. It contains no secrets.\n\n  davit state pull > backup.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withState(cmd.Context(), func(store state.Store, _ *state.Snapshot) error {
				all, err := store.Archive(cmd.Context())
				if err != nil {
					return err
				}
				all.FormatVersion = all.Format
				return writeJSON(a.out, all)
			})
		},
	}
}

func (a *app) statePushCmd() *cobra.Command {
	var force bool
	cmd := a.stateWriter(&cobra.Command{
		Use: "push FILE", Short: "Replace the whole state by the output of davit state pull", Args: cobra.ExactArgs(1),
		Long: "Push refuses the state of another stack, and a state that is older than the present one. -force overrides both.\n\n  davit state push backup.json",
	}, func(args []string, s *stateWriting) error {
		content, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		archive, err := state.ReadArchive(args[0], content)
		if err != nil {
			return err
		}
		switch {
		case len(archive.Damaged)+len(s.Damaged) > 0 && !force:
			return fmt.Errorf("the records of %v are damaged and would be lost: remove them with davit state rm first, or use -force", append(archive.Damaged, s.Damaged...))
		case archive.Lineage == "":
			return fmt.Errorf("%s is not a state file: it has no lineage", args[0])
		case s.Lineage != "" && s.Lineage != archive.Lineage && !force:
			return fmt.Errorf("%s is the state of another stack (its lineage is %s, not %s). Use -force to push it anyway", args[0], archive.Lineage, s.Lineage)
		case archive.Serial < s.Serial && !force:
			return fmt.Errorf("%s is older (serial %d) than the present state (serial %d). Use -force to push it anyway", args[0], archive.Serial, s.Serial)
		}
		archive.Serial = max(archive.Serial, s.Serial) + 1
		archive.Format = state.Format
		if err := s.lease.Replace(a.hard, archive); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "The state now has %s.\n", text.Count(len(archive.Records), "record"))
		return nil
	})
	cmd.Flags().BoolVar(&force, "force", false, "accept the state of another stack, or an older state")
	return cmd
}

func (a *app) stateReplaceCmd() *cobra.Command {
	return a.stateWriter(&cobra.Command{
		Use: "replace ADDRESS FILE", Short: "Replace one record by JSON in the form of davit state show -json", Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeAddress,
		Long: "Replace repairs a record by hand.\n\n  davit state show -json application.kubernetes.api > r.json\n  davit state replace application.kubernetes.api r.json",
	}, func(args []string, s *stateWriting) error {
		file := recordFile{Format: jsonFormat, Record: &state.Record{}}
		if err := readStrict(args[1], &file); err != nil {
			return err
		}
		if file.Format != jsonFormat {
			return fmt.Errorf("%s has the format_version %d, but this davit reads %d", args[1], file.Format, jsonFormat)
		}
		rec := *file.Record
		at, err := addr.Parse(args[0])
		switch {
		case err != nil:
			return err
		case rec.Address != args[0] || rec.Kind != at.Kind || rec.Type != at.Type:
			return fmt.Errorf("%s is a record of %s, not of %s", args[1], rec.Address, args[0])
		case rec.Status != state.StatusOK && rec.Status != state.StatusPartial:
			return fmt.Errorf("%s has the status %q: it must be %q or %q", args[1], rec.Status, state.StatusOK, state.StatusPartial)
		}
		rec.Updated = time.Now().UTC()
		if err := s.commit(state.Batch{Put: []state.Record{rec}}); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "Replaced the record of %s.\n", args[0])
		return nil
	})
}

func (a *app) stateRestoreCmd() *cobra.Command {
	var to uint64
	cmd := a.stateWriter(&cobra.Command{
		Use: "restore ADDRESS", Short: "Restore a damaged or missing record from the history", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeAddress,
		Long: "Restore writes the record of an earlier revision. Only the state changes: the next plan shows how the real object differs.\n\n" +
			"  davit state restore application.kubernetes.api\n  davit state restore application.kubernetes.api -to 12",
	}, func(args []string, s *stateWriting) error {
		if _, err := addr.Parse(args[0]); err != nil {
			return err
		}
		r, err := state.Restore(a.hard, s.store, s.lease, args[0], to, whoami())
		if err != nil {
			return err
		}
		fmt.Fprintf(a.out, "Restored the record of %s: %s. Next: davit plan\n", args[0], strings.Join(r.Reasons, "; "))
		return nil
	})
	cmd.Flags().Uint64Var(&to, "to", 0, "the `number` of the revision (default: the newest one)")
	return cmd
}

func (a *app) stateOperationsCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "operations", Short: "List operations that have started and not ended", Args: cobra.NoArgs,
		Long: "Operations lists the operations that a killed process left open. The next apply finds out how far each of them came, and continues.\n\n  davit state operations",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withState(cmd.Context(), func(_ state.Store, s *state.Snapshot) error {
				if asJSON {
					return writeJSON(a.out, map[string]any{"format_version": jsonFormat, "operations": s.Operations})
				}
				view.Operations(a.out, s, time.Now())
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// recordFile is a record as state show -json prints it and state replace reads it.
type recordFile struct {
	Format int `json:"format_version"`
	*state.Record
}

// readStrict reads a JSON file that has nothing in it but what is known.
func readStrict(name string, into any) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	d := json.NewDecoder(f)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s cannot be read: %w", name, err)
	}
	return nil
}

func (a *app) forceUnlockCmd() *cobra.Command {
	return &cobra.Command{
		Use: "force-unlock ID", Short: "Remove the lock on the state that a dead process left behind", Args: cobra.ExactArgs(1),
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

// withState opens the stack's state.
func (a *app) withState(ctx context.Context, fn func(state.Store, *state.Snapshot) error) error {
	return a.withStack(ctx, func(_ *config.Stack, store state.Store, s *state.Snapshot) error { return fn(store, s) })
}

// withStack reads the stack's own files and opens its state.
func (a *app) withStack(ctx context.Context, fn func(*config.Stack, state.Store, *state.Snapshot) error) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	stack, diags := config.Load(dir)
	if diags.HasErrors() {
		return a.show(stack, diags)
	}
	store, err := session.OpenState(ctx, stack)
	if err != nil {
		return a.problem(err)
	}
	defer store.Close()
	s, err := store.Load(ctx)
	if err != nil {
		return err
	}
	return fn(stack, store, s)
}

// jsonFormat is the format_version of what -json prints that has no format of its own. It grows when something is taken
// away or gets another meaning.
const jsonFormat = 1

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
