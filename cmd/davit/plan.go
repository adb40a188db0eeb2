package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/state"
)

func (a *app) planCmd() *cobra.Command {
	var f stackFlags
	var pf planFlags
	var out string
	var asJSON, asMarkdown, detailed, destroy, verbose bool
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what an apply would do", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			mode := plan.ModeApply
			if destroy {
				mode = plan.ModeDestroy
			}
			opts, err := pf.options(mode)
			if err != nil {
				return err
			}
			s, err := a.open(a.soft, &f, a.progress(asJSON || asMarkdown))
			if err != nil {
				return err
			}
			defer s.close()
			p, err := s.plan(a.soft, opts)
			if err != nil {
				return err
			}
			if out != "" {
				if err := p.Save(out); err != nil {
					return err
				}
			}
			if err := a.printPlan(p, asJSON, asMarkdown, verbose); err != nil {
				return err
			}
			if detailed && !p.Empty() {
				a.code = exitChanges
			}
			return nil
		},
	}
	f.add(cmd)
	pf.add(cmd)
	cmd.Flags().IntVar(&f.parallel, "parallelism", 0, "how many instances are planned at once (64)")
	cmd.Flags().StringVar(&out, "out", "", "save the plan to this `file`, for davit apply FILE")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	cmd.Flags().BoolVar(&asMarkdown, "markdown", false, "print the plan as Markdown for a pull request")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are changes")
	cmd.Flags().BoolVar(&destroy, "destroy", false, "plan the deletion of everything")
	cmd.Flags().BoolVar(&verbose, "verbose", false, "show what is unchanged as well")
	return cmd
}

// plan makes a plan of what state and world are now.
func (s *session) plan(ctx context.Context, opts engine.Options) (*plan.Plan, error) {
	snapshot, err := s.store.Load(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.app.warnAboutDamage(snapshot.Damaged); err != nil {
		return nil, err
	}
	s.unsettled = len(snapshot.Operations) > 0
	for _, rec := range snapshot.Records {
		s.unsettled = s.unsettled || rec.Status == state.StatusPartial
	}
	p, diags := s.engine.Plan(ctx, snapshot, opts)
	if diags.HasErrors() {
		return nil, s.app.show(s.stack, diags)
	}
	return p, nil
}

func (a *app) printPlan(p *plan.Plan, asJSON, asMarkdown, verbose bool) error {
	switch {
	case asJSON:
		return view.JSON(a.out, p)
	case asMarkdown:
		_, err := a.out.Write([]byte(view.Markdown(p, view.MarkdownOptions{})))
		return err
	}
	return view.Text(a.out, p, view.Options{Color: a.color(a.out), Verbose: verbose, Compact: a.compactWarnings})
}

// progress prints what goes on to standard error, unless standard error should stay quiet.
func (a *app) progress(quiet bool) event.Sink {
	if quiet {
		return nil
	}
	return view.Progress(a.err, view.Options{Color: a.color(a.err)})
}
