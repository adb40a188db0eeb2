package record

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/key"
)

// StaleError says that a plan does not fit what is there now.
type StaleError struct{ What string }

func (e *StaleError) Error() string {
	return "the plan is stale: " + e.What + ". Plan again, and review the new plan"
}

// Fits refuses a plan that was made for another state, stack or davit, and a reviewed one that was made with other variables.
// What cannot be told is a warning.
func Fits(ctx context.Context, i *input.Input, p *plan.Plan, s *state.Snapshot, reviewed bool) hcl.Diagnostics {
	err := fitsState(ctx, i, p, s)
	if err == nil {
		err = FitsFiles(p, i.Stack)
	}
	if err == nil && p.Davit != i.Version {
		err = &StaleError{What: fmt.Sprintf("it was made by davit %s, but this is davit %s", p.Davit, i.Version)}
	}
	if err == nil {
		err = fitsPlugins(i, p)
	}
	if err != nil {
		return hcl.Diagnostics{diag.Plain("The plan cannot be applied", err.Error())}
	}
	if !reviewed {
		return nil // it was made a moment ago, with the same ones
	}
	return fitsVariables(i, p)
}

// FitsFiles refuses a plan that was made of other files: the error is a *StaleError.
func FitsFiles(p *plan.Plan, s *config.Stack) error {
	if p.Config == s.Digest {
		return nil
	}
	what := "the stack's files have changed"
	if list := movedFiles(p.Files, s.Sums); len(list) > 0 {
		what += ": " + FirstFew(list)
	}
	return &StaleError{What: what}
}

// movedFiles says which files are not what they were.
func movedFiles(was, is map[string]string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(is)) {
		switch sum, there := was[name]; {
		case !there:
			list = append(list, name+" is new")
		case sum != is[name]:
			list = append(list, name+" has changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if _, there := is[name]; !there {
			list = append(list, name+" was removed")
		}
	}
	return list
}

// few is how many things an error names.
const few = 3

// FirstFew names the first things of a list.
func FirstFew(list []string) string {
	s := strings.Join(list[:min(few, len(list))], ", ")
	if n := len(list) - few; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	return s
}

// StateRef is how a plan names the state that it is made against.
func StateRef(s *state.Snapshot) plan.StateRef {
	ref := plan.StateRef{Lineage: s.Lineage, Serial: s.Serial}
	for _, rec := range s.Records {
		if rec.Updated.After(ref.Updated) {
			ref.Updated = rec.Updated
		}
	}
	return ref
}

// fitsRecords refuses a plan that is about a record that is damaged by now.
func fitsRecords(p *plan.Plan, s *state.Snapshot) error {
	for i := range p.Changes {
		if c := &p.Changes[i]; c.Import == "" && slices.Contains(s.Damaged, c.Address) {
			return &StaleError{What: "the record of " + c.Address + " in the state has been damaged since"}
		}
	}
	return nil
}

func fitsState(ctx context.Context, i *input.Input, p *plan.Plan, s *state.Snapshot) error {
	switch {
	case p.State.Lineage != s.Lineage && p.State.Serial > 0:
		return &StaleError{What: "it was made for another state"}
	case p.State.Serial == s.Serial:
		return fitsRecords(p, s)
	}
	what := fmt.Sprintf("the state has changed since: its serial was %d and is now %d", p.State.Serial, s.Serial)
	list := movedRecords(p, s)
	for n := range min(few, len(list)) {
		list[n] += lastOf(ctx, i, list[n], p.State.Updated)
	}
	if len(list) == 0 {
		list = begunSince(p, s)
	}
	if len(list) > 0 {
		what += ": " + FirstFew(list)
	}
	return &StaleError{What: what}
}

// begunSince are the instances on which an operation was begun since a plan was made, and did not end.
func begunSince(p *plan.Plan, s *state.Snapshot) []string {
	var list []string
	for _, op := range s.Operations {
		if op.Kind != config.Notification && !op.Begun.Before(p.Created) {
			list = append(list, fmt.Sprintf("%s (%s started at %s, not ended)", op.Address, op.Action, op.Begun.UTC().Format(time.RFC3339)))
		}
	}
	slices.Sort(list)
	return list
}

// movedRecords are the addresses of which the record was written or removed since a plan was made. What was observed is named only if
// nothing else is.
func movedRecords(p *plan.Plan, s *state.Snapshot) []string {
	var list, observed []string
	for _, address := range slices.Sorted(maps.Keys(s.Records)) {
		switch rec := s.Records[address]; {
		case !rec.Updated.After(p.State.Updated):
		case kinds.IsManaged(rec.Kind):
			list = append(list, address)
		default:
			observed = append(observed, address)
		}
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		_, there := s.Records[c.Address]
		_, before := s.Records[c.MovedFrom]
		switch c.Action {
		case plan.None, plan.Update, plan.Replace, plan.Delete, plan.Forget:
			if !there && !before && !c.Deferred {
				list = append(list, c.Address)
			}
		}
	}
	if len(list) == 0 {
		return observed
	}
	return list
}

// lastOf says what was done to an instance last, by whom and when, if that was later than a time.
func lastOf(ctx context.Context, i *input.Input, address string, after time.Time) string {
	if i.History == nil {
		return ""
	}
	list, err := i.History(ctx, address)
	if err != nil || len(list) == 0 || !list[0].At.After(after) {
		return ""
	}
	return fmt.Sprintf(" (%s by %s at %s)", Past(plan.Action(list[0].Action)), list[0].Who, list[0].At.UTC().Format(time.RFC3339))
}

// fitsPlugins refuses a plan that other plugins were asked for.
func fitsPlugins(i *input.Input, p *plan.Plan) error {
	for _, was := range p.Plugins {
		is := i.Plugin(was.Name)
		switch {
		case is.Version != was.Version:
			return &StaleError{What: fmt.Sprintf("plugin %s was %s and is now %s", was.Name, cmp.Or(was.Version, "of no version"), cmp.Or(is.Version, "of no version"))}
		case is.Checksum != was.Checksum && is.Checksum != "" && was.Checksum != "":
			return &StaleError{What: fmt.Sprintf("plugin %s has the same version %s but another checksum: it was %s and is now %s", was.Name, is.Version, was.Checksum, is.Checksum)}
		}
	}
	return nil
}

// fitsVariables refuses a plan that was made with other values of variables.
func fitsVariables(i *input.Input, p *plan.Plan) hcl.Diagnostics {
	var diags hcl.Diagnostics
	values, secrets := i.PlannedVariables()
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if was, there := p.Variables[name]; there && !bytes.Equal(types.CompactJSON(was), types.CompactJSON(values[name])) {
			err := &StaleError{What: fmt.Sprintf("it was made with variable %q = %s, which is now %s", name, was, values[name])}
			diags = append(diags, diag.Plain("The plan cannot be applied", err.Error()))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		switch was := p.Secrets[name]; {
		case !key.Same(was, secrets[name]):
			diags = append(diags, cannotCompare(name))
		case was != secrets[name]:
			diags = append(diags, diag.Plain("The plan cannot be applied", fmt.Sprintf(
				"Variable %q is sensitive, so the plan does not contain its value, and its present value is not that of the plan. Give the same value with -var %s=..., in a *.auto.hclvars file, or in the environment as DAVIT_VAR_%s. Or plan again.", name, name, name)))
		}
	}
	return diags
}

func cannotCompare(name string) *hcl.Diagnostic {
	d := diag.Plain("Sensitive variable cannot be compared", fmt.Sprintf(
		"Variable %q cannot be compared with its value in the plan: the plan was made with another key, or without one. Give davit plan and davit apply the same key in %s.", name, key.Env))
	d.Severity = hcl.DiagWarning
	return d
}
