package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/state"
)

type applyFlags struct {
	stackFlags
	yes, asJSON bool
}

func (f *applyFlags) add(cmd *cobra.Command) {
	f.stackFlags.add(cmd)
	f.addLock(cmd)
	cmd.Flags().BoolVar(&f.yes, "auto-approve", false, "do not ask")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print events as lines of JSON; needs -auto-approve or a plan file")
}

func (a *app) applyCmd() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use: "apply [PLAN]", Short: "Carry out a saved plan, or plan and apply", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var reviewed *plan.Plan
			if len(args) == 1 {
				var err error
				if reviewed, err = plan.ReadFile(args[0]); err != nil {
					return err
				}
			}
			return a.apply(&f, plan.ModeApply, reviewed)
		},
	}
	f.add(cmd)
	return cmd
}

func (a *app) destroyCmd() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use: "destroy", Short: "Delete everything that the stack has made", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.apply(&f, plan.ModeDestroy, nil) },
	}
	f.add(cmd)
	return cmd
}

// apply carries out a reviewed plan, or makes one, shows it and asks.
func (a *app) apply(f *applyFlags, mode plan.Mode, reviewed *plan.Plan) error {
	if f.asJSON && !f.yes && reviewed == nil {
		return errors.New("-json cannot ask: give -auto-approve as well, or a plan file")
	}
	var emit event.Sink
	if f.asJSON {
		emit = view.JSONEvents(a.out)
	} else {
		emit = a.progress(false)
	}
	s, err := a.open(a.soft, &f.stackFlags, emit)
	if err != nil {
		return err
	}
	defer s.close()
	if reviewed != nil {
		mode = reviewed.Mode
	}
	lease, err := s.lock(a.soft, "davit "+string(mode), f.lockTimeout)
	if err != nil {
		return err
	}
	defer func() {
		if err := lease.Release(a.hard); err != nil {
			fmt.Fprintf(a.err, "Warning: the lock on the state could not be given up and will expire by itself: %s\n", err)
		}
	}()
	p := reviewed
	if p == nil {
		if p, err = s.plan(a.soft, mode); err != nil {
			return err
		}
		if !f.asJSON {
			if err := a.printPlan(p, false, false, false); err != nil {
				return err
			}
		}
		if p.Empty() && mode == plan.ModeApply {
			return s.outputsOnly(p, lease)
		}
		if !f.yes {
			if err := a.ask(mode); err != nil {
				return err
			}
		}
	}
	result, diags := s.engine.Apply(a.hard, p, engine.ApplyOptions{Store: s.store, Lease: lease, Reviewed: reviewed != nil, Stop: a.soft})
	if result != nil && !f.asJSON {
		view.Result(a.out, result, view.Options{Color: a.color(a.out)})
	}
	if f.asJSON {
		emitDiagnostics(emit, diags)
	}
	if err := a.show(s.stack, diags); err != nil {
		return err
	}
	if result != nil && len(result.NotStarted) > 0 {
		return errors.New("the run was stopped before everything was done; run davit apply again to go on")
	}
	return nil
}

// ask wants a yes.
func (a *app) ask(mode plan.Mode) error {
	if f, ok := a.in.(*os.File); ok && !isatty.IsTerminal(f.Fd()) && !isPipe(f) {
		return errors.New("nobody is here to approve: give -auto-approve, or apply a saved plan")
	}
	fmt.Fprintf(a.out, "\nDo you want to %s this? Only \"yes\" is accepted: ", mode)
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if strings.TrimSpace(line) == "yes" {
		return nil
	}
	if err != nil {
		return errors.New("nobody is here to approve: give -auto-approve, or apply a saved plan")
	}
	return errors.New("not approved; nothing was changed")
}

func isPipe(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// outputsOnly carries out a plan that changes nothing but, perhaps, the stack's outputs.
func (s *session) outputsOnly(p *plan.Plan, lease state.Lease) error {
	changed := false
	for _, o := range p.Outputs {
		changed = changed || (!o.Sensitive && string(o.Before) != string(o.Value))
	}
	if !changed {
		return nil
	}
	_, diags := s.engine.Apply(s.app.hard, p, engine.ApplyOptions{Store: s.store, Lease: lease, Stop: s.app.soft})
	return s.app.show(s.stack, diags)
}
