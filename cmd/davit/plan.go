package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/view"
)

func (a *app) planCmd() *cobra.Command {
	var f stackFlags
	var pf planFlags
	var gf gateFlags
	var out string
	var form formFlags
	var detailed, destroy bool
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what an apply would do", Args: cobra.NoArgs,
		Long: "Plan compares the stack with the real objects and shows what an apply would do, with the reason of each change. With -json it\n" +
			"prints the plan (schemas/plan.schema.json) or, if there is an error, the diagnostics (schemas/validate.schema.json).\n\n" +
			"  davit plan -out p.davit\n  davit plan -json",
	}
	var made *plan.Plan
	var stack *config.Stack
	planAndPrint := func() error {
		mode := plan.ModeApply
		if destroy {
			mode = plan.ModeDestroy
		}
		opts, err := pf.options(mode)
		if err != nil {
			return err
		}
		emit, status := a.progress(form.asJSON || form.asMarkdown, false)
		status.Start()
		defer status.Stop()
		s, err := a.open(a.soft, &f, emit)
		if err != nil {
			return err
		}
		defer s.Close()
		request, err := gf.request(s.Stack, "davit plan")
		if err != nil {
			return err
		}
		opts.Approves = request.Places()
		p, err := s.Plan(a.soft, opts, request)
		status.Stop()
		if err != nil {
			return a.problem(err)
		}
		if out != "" {
			if err := p.Save(out); err != nil {
				return err
			}
		}
		made, stack = p, s.Stack
		if err := a.printPlan(p, form); err != nil {
			return err
		}
		if !form.asJSON && !form.asMarkdown {
			a.sayNext(p, out)
		}
		a.noteUnused(request, p)
		if detailed && (!p.Empty() || p.Summary.Drift > 0 || len(p.Waiting) > 0) {
			a.code = exitChanges
		}
		return nil
	}
	cmd.RunE = func(*cobra.Command, []string) error {
		if err := form.check(); err != nil {
			return err
		}
		if !form.asJSON {
			if err := planAndPrint(); err != nil {
				return err
			}
		} else if found := a.find("Planning failed", planAndPrint); !found.Valid {
			return a.printFindings(found)
		}
		a.collect = nil // what is damaged is not said instead of the plan, but besides
		return a.show(stack, record.LeftOut(made, stack))
	}
	f.add(cmd)
	addLockFlag(cmd, &lockFlag{reads: true}, "has no effect: a plan reads the state without a lock")
	cmd.Flags().DurationVar(&f.lockTimeout, "lock-timeout", 0, "has no effect: a plan reads the state without a lock")
	pf.add(a, cmd)
	gf.add(a, cmd)
	cmd.Flags().IntVar(&f.parallel, "parallelism", 0, "the number of instances that are planned at the same time (64)")
	cmd.Flags().StringVar(&out, "out", "", "save the plan in this `file`, for davit apply FILE")
	form.add(cmd)
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are changes, of outputs as well, or, with -refresh-only, when something differs")
	cmd.Flags().BoolVar(&destroy, "destroy", false, "plan the deletion of everything")
	return cmd
}

// sayNext says where the plan is saved, and how to apply it.
func (a *app) sayNext(p *plan.Plan, file string) {
	verb := map[plan.Mode]string{plan.ModeApply: "apply", plan.ModeDestroy: "destroy", plan.ModeRefresh: "refresh"}[p.Mode]
	switch {
	case file != "":
		fmt.Fprintf(a.out, "\nThe plan is saved in %[1]s. To apply exactly this plan: davit apply %[1]s\n", file)
	case p.Empty() && approvable(p):
		fmt.Fprintf(a.out, "\nNext: davit %s. The command plans again, and asks for approval of what waits\n", verb)
	case !p.Empty():
		fmt.Fprintf(a.out, "\nNext: davit %s. The plan was not saved: the command plans again, and asks. To save it: davit plan -out=FILE\n", verb)
	}
}

// formFlags say in which form a plan is printed.
type formFlags struct {
	asJSON, asMarkdown, verbose bool
	limit                       int
}

func (f *formFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&f.asMarkdown, "markdown", false, "print Markdown for a pull request")
	cmd.Flags().IntVar(&f.limit, "limit", view.CommentLimit, "the maximum bytes of Markdown; the least important lines are left out")
	cmd.Flags().BoolVar(&f.verbose, "verbose", false, "show unchanged instances and items as well")
}

func (f *formFlags) check() error {
	if f.asJSON && f.asMarkdown {
		return errors.New("-json and -markdown cannot be combined")
	}
	if f.limit < minLimit {
		return fmt.Errorf("-limit=%d is too small for a plan: use %d or more", f.limit, minLimit)
	}
	return nil
}

// minLimit is room for the head and the foot of a comment.
const minLimit = 1000

func (a *app) printPlan(p *plan.Plan, f formFlags) error {
	if f.asJSON || f.asMarkdown {
		if err := p.Seal(); err != nil {
			return err
		}
	}
	switch {
	case f.asJSON:
		return view.JSON(a.out, p)
	case f.asMarkdown:
		_, err := a.out.Write([]byte(view.Markdown(p, view.MarkdownOptions{Limit: f.limit})))
		return err
	}
	return view.Text(a.out, p, view.Options{Color: a.color(a.out), Verbose: f.verbose, Compact: a.compactWarnings})
}

// progress prints events to standard error, unless it shall stay quiet. status is the line that a terminal shows while a plan
// is made (nil: none).
func (a *app) progress(quiet, verbose bool) (emit event.Sink, status *view.Status) {
	if quiet {
		return nil, nil
	}
	f, isFile := a.err.(*os.File)
	terminal := isFile && isTerminal(f)
	emit = view.Progress(a.err, view.Options{Color: a.color(a.err), Verbose: verbose, Fold: !terminal})
	if !terminal || os.Getenv("TERM") == "dumb" {
		return emit, nil
	}
	columns, _, err := term.GetSize(int(f.Fd())) //nolint:gosec // a file descriptor is a small number
	if err != nil {
		columns = 80
	}
	status = view.NewStatus(a.err, columns, emit)
	return status.Sink, status
}
