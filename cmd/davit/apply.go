package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/core/view"
	"github.com/davit-sh/davit/state"
)

type applyFlags struct {
	stackFlags
	planFlags
	gateFlags
	verb                           string // the command's name
	yes, asJSON, verbose, detailed bool
}

// addRun adds the flags of every verb that carries a plan out.
func (f *applyFlags) addRun(a *app, cmd *cobra.Command) {
	f.stackFlags.add(cmd)
	f.addLock(cmd)
	f.verb = cmd.Name()
	f.gateFlags.add(a, cmd)
	cmd.Flags().BoolVar(&f.detailed, "detailed-exitcode", false, "exit with 2 when something was left out because it waits at a gate")
	cmd.Flags().BoolVar(&f.yes, "auto-approve", false, "do not ask")
	cmd.Flags().BoolVar(&f.verbose, "verbose", false, "show unchanged instances and items in the plan, and each item while it is applied")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print events as lines of JSON; needs -auto-approve or a plan file")
}

func (a *app) applyCmd() *cobra.Command {
	var f applyFlags
	var destroy bool
	cmd := &cobra.Command{
		Use: "apply [PLAN]", Short: "Apply a saved plan, or plan and apply",
		Long: "Apply carries out a saved plan with the variables of the plan. Sensitive variables are not in the plan: give them again.\n" +
			"Without a plan file it makes a plan, shows it and asks for approval.\n\n" +
			"  davit plan -out=plan.davit && davit apply plan.davit",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var reviewed *plan.Plan
			if len(args) == 1 {
				if destroy {
					return errors.New("a saved plan is applied as it was reviewed: -destroy belongs to davit plan")
				}
				var err error
				if reviewed, err = plan.ReadFile(args[0]); err != nil {
					return err
				}
			}
			f.reviewed = reviewed
			mode := plan.ModeApply
			if destroy {
				mode = plan.ModeDestroy
			}
			return a.apply(&f, mode, reviewed, nil)
		},
	}
	cmd.Flags().BoolVar(&destroy, "destroy", false, "delete everything, as davit destroy does")
	f.planFlags.add(a, cmd)
	f.addRun(a, cmd)
	return cmd
}

func (a *app) destroyCmd() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use: "destroy", Short: "Delete everything in the stack's state", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.apply(&f, plan.ModeDestroy, nil, nil) },
	}
	f.addParts(a, cmd)
	f.addRun(a, cmd)
	return cmd
}

func (a *app) refreshCmd() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use: "refresh", Short: "Compare the real objects with the last apply, and update the state",
		Long: "Refresh shows the objects that were changed or deleted by others since the last apply. Only the state changes.\n\n" +
			"  davit refresh -auto-approve",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			f.refreshOnly = true
			return a.apply(&f, plan.ModeApply, nil, nil)
		},
	}
	f.addParts(a, cmd)
	f.addRun(a, cmd)
	return cmd
}

func (a *app) importCmd() *cobra.Command {
	var f applyFlags
	cmd := &cobra.Command{
		Use: "import ADDRESS ID", Short: "Import an existing object",
		Long: "Import writes the record of an existing object to the state, under the address of the block that describes it.\n\n" +
			"  davit import application.kubernetes.api shop/web",
		Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeFirst(a.completePlace),
		RunE: func(_ *cobra.Command, args []string) error {
			f.targets = []string{args[0]}
			return a.apply(&f, plan.ModeApply, nil, func(_ context.Context, s *session.Session, o *engine.Options) error {
				at, err := addr.Parse(args[0])
				if err != nil {
					return err
				}
				snapshot, err := s.Store.Load(a.soft)
				if err != nil {
					return err
				}
				if _, there := snapshot.Records[at.String()]; there {
					return fmt.Errorf("the state already has a record of %s: if it is of another object, remove it with davit state rm", at)
				}
				o.Import = map[string]string{at.String(): args[1]}
				return nil
			})
		},
	}
	f.addRun(a, cmd)
	return cmd
}

// apply carries out a reviewed plan, or makes one, shows it and asks. adjust, if there is one, changes what the plan is about.
func (a *app) apply(f *applyFlags, mode plan.Mode, reviewed *plan.Plan, adjust func(context.Context, *session.Session, *engine.Options) error) error {
	if f.asJSON && !f.yes && reviewed == nil {
		return errors.New("-json cannot ask for approval: use -auto-approve or a plan file")
	}
	opts, err := f.options(mode)
	if err != nil {
		return err
	}
	if reviewed != nil {
		if len(f.approve) > 0 {
			return errors.New("a saved plan cannot be changed: use -approve with davit plan")
		}
		if opts.Targets != nil || opts.Excludes != nil || opts.Replace != nil || opts.NoRefresh || opts.Mode != mode {
			return errors.New("a saved plan cannot be changed: use -target, -exclude, -replace, -refresh and -refresh-only with davit plan")
		}
		opts.Mode = reviewed.Mode
	}
	var emit event.Sink
	var status *view.Status
	if f.asJSON {
		f.run = uuid.NewString()
		emit = ofRun(f.run, view.JSONEvents(a.out))
		a.collect = &hcl.Diagnostics{}
		defer func() { emitDiagnostics(emit, *a.collect) }()
		emit(event.Event{Time: time.Now().UTC(), Type: event.Version, Davit: version, Format: event.Format})
	} else {
		emit, status = a.progress(false, f.verbose)
	}
	s, err := a.open(a.soft, &f.stackFlags, emit)
	if err != nil {
		return err
	}
	defer s.Close()
	lease, err := a.lock(a.soft, s, "davit "+string(opts.Mode), f.lockTimeout)
	if err != nil {
		return err
	}
	defer func() {
		if err := lease.Release(a.hard); err != nil {
			fmt.Fprintf(a.err, "Warning: the lock on the state could not be released and will expire by itself: %s\n", err)
		}
	}()
	if adjust != nil {
		if err := adjust(a.soft, s, &opts); err != nil {
			return err
		}
	}
	verb := "davit " + f.verb
	request, err := f.request(s.Stack, verb)
	if err != nil {
		return err
	}
	p := reviewed
	if p != nil {
		if err := a.checkGates(s, p, request); err != nil {
			return err
		}
	}
	if p == nil {
		status.Start()
		opts.Approves = request.Places()
		p, err = s.Plan(a.soft, opts, request)
		status.Stop()
		if err != nil {
			return errors.Join(a.problem(err), a.tellFailure(s, lease))
		}
		if !f.asJSON {
			if err := a.printPlan(p, formFlags{verbose: f.verbose}); err != nil {
				return err
			}
		}
		a.noteUnused(request, p)
		if p.Empty() && !f.asJSON && !writes(s, p) && (f.yes || !approvable(p)) {
			if p.Mode == plan.ModeApply {
				a.showOutputs(s)
			}
			a.sayWaiting(p, f.detailed)
			left := a.show(s.Stack, record.LeftOut(p, s.Stack))
			if len(p.Failed) > 0 {
				return errors.Join(left, a.tellFailure(s, lease))
			}
			return left
		}
		if !f.yes && (!p.Empty() || approvable(p)) {
			if p, err = a.ask(s, p, request, verb); err != nil {
				return err
			}
		}
	}
	if f.asJSON {
		emit(planEvent(p))
	}
	result, diags := s.Engine.Apply(a.hard, p, engine.ApplyOptions{Store: s.Store, Lease: lease, Reviewed: reviewed != nil, Stop: a.soft, Who: whoami()})
	if result != nil && !f.asJSON && (reviewed != nil || !p.Empty()) {
		view.Result(a.out, result, view.Options{Color: a.color(a.out)})
		if p.Mode == plan.ModeApply {
			a.showOutputs(s)
		}
	}
	if result != nil && !f.asJSON {
		a.sayWaiting(p, f.detailed)
	} else if f.detailed && len(p.Waiting) > 0 {
		a.code = exitChanges
	}
	if err := a.show(s.Stack, diags); err != nil {
		return err
	}
	if result != nil && len(result.NotStarted) > 0 {
		next := "run davit " + string(opts.Mode) + " again"
		if reviewed != nil {
			next = "make a new plan"
		}
		return fmt.Errorf("the run was stopped before everything was done; to continue, %s", next)
	}
	return nil
}

// tellFailure tells notifications that planning failed.
func (a *app) tellFailure(s *session.Session, lease state.Lease) error {
	if s.Trouble == nil || a.soft.Err() != nil {
		return nil
	}
	snapshot, err := s.Store.Load(a.hard)
	if err != nil {
		return nil // it was said already
	}
	return a.show(s.Stack, s.Engine.TellFailure(a.hard, snapshot, lease, whoami(), s.Trouble))
}

// ofRun puts the id of a run into every event.
func ofRun(run string, emit event.Sink) event.Sink {
	return func(e event.Event) {
		e.Run = run
		emit(e)
	}
}

// planEvent counts the changes of a plan.
func planEvent(p *plan.Plan) event.Event {
	_ = p.Seal() // what cannot be sealed is not applied, and says so
	e := event.Event{Time: time.Now().UTC(), Type: event.Plan, Changes: map[string]int{}, Digest: p.Digest}
	for i := range p.Changes {
		e.Changes[string(p.Changes[i].Action)]++
	}
	return e
}

// writes tells whether a plan without changes still writes to state: what was seen, or the end of what a killed process has
// left open.
func writes(s *session.Session, p *plan.Plan) bool {
	return p.Mode == plan.ModeRefresh || s.Unsettled || p.RecordsChanged()
}

// showOutputs prints the outputs as state has them after an apply.
func (a *app) showOutputs(s *session.Session) {
	snapshot, err := s.Store.Load(a.hard)
	if err != nil {
		return // the apply has written to this state, and has said what went wrong
	}
	if len(snapshot.Outputs) == 0 && len(s.Stack.Outputs) == 0 {
		return
	}
	fmt.Fprintln(a.out, "\nOutputs:")
	a.printOutputs(s.Stack, snapshot, "  ")
}

// question asks for the approval of a plan.
func question(p *plan.Plan) string {
	switch p.Mode {
	case plan.ModeDestroy:
		return "Do you want to destroy this?"
	case plan.ModeRefresh:
		return "Do you want to write this to state?"
	}
	return "Do you want to apply this?"
}
