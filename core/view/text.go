package view

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/internal/text"
)

// Text writes a plan for a terminal: the summary, observations, changes, and the summary again.
func Text(w io.Writer, p *plan.Plan, o Options) error {
	b := bufio.NewWriter(w)
	t := &textWriter{w: b, palette: palette{o.Color}, plan: p, o: o}
	t.print()
	return b.Flush()
}

type textWriter struct {
	w *bufio.Writer
	palette
	plan *plan.Plan
	o    Options
}

func (t *textWriter) line(indent int, s string) {
	fmt.Fprintf(t.w, "%s%s\n", strings.Repeat(" ", indent), s)
}

func (t *textWriter) print() {
	t.line(0, t.bold(summaryLine(t.plan)))
	if s := partialLine(t.plan); s != "" {
		t.line(0, t.action(plan.Update, s))
	}
	some := t.o.Verbose || slices.ContainsFunc(t.plan.Changes, func(c plan.Change) bool { return shown(t.plan, c) })
	t.failed()
	if t.plan.Empty() && !some && len(t.plan.Waiting) == 0 {
		t.records()
		t.checks()
		t.warnings()
		t.outputs()
		return
	}
	t.deletions()
	t.moves()
	t.observations()
	for _, c := range t.plan.Changes {
		if t.o.Verbose || shown(t.plan, c) {
			t.change(c)
		}
	}
	t.waiting()
	t.records()
	t.steps()
	t.checks()
	t.warnings()
	t.outputs()
	t.line(0, "")
	if !t.plan.Empty() || len(t.plan.Waiting) > 0 {
		t.line(0, t.faint("+ create  ~ update  -/+ replace  - delete  * build  = adopt  x forget"))
	}
	t.line(0, t.bold(summaryLine(t.plan)))
}

// failed prints what cannot be planned, and why.
func (t *textWriter) failed() {
	if len(t.plan.Failed) > 0 {
		t.line(0, "")
	}
	for _, f := range t.plan.Failed {
		lines := failedLines(f)
		first := text.Clean(f.Address) + " cannot be planned"
		if len(lines) > 0 {
			first, lines = first+": "+lines[0], lines[1:]
		}
		t.line(0, t.action(plan.Delete, "! "+first))
		for _, l := range lines {
			t.line(4, l)
		}
	}
}

// deletions come first: each on its own line.
func (t *textWriter) deletions() {
	list := deletions(t.plan)
	if len(list) == 0 {
		return
	}
	t.line(0, "")
	t.line(0, t.action(plan.Delete, "WILL BE DELETED:"))
	for _, d := range list {
		t.line(2, t.action(plan.Delete, "- "+d))
	}
}

// deletions lists every deletion of a plan, nested ones as well.
func deletions(p *plan.Plan) []string {
	var list []string
	for _, l := range p.Leftovers {
		what := "the old one, left over from an interrupted replacement"
		if l.New {
			what = "the new one, left over from an interrupted replacement"
		}
		list = append(list, fmt.Sprintf("%s (%s)", text.Clean(l.Address), what))
	}
	for _, c := range p.Changes {
		if c.Action == plan.Delete || c.Action == plan.Replace {
			line := text.Clean(c.Address)
			if c.Action == plan.Replace {
				line += " (replaced)"
			}
			list = append(list, line)
		}
		for _, i := range c.Items {
			switch i.Action {
			case plan.Delete:
				list = append(list, fmt.Sprintf("%s %s of %s", text.Clean(i.Kind), text.Clean(i.Name), text.Clean(c.Address)))
			case plan.Replace:
				list = append(list, fmt.Sprintf("%s %s of %s (replaced)", text.Clean(i.Kind), text.Clean(i.Name), text.Clean(c.Address)))
			}
		}
	}
	return list
}

// records names the records that an apply brings up to date, although nothing is to be done about their instances.
func (t *textWriter) records() {
	list := outdatedRecords(t.plan)
	if len(list) > 0 {
		t.line(0, "")
		t.line(0, t.bold("Only state will be updated:"))
	}
	for _, line := range list {
		t.line(2, line)
	}
}

// moves prints a line for each record that gets another address. The object itself does not change.
func (t *textWriter) moves() {
	if len(t.plan.Moves) > 0 {
		t.line(0, "")
	}
	for _, m := range t.plan.Moves {
		t.line(0, fmt.Sprintf("  %s moves to %s", text.Clean(m.From), text.Clean(m.To)))
	}
}

// checks prints the checks that fail or are not known yet. The message of a failed check is a warning of the plan as well, so
// it is printed here only when warnings are printed without details.
func (t *textWriter) checks() {
	first := true
	for _, c := range t.plan.Checks {
		if c.Status == "pass" && !t.o.Verbose {
			continue
		}
		if first {
			t.line(0, "")
			first = false
		}
		line := fmt.Sprintf("%s: %s", text.Clean(c.Address), map[string]string{"fail": "FAILED", "unknown": "known after apply", "pass": "passed"}[c.Status])
		if c.Message != "" && (c.Status != "fail" || t.o.Compact) {
			line += ": " + text.Clean(strings.Join(text.Lines(c.Message), " "))
		}
		t.line(0, t.action(map[string]plan.Action{"fail": plan.Delete}[c.Status], line))
	}
}

// moved tells whether an observation differs from the one of the last apply.
func moved(o plan.Observation) bool {
	return o.Before == nil || string(o.Before.Value) != string(o.Outputs.Value) || !o.Outputs.IsKnown()
}

// shows tells whether an observation is printed: the tags of an image are shown by its policy.
func shows(o plan.Observation, verbose bool) bool {
	return len(o.ReadAfter) > 0 || o.Kind != "image" && (verbose || moved(o))
}

func (t *textWriter) observations() {
	first := true
	for _, o := range t.plan.Observations {
		if !shows(o, t.o.Verbose) {
			continue
		}
		if first {
			t.line(0, "")
			first = false
		}
		t.line(2, t.bold(text.Clean(o.Address))+"  "+observed(o))
		for _, i := range o.Items {
			t.line(6, t.faint(text.Clean(i.Name))+"  "+text.Clean(i.Note))
		}
	}
}

// observed describes an observation in a few words: a revision, or a chosen tag with its reason.
func observed(o plan.Observation) string {
	if len(o.ReadAfter) > 0 {
		return "is read during apply, after " + some(o.ReadAfter)
	}
	switch o.Kind {
	case "source":
		rev, before := outputString(&o.Outputs, "revision"), outputString(o.Before, "revision")
		switch {
		case rev == "":
			return text.Unknown
		case before == "":
			return "at " + text.Clean(text.Revision(rev))
		case before == rev:
			return "at " + text.Clean(text.Revision(rev)) + " (unchanged)"
		}
		return fmt.Sprintf("%s..%s", text.Clean(text.Revision(before)), text.Clean(text.Revision(rev)))
	case "policy":
		tag, before := outputString(&o.Outputs, "tag"), outputString(o.Before, "tag")
		if tag == "" {
			return text.Unknown
		}
		s := "chooses " + text.Clean(tag)
		if before != "" && before != tag {
			s = fmt.Sprintf("%s -> %s", text.Clean(before), text.Clean(tag))
		}
		if len(o.Reasons) > 0 {
			s += ": " + text.Clean(strings.Join(o.Reasons, "; "))
		}
		return s
	}
	return text.Clean(strings.Join(o.Reasons, "; "))
}

// waiting prints what waits at a gate, with what would be done.
func (t *textWriter) waiting() {
	for i := range t.plan.Waiting {
		w := &t.plan.Waiting[i]
		whole := *t.plan
		whole.Images = w.Images
		as := textWriter{w: t.w, palette: t.palette, plan: &whole, o: t.o}
		as.changeAs(w.Change, waitingLine(w))
		if s := approveLine(t.plan, w); s != "" {
			t.line(6, t.faint(s))
		}
	}
}

func (t *textWriter) change(c plan.Change) { t.changeAs(c, phrase(t.plan, c)) }

func (t *textWriter) changeAs(c plan.Change, phrase string) {
	t.line(0, "")
	head := fmt.Sprintf("%s %s", symbols[c.Action], text.Clean(c.Address))
	t.line(0, t.action(c.Action, t.bold(head))+" "+t.action(c.Action, phrase))
	for _, r := range c.Reasons {
		t.line(6, t.faint("because ")+text.Clean(r))
	}
	for _, r := range remarks(c) {
		t.line(6, r)
	}
	t.images(c)
	t.build(c)
	for _, f := range c.Changed() {
		action, s := fieldLine(f, c.WaitsFor)
		t.line(6, t.action(action, s))
	}
	for _, i := range c.Items {
		t.item(c, i)
	}
}

func (t *textWriter) images(c plan.Change) {
	for _, i := range t.plan.Images {
		if i.Application != c.Address {
			continue
		}
		t.line(4, t.bold("image ")+imageLine(i, c.WaitsFor))
		if r := commitRange(i); r != "" {
			t.line(8, fmt.Sprintf("%s of %s", text.Clean(r), text.Clean(i.Source)))
		}
		for _, m := range i.Commits {
			t.line(10, t.faint(text.Clean(m.ID))+"  "+text.Clean(m.Subject))
		}
	}
}

// build shows what a build makes.
func (t *textWriter) build(c plan.Change) {
	if c.Kind != "build" || c.Action == plan.Delete || c.After == nil {
		return
	}
	repo, tag := outputString(c.After, "repository"), outputString(c.After, "tag")
	if repo == "" {
		return
	}
	digest := outputString(c.After, "digest")
	if digest == "" {
		digest = "(known after build)"
	}
	t.line(4, fmt.Sprintf("%s:%s@%s", text.Clean(repo), text.Clean(tag), text.Clean(digest)))
	if before := outputString(c.Before, "tag"); before != "" && before != tag {
		t.line(4, fmt.Sprintf("tag %s -> %s", text.Clean(before), text.Clean(tag)))
	}
}

// ownerChange says where a thing goes to or comes from when it changes its owner. It is "" for others.
func ownerChange(i plan.Item) string {
	switch {
	case i.MovedTo != "":
		return "  moves to " + text.Clean(i.MovedTo)
	case i.MovedFrom != "":
		return "  moves here from " + text.Clean(i.MovedFrom)
	}
	return ""
}

func (t *textWriter) item(c plan.Change, i plan.Item) {
	if i.Action == plan.None && i.MovedTo == "" && !t.o.Verbose {
		return
	}
	line := fmt.Sprintf("%s %s %s", symbols[i.Action], text.Clean(i.Kind), text.Clean(i.Name))
	switch i.Action {
	case plan.Delete:
		line += "  DELETED"
	case plan.Replace:
		line += "  REPLACED"
	}
	line = t.action(i.Action, line+ownerChange(i))
	if i.Note != "" {
		line += "  " + t.faint(text.Clean(i.Note))
	}
	t.line(4, line)
	if i.Action == plan.Delete {
		return
	}
	for _, f := range i.Fields {
		action, s := fieldLine(f, c.WaitsFor)
		t.line(8, t.action(action, s))
	}
}

func (t *textWriter) warnings() {
	for _, w := range t.plan.Warnings {
		t.line(0, "")
		t.line(0, t.action(plan.Update, "Warning: ")+text.Clean(w.Summary))
		if t.o.Compact {
			continue
		}
		for _, l := range text.Lines(w.Detail) {
			t.line(2, text.Clean(l))
		}
	}
}

func (t *textWriter) outputs() {
	if t.plan.OutputsChanged() == 0 {
		return
	}
	t.line(0, "")
	t.line(0, t.bold("Changes to outputs:"))
	for i := range t.plan.Outputs {
		if o := &t.plan.Outputs[i]; o.Changed() {
			action, line := outputLine(o)
			t.line(2, t.action(action, line))
		}
	}
}

// outputLine writes an output that changes as a symbol, its name and its values.
func outputLine(o *plan.Output) (plan.Action, string) {
	return fieldLine(plan.Field{Path: o.Name, Before: o.Before, After: o.Value, Unknown: o.Unknown}, nil)
}
