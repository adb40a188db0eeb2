package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/core/why"
	"github.com/davit-sh/davit/state"
)

func (a *app) whyCmd() *cobra.Command {
	var file string
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use: "why ADDRESS", Short: "Explain an instance: what was done and why, back to the commit",
		Long: "Why prints what was done to an instance last, when, by whom and for what reason, which fields changed, which tag was chosen and which\n" +
			"were rejected, and the same of everything that it was made from. It needs no plugin and no network.\n\n" +
			"  davit why application.kubernetes.api\n  davit why -plan=p.davit policy.semver.api",
		Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeAddress,
		RunE: func(cmd *cobra.Command, args []string) error {
			if file != "" {
				p, err := plan.ReadFile(file)
				if err != nil {
					return err
				}
				var all []string
				for _, c := range p.Changes {
					all = append(all, c.Address)
				}
				for _, o := range p.Observations {
					all = append(all, o.Address)
				}
				return a.explain(why.Planned{Plan: p}, args[0], all, asJSON, verbose)
			}
			return a.withState(cmd.Context(), func(store state.Store, s *state.Snapshot) error {
				facts := &why.Applied{Snapshot: s, History: func(address string) ([]state.Revision, error) {
					return store.History(context.WithoutCancel(cmd.Context()), address)
				}}
				return a.explain(facts, args[0], sortedKeys(s.Records), asJSON, verbose)
			})
		},
	}
	cmd.Flags().StringVar(&file, "plan", "", "explain the change in the saved plan in this `file`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "print all lines of long lists")
	return cmd
}

func (a *app) explain(facts why.Facts, asked string, all []string, asJSON, verbose bool) error {
	address, attribute := instanceOf(asked)
	switch list, _ := meant(address, all); {
	case len(list) == 1:
		address = list[0]
	case len(list) > 1 && !slices.Contains(list, address):
		return fmt.Errorf("%s has more than one instance.%s", address, severalOrNone(address, all))
	}
	c, err := why.Explain(facts, address)
	if err != nil {
		return fmt.Errorf("%w.%s", err, severalOrNone(address, all))
	}
	if asJSON {
		return writeJSON(a.out, struct {
			Format int `json:"format_version"`
			*why.Cause
		}{jsonFormat, c})
	}
	if attribute != "" {
		value, err := view.Attribute(c.Outputs, attribute)
		if err != nil {
			return fmt.Errorf("%s: %w", asked, err)
		}
		fmt.Fprintf(a.out, "%s = %s\n\n", asked, value)
	}
	view.Why(a.out, c, view.Options{Color: a.color(a.out), Verbose: verbose})
	return nil
}

// instanceOf splits policy.semver.api.tag into the instance and what is asked of it.
func instanceOf(s string) (address, attribute string) {
	for cut := len(s); cut > 0; cut = strings.LastIndexByte(s[:cut], '.') {
		if _, err := addr.Parse(s[:cut]); err == nil {
			return s[:cut], strings.TrimPrefix(s[cut:], ".")
		}
	}
	return s, ""
}
