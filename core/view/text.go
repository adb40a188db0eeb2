package view

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/davit-sh/davit/core/plan"
)

// Text writes a plan for a terminal: the summary, what was seen, what would be done, the summary again.
func Text(w io.Writer, p *plan.Plan, o Options) error {
	b := bufio.NewWriter(w)
	t := &text{w: b, palette: palette{o.Color}, plan: p, o: o}
	t.print()
	return b.Flush()
}

type text struct {
	w *bufio.Writer
	palette
	plan *plan.Plan
	o    Options
}

func (t *text) line(indent int, s string) {
	fmt.Fprintf(t.w, "%s%s\n", strings.Repeat(" ", indent), s)
}

func (t *text) print() {
	t.line(0, t.bold(summaryLine(t.plan)))
	if s := partialLine(t.plan); s != "" {
		t.line(0, t.action(plan.Update, s))
	}
	some := t.o.Verbose || slices.ContainsFunc(t.plan.Changes, func(c plan.Change) bool { return shown(t.plan, c) })
	if t.plan.Empty() && !some {
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
	t.checks()
	t.warnings()
	t.outputs()
	t.line(0, "")
	if !t.plan.Empty() {
		t.line(0, t.faint("+ create  ~ update  -/+ replace  - delete  * build  = adopt  x forget"))
	}
	t.line(0, t.bold(summaryLine(t.plan)))
}

// deletions come first: each on its own line.
func (t *text) deletions() {
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
		what := "what it was before its replacement, which did not end"
		if l.New {
			what = "what was begun in its place"
		}
		list = append(list, fmt.Sprintf("%s (%s)", clean(l.Address), what))
	}
	for _, c := range p.Changes {
		if c.Action == plan.Delete || c.Action == plan.Replace {
			line := clean(c.Address)
			if c.Action == plan.Replace {
				line += " (replaced)"
			}
			list = append(list, line)
		}
		for _, i := range c.Items {
			switch i.Action {
			case plan.Delete:
				list = append(list, fmt.Sprintf("%s %s of %s", clean(i.Kind), clean(i.Name), clean(c.Address)))
			case plan.Replace:
				list = append(list, fmt.Sprintf("%s %s of %s (replaced)", clean(i.Kind), clean(i.Name), clean(c.Address)))
			}
		}
	}
	return list
}

// moves are shown as lines of their own: nothing happens to what they stand for.
func (t *text) moves() {
	if len(t.plan.Moves) > 0 {
		t.line(0, "")
	}
	for _, m := range t.plan.Moves {
		t.line(0, fmt.Sprintf("  %s is now %s", clean(m.From), clean(m.To)))
	}
}

// checks shows the checks that do not hold, or cannot be told yet. The messages of those that do not hold are warnings
// already, unless warnings are shown without their details.
func (t *text) checks() {
	first := true
	for _, c := range t.plan.Checks {
		if c.Status == "pass" && !t.o.Verbose {
			continue
		}
		if first {
			t.line(0, "")
			first = false
		}
		line := fmt.Sprintf("%s: %s", clean(c.Address), map[string]string{"fail": "DOES NOT HOLD", "unknown": "known after apply", "pass": "holds"}[c.Status])
		if c.Message != "" && (c.Status != "fail" || t.o.Compact) {
			line += ": " + clean(strings.Join(linesOf(c.Message), " "))
		}
		t.line(0, t.action(map[string]plan.Action{"fail": plan.Delete}[c.Status], line))
	}
}

// moved tells whether an observation is news.
func moved(o plan.Observation) bool {
	return o.Before == nil || string(o.Before.Value) != string(o.Outputs.Value) || !o.Outputs.IsKnown()
}

func (t *text) observations() {
	first := true
	for _, o := range t.plan.Observations {
		if o.Kind == "image" || (!moved(o) && !t.o.Verbose) {
			continue
		}
		if first {
			t.line(0, "")
			first = false
		}
		t.line(2, t.bold(clean(o.Address))+"  "+observed(o))
		for _, i := range o.Items {
			t.line(6, t.faint(clean(i.Name))+"  "+clean(i.Note))
		}
	}
}

// observed says in a few words what an observation saw.
func observed(o plan.Observation) string {
	switch o.Kind {
	case "source":
		rev, before := outputString(&o.Outputs, "revision"), outputString(o.Before, "revision")
		switch {
		case rev == "":
			return "(known after apply)"
		case before == "":
			return "at " + clean(short(rev))
		case before == rev:
			return "at " + clean(short(rev)) + " as before"
		}
		return fmt.Sprintf("%s..%s", clean(short(before)), clean(short(rev)))
	case "policy":
		tag, before := outputString(&o.Outputs, "tag"), outputString(o.Before, "tag")
		if tag == "" {
			return "(known after apply)"
		}
		s := "chooses " + clean(tag)
		if before != "" && before != tag {
			s = fmt.Sprintf("%s -> %s", clean(before), clean(tag))
		}
		if len(o.Reasons) > 0 {
			s += ": " + clean(strings.Join(o.Reasons, "; "))
		}
		return s
	}
	return clean(strings.Join(o.Reasons, "; "))
}

func (t *text) change(c plan.Change) {
	t.line(0, "")
	head := fmt.Sprintf("%s %s", symbols[c.Action], clean(c.Address))
	t.line(0, t.action(c.Action, t.bold(head))+" "+t.action(c.Action, phrase(t.plan, c)))
	for _, r := range c.Reasons {
		t.line(6, t.faint("because ")+clean(r))
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

func (t *text) images(c plan.Change) {
	for _, i := range t.plan.Images {
		if i.Application != c.Address {
			continue
		}
		t.line(4, t.bold("image ")+imageLine(i, c.WaitsFor))
		if r := commitRange(i); r != "" {
			t.line(8, fmt.Sprintf("%s of %s", clean(r), clean(i.Source)))
		}
		for _, m := range i.Commits {
			t.line(10, t.faint(clean(m.ID))+"  "+clean(m.Subject))
		}
	}
}

// build shows what a build makes.
func (t *text) build(c plan.Change) {
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
	t.line(4, fmt.Sprintf("%s:%s@%s", clean(repo), clean(tag), clean(digest)))
	if before := outputString(c.Before, "tag"); before != "" && before != tag {
		t.line(4, fmt.Sprintf("tag %s -> %s", clean(before), clean(tag)))
	}
}

func (t *text) item(c plan.Change, i plan.Item) {
	if i.Action == plan.None && !t.o.Verbose {
		return
	}
	line := fmt.Sprintf("%s %s %s", symbols[i.Action], clean(i.Kind), clean(i.Name))
	switch i.Action {
	case plan.Delete:
		line += "  DELETED"
	case plan.Replace:
		line += "  REPLACED"
	}
	line = t.action(i.Action, line)
	if i.Note != "" {
		line += "  " + t.faint(clean(i.Note))
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

func (t *text) warnings() {
	for _, w := range t.plan.Warnings {
		t.line(0, "")
		t.line(0, t.action(plan.Update, "Warning: ")+clean(w.Summary))
		if t.o.Compact {
			continue
		}
		for _, l := range linesOf(w.Detail) {
			t.line(2, clean(l))
		}
	}
}

func (t *text) outputs() {
	var lines []string
	for _, o := range t.plan.Outputs {
		if s := outputLine(o); s != "" {
			lines = append(lines, s)
		}
	}
	if len(lines) == 0 {
		return
	}
	t.line(0, "")
	t.line(0, t.bold("Outputs:"))
	for _, l := range lines {
		t.line(2, l)
	}
}

// outputLine writes an output that changes; nothing for one that does not.
func outputLine(o plan.Output) string {
	switch {
	case o.Sensitive:
		return ""
	case o.Unknown && o.Before != nil:
		return clean(o.Name) + " = " + fieldValue(o.Before) + " -> (known after apply)"
	case o.Unknown:
		return clean(o.Name) + " = (known after apply)"
	case string(o.Before) == string(o.Value):
		return ""
	case o.Before == nil:
		return clean(o.Name) + " = " + fieldValue(o.Value)
	}
	return clean(o.Name) + " = " + fieldValue(o.Before) + " -> " + fieldValue(o.Value)
}
