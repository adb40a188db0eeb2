package view

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/internal/text"
	"github.com/davit-sh/davit/state"
)

// History prints the revisions of an instance, newest first. hold marks the revision at which it is held (nil: not held).
func History(w io.Writer, list []state.Revision, hold *state.Hold, now time.Time, o Options) {
	p := palette{o.Color}
	for _, r := range list {
		line := fmt.Sprintf("%s  %s  %s by %s", p.bold(fmt.Sprintf("%4d", r.Number)), r.At.Local().Format(time.DateTime),
			p.action(plan.Action(r.Action), did[plan.Action(r.Action)]), text.Clean(r.Who))
		if hold != nil && hold.Revision == r.Number {
			line += "  " + p.bold("(held)")
		}
		fmt.Fprintf(w, "%s  %s\n", line, p.faint(humanize.RelTime(r.At, now, "ago", "from now")))
		for _, reason := range r.Reasons {
			fmt.Fprintf(w, "      %s%s\n", p.faint("because "), text.Clean(reason))
		}
		for _, s := range sanctionLines(r.Approval, r.Overrides) {
			fmt.Fprintf(w, "      %s\n", s)
		}
		if s := itemsLine(r.Items); s != "" {
			fmt.Fprintf(w, "      %s\n", s)
		}
		for _, s := range argumentLines(r.Arguments, p) {
			fmt.Fprintf(w, "      %s\n", s)
		}
	}
}

// sanctionLines say who has approved a change, and which gates were set aside for it, a line each.
func sanctionLines(a *state.Approval, overrides []state.Override) []string {
	by := func(who string, when time.Time, where string) string {
		line := " by " + text.Clean(who) + " " + when.Local().Format(time.DateTime)
		if where != "" {
			line += " (" + text.Clean(where) + ")"
		}
		return line
	}
	var lines []string
	if a != nil {
		lines = append(lines, "approved"+by(a.Who, a.When, a.Where))
	}
	for _, o := range overrides {
		lines = append(lines, fmt.Sprintf("gate %q overridden", text.Clean(o.Gate))+by(o.Who, o.When, o.Where))
	}
	return lines
}

// itemsLine names the nested changes of a revision.
func itemsLine(raw json.RawMessage) string {
	var items []plan.Item
	if len(raw) == 0 || json.Unmarshal(raw, &items) != nil {
		return ""
	}
	var parts []string
	for _, i := range items {
		if i.Action != plan.None {
			parts = append(parts, fmt.Sprintf("%s %s %s", symbols[i.Action], text.Clean(i.Kind), text.Clean(i.Name)))
		}
	}
	if n := len(parts) - few; n > 0 {
		parts = append(parts[:few], fmt.Sprintf("and %d more", n))
	}
	return strings.Join(parts, ", ")
}

// fewFields is how many changed arguments of a revision are printed: davit why prints more.
const fewFields = 3

// argumentLines are the changed arguments of a revision, a line each.
func argumentLines(raw json.RawMessage, p palette) []string {
	var fields []plan.Field
	if len(raw) == 0 || json.Unmarshal(raw, &fields) != nil {
		return nil
	}
	var lines []string
	for _, f := range fields[:min(fewFields, len(fields))] {
		action, s := fieldLine(f, nil)
		lines = append(lines, p.action(action, s))
	}
	if n := len(fields) - fewFields; n > 0 {
		lines = append(lines, p.faint(fmt.Sprintf("and %d more", n)))
	}
	return lines
}

// Operations prints the operations that have started and not ended, a line each.
func Operations(w io.Writer, s *state.Snapshot, now time.Time) {
	for _, id := range slices.Sorted(maps.Keys(s.Operations)) {
		op := s.Operations[id]
		line := fmt.Sprintf("%s  %s of %s, started %s", op.ID, text.Clean(op.Action), text.Clean(op.Address), humanize.RelTime(op.Begun, now, "ago", "from now"))
		if op.Checkpoint != nil {
			line += ", with a partial result"
		}
		fmt.Fprintln(w, line)
	}
}
