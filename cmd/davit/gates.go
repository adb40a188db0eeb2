package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/core/view"
)

// gateFlags say what a person lets pass the gates of a stack.
type gateFlags struct {
	approve, override []string
}

func (f *gateFlags) add(a *app, cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.approve, "approve", nil, "approve what waits at a gate at this `address`, exactly as the plan shows it")
	cmd.Flags().StringArrayVar(&f.override, "override-gate", nil, "set the windows, the limit and the soak of the gate with this `name` aside; this is recorded")
	_ = cmd.RegisterFlagCompletionFunc("approve", a.completePlace) // both were added above
	_ = cmd.RegisterFlagCompletionFunc("override-gate", a.completeGate)
}

// completeGate completes the name of a gate of the stack.
func (a *app) completeGate(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	return a.completeStack(cmd, prefix, func(stack *config.Stack) []string { return gateNames(stack) })
}

func gateNames(stack *config.Stack) []string {
	var names []string
	for _, g := range stack.Gates {
		names = append(names, g.Name)
	}
	return names
}

// request returns what a person lets pass, now.
func (f *gateFlags) request(stack *config.Stack, verb string) (gate.Request, error) {
	r := gate.Request{Now: time.Now()}
	by := plan.Approval{Who: whoami(), When: r.Now.UTC().Truncate(time.Second), Where: verb}
	for _, s := range f.approve {
		p, err := addr.ParsePlace(s)
		if err != nil {
			return r, err
		}
		r.Grants = append(r.Grants, gate.Grant{Place: p, By: by})
	}
	names := gateNames(stack)
	for _, name := range f.override {
		if !slices.Contains(names, name) {
			return r, fmt.Errorf("-override-gate=%s: the stack has no gate %q.%s", name, name, diag.DidYouMean(name, names))
		}
		r.Overrides = append(r.Overrides, plan.Override{Gate: name, Who: by.Who, When: by.When, Where: verb})
	}
	return r, nil
}

// noteUnused says which -approve flags approve nothing.
func (a *app) noteUnused(r gate.Request, p *plan.Plan) {
	for _, g := range r.Grants {
		used := func(address string) bool {
			at, err := addr.Parse(address)
			return err == nil && g.Place.Matches(at)
		}
		if !slices.ContainsFunc(p.Approvals, func(x plan.Approval) bool { return used(x.Address) }) {
			fmt.Fprintf(a.err, "Note: -approve=%s approves nothing: no change there waits for approval, or can be approved now.\n", g.Place)
		}
	}
}

// approvable tells whether something in a plan waits for a person.
func approvable(p *plan.Plan) bool {
	return slices.ContainsFunc(p.Waiting, func(w plan.Waiting) bool { return w.WaitsForPerson() })
}

// ask asks whether a plan is to be applied, and whether what waits for a person is approved. It returns the plan that is applied then.
func (a *app) ask(s *session.Session, p *plan.Plan, r gate.Request, verb string) (*plan.Plan, error) {
	if !approvable(p) {
		if err := a.confirm(question(p)); err != nil {
			return p, err
		}
		return p, a.stillOpen(s, p)
	}
	said := yes
	var err error
	if p.Empty() {
		if err = a.confirm("Do you want to approve what waits, and apply it?"); err == nil {
			said = approve
		}
	} else {
		said, err = a.answer(question(p)+" \"yes\" applies it without what waits, \"approve\" approves what waits for approval as well:", yes, approve)
	}
	if err != nil {
		return p, err
	}
	if said == yes {
		return p, a.stillOpen(s, p)
	}
	now := time.Now()
	r.Now = now
	for i := range p.Waiting {
		if w := &p.Waiting[i]; w.WaitsForPerson() && w.Digest != "" {
			r.Approvals = append(r.Approvals, plan.Approval{Address: w.Change.Address, Digest: w.Digest, Who: whoami(), When: now.UTC().Truncate(time.Second), Where: verb})
		}
	}
	approved, err := s.PlanAgain(a.soft, r)
	if err != nil {
		return nil, a.problem(err)
	}
	for _, given := range r.Approvals {
		if slices.ContainsFunc(approved.Waiting, func(w plan.Waiting) bool { return w.Change.Address == given.Address && w.Digest != given.Digest }) {
			return nil, fmt.Errorf("%s has changed since it was shown; nothing was changed. Run the command again", given.Address)
		}
	}
	return approved, nil
}

// stillOpen refuses a plan if a gate has closed while a question waited for its answer.
func (a *app) stillOpen(s *session.Session, p *plan.Plan) error {
	held, err := s.Held(a.soft, p, gate.Request{Now: time.Now()})
	if err == nil && len(held) > 0 {
		err = fmt.Errorf("a gate has closed since the plan was made; nothing was changed: %s %s. Run the command again", held[0].Change.Address, gate.Words(&held[0]))
	}
	return err
}

// checkGates refuses a saved plan of which something waits at a gate by now: its windows may have closed since it was made.
func (a *app) checkGates(s *session.Session, p *plan.Plan, r gate.Request) error {
	held, err := s.Held(a.soft, p, r)
	if err != nil || len(held) == 0 {
		p.Overrides = append(p.Overrides, r.Overrides...)
		return err
	}
	lines := []string{"the plan cannot be applied now:"}
	for i := range held {
		lines = append(lines, fmt.Sprintf("  %s %s", held[i].Change.Address, gate.Words(&held[i])))
	}
	return errors.New(strings.Join(lines, "\n") + "\nApply it when the gates are open, or with -override-gate=NAME, or make a new plan")
}

// sayWaiting says what was left out because it waits, and how to approve it.
func (a *app) sayWaiting(p *plan.Plan, detailed bool) {
	if len(p.Waiting) > 0 && detailed {
		a.code = exitChanges
	}
	view.Waiting(a.out, p, view.Options{Color: a.color(a.out)})
}
