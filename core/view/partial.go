package view

import (
	"slices"
	"strings"


	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/internal/text"
)

// partialLine names the parts of the stack that a plan is limited to or leaves out. It is "" for a plan of the whole stack.
func partialLine(p *plan.Plan) string {
	with, without := "its dependencies", "its dependents"
	if p.Mode == plan.ModeDestroy { // what is kept keeps its dependencies
		with, without = without, with
	}
	var parts []string
	if p.Rollback != "" {
		parts = append(parts, "Only "+text.Clean(p.Rollback)+". Its dependencies are not changed.")
	} else if len(p.Targets) > 0 {
		parts = append(parts, "Only a part of the stack: "+some(p.Targets)+" and "+with+".")
	}
	kept := keptBuilds(p)
	excludes := slices.DeleteFunc(slices.Clone(p.Excludes), func(name string) bool { return slices.Contains(kept, name) })
	if len(excludes) > 0 {
		parts = append(parts, "Not the whole stack: without "+some(excludes)+" and "+without+".")
	}
	if len(p.Damaged) > 0 {
		parts = append(parts, "Not the whole stack: without "+some(p.Damaged)+", whose record in state is damaged, and its dependents.")
	}
	if len(p.Failed) > 0 {
		parts = append(parts, failedPart(p, kept))
	}
	if len(kept) > 0 {
		parts = append(parts, "With the last result of "+some(kept)+".")
	}
	return strings.Join(parts, " ")
}

// failedPart says what the plan leaves out because it cannot be planned.
func failedPart(p *plan.Plan, kept []string) string {
	var names []string
	more := map[string]bool{}
	for _, f := range p.Failed {
		if !slices.Contains(kept, f.Address) {
			names = append(names, f.Address)
		}
		more["its dependents"] = more["its dependents"] || len(f.Dependents) > 0
		more["what it depends on"] = more["what it depends on"] || len(f.Kept) > 0
	}
	if len(names) == 0 {
		return "Not the whole stack."
	}
	parts := []string{"Not the whole stack: without " + some(names) + ", which cannot be planned"}
	for _, name := range []string{"its dependents", "what it depends on"} {
		if more[name] {
			parts = append(parts, "and "+name)
		}
	}
	return strings.Join(parts, ", ") + "."
}

// keptBuilds returns the builds that the plan does not plan, but that their dependants have the last results of.
func keptBuilds(p *plan.Plan) []string {
	var list []string
	for i := range p.Changes {
		if p.Changes[i].LastResult {
			list = append(list, p.Changes[i].Address)
		}
	}
	return list
}

// failedLines returns a line for each error of what cannot be planned, and one for what is left out with it.
func failedLines(f plan.Failure) []string {
	var list []string
	for _, d := range f.Diagnostics {
		line := strings.TrimPrefix(d.Summary, f.Address+": ")
		if d.Detail != "" {
			line += ": " + strings.Join(text.Lines(d.Detail), " ")
		}
		list = append(list, text.Shorten(text.Clean(line), longest))
	}
	if len(f.Dependents) > 0 {
		list = append(list, "left out with it: "+some(f.Dependents))
	}
	if len(f.Kept) > 0 {
		list = append(list, "not deleted because of it: "+some(f.Kept))
	}
	return list
}
