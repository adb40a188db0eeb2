// Package view prints plans, events and state: as text for terminals, Markdown for pull
// requests, JSON for machines. It decides nothing: what is printed is in the data.
package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fatih/color"

	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/internal/text"
)

// Options says how text is printed.
type Options struct {
	Color   bool
	Verbose bool // unchanged instances as well
	Compact bool // warnings without their details
	Fold    bool // progress: count the items of an operation instead of printing each
}

// palette colours what has a meaning, or nothing.
type palette struct{ on bool }

func (p palette) paint(s string, attrs ...color.Attribute) string {
	if !p.on || s == "" {
		return s
	}
	c := color.New(attrs...)
	c.EnableColor()
	return c.Sprint(s)
}

func (p palette) bold(s string) string  { return p.paint(s, color.Bold) }
func (p palette) faint(s string) string { return p.paint(s, color.Faint) }

var actionColors = map[plan.Action]color.Attribute{
	plan.Create: color.FgGreen, plan.Build: color.FgCyan, plan.Adopt: color.FgCyan, plan.Update: color.FgYellow,
	plan.Replace: color.FgRed, plan.Delete: color.FgRed, "delete_old": color.FgRed, "delete_new": color.FgRed,
}

func (p palette) action(a plan.Action, s string) string {
	if c, ok := actionColors[a]; ok {
		return p.paint(s, c)
	}
	return s
}

// symbols are what a change begins with.
var symbols = map[plan.Action]string{
	plan.Create: "+", plan.Update: "~", plan.Replace: "-/+", plan.Delete: "-", plan.Build: "*", plan.Adopt: "=", plan.None: " ",
	plan.Forget: "x", "delete_old": "-", "delete_new": "-",
}

// phrases say what will happen to an instance.
var phrases = map[plan.Action]string{
	plan.Create: "will be created", plan.Update: "will be updated", plan.Replace: "will be REPLACED", plan.Delete: "will be DELETED",
	plan.Build: "will be built", plan.Adopt: "exists already and will be adopted", plan.None: "is unchanged",
	plan.Forget: "will be removed from state, and not deleted",
}

// phrase says what will happen to an instance, or what a refresh has found of it.
func phrase(p *plan.Plan, c plan.Change) string {
	switch {
	case c.Action == plan.None && c.Holds():
		return "is unchanged and will be held at this revision"
	case p.Mode == plan.ModeRefresh && c.Action == plan.None && !c.AsIs:
		return "differs from the last apply; the next apply would do this:"
	}
	return phrases[c.Action]
}

// summaryLine counts what a plan does.
func summaryLine(p *plan.Plan) string {
	if p.Mode == plan.ModeRefresh {
		return refreshLine(p)
	}
	if p.Empty() && len(p.Waiting) > 0 {
		return fmt.Sprintf("Nothing to apply now. %s. %d unchanged.", text.Count(len(p.Waiting), "change waits", "changes wait"), p.Summary.None)
	}
	if p.Empty() && len(p.Damaged)+len(p.Failed) > 0 {
		return fmt.Sprintf("No changes in the part that can be planned. %d unchanged.", p.Summary.None)
	}
	if p.Empty() {
		except := ""
		if n := held(p); n > 0 {
			except = ", except for " + text.Count(n, "held instance")
		}
		return fmt.Sprintf("No changes. Everything matches the stack%s. %d unchanged.", except, p.Summary.None)
	}
	s := p.Summary
	var parts []string
	for _, c := range []struct {
		n    int
		verb string
	}{{s.Build, "build"}, {s.Adopt, "adopt"}, {s.Create, "create"}, {s.Update, "update"}, {s.Replace, "replace"}, {s.Forget, "forget"}, {s.Hold, "hold"}, {len(p.Moves), "move"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", c.n, c.verb))
		}
	}
	outputs := p.OutputsChanged()
	if len(parts) > 0 || s.Delete > 0 || outputs == 0 {
		parts = append(parts, fmt.Sprintf("%d to delete", s.Delete))
	}
	if outputs > 0 {
		parts = append(parts, text.Count(outputs, "output")+" to change")
	}
	line := "Plan: " + strings.Join(parts, ", ")
	if s.ItemsDeleted > 0 {
		line += fmt.Sprintf("; %s inside updated applications will be deleted", text.Count(s.ItemsDeleted, "object"))
	}
	if n := len(p.Waiting); n > 0 {
		line += "; " + text.Count(n, "change waits", "changes wait")
	}
	return line + fmt.Sprintf(". %d unchanged.", s.None)
}

// waitingLine says what a change waits for.
func waitingLine(w *plan.Waiting) string { return text.Shorten(text.Clean(gate.Words(w)), longest) }

// approveLine says how to approve a change that waits for a person. It is "" for others.
func approveLine(p *plan.Plan, w *plan.Waiting) string {
	if !w.WaitsForPerson() {
		return ""
	}
	verb := string(p.Mode)
	if p.Rollback != "" {
		verb = "rollback " + shellWord(text.Clean(p.Rollback))
	}
	return "to approve it: davit " + verb + " -approve=" + shellWord(text.Clean(w.Change.Address))
}

// shellWord writes an address as one word of a shell's command line.
func shellWord(s string) string {
	if !strings.ContainsAny(s, "[]\"'$`\\ *?;&|<>()!#~") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// held counts the instances that a rollback holds at an earlier revision.
func held(p *plan.Plan) int {
	n := 0
	for i := range p.Changes {
		if p.Changes[i].Hold != nil {
			n++
		}
	}
	return n
}

// refreshLine says what a refresh found.
func refreshLine(p *plan.Plan) string {
	if p.Summary.Drift == 0 && p.Empty() && len(p.Failed) > 0 {
		return fmt.Sprintf("Refresh: everything that could be looked at matches the last apply. %d unchanged.", p.Summary.None)
	}
	if p.Summary.Drift == 0 && p.Empty() {
		return fmt.Sprintf("Refresh: everything matches the last apply. %d unchanged.", p.Summary.None)
	}
	line := "Refresh: " + text.Count(p.Summary.Drift, "instance differs", "instances differ") + " from the last apply"
	if n := p.Summary.Forget; n > 0 {
		line += ", " + text.Count(n, "of them no longer exists", "of them no longer exist")
	}
	return line + ". Only state will be written."
}

// holdLine says at which revision an instance is held, and how that ends.
func holdLine(c plan.Change) string {
	line := fmt.Sprintf("held at revision %d", c.Hold.Revision)
	if c.Hold.Who != "" {
		line += " by " + text.Clean(c.Hold.Who)
	}
	if !c.Hold.Since.IsZero() {
		line += " since " + c.Hold.Since.UTC().Format(time.RFC3339)
	}
	if c.Hold.Reason != "" {
		line += ": " + text.Clean(c.Hold.Reason)
	}
	return line + " (to end this: davit release " + text.Clean(c.Address) + ")"
}

// shown tells whether a view without unchanged instances shows a change.
func shown(p *plan.Plan, c plan.Change) bool {
	return c.Action != plan.None || c.Hold != nil || (p.Mode == plan.ModeRefresh && !c.AsIs)
}

// outdatedRecords returns a line for each record that an apply brings up to date, with what of it is out of date.
func outdatedRecords(p *plan.Plan) []string {
	var list []string
	for i := range p.Changes {
		if c := &p.Changes[i]; len(c.Record) > 0 {
			list = append(list, text.Clean(c.Address)+": "+text.Clean(strings.Join(c.Record, ", ")))
		}
	}
	return list
}

// remarks returns the lines about a change that are not reasons: where it moved from, the order of a replacement, a hold.
func remarks(c plan.Change) []string {
	var list []string
	if line := causesLine(c); line != "" {
		list = append(list, line)
	}
	if c.MovedFrom != "" {
		list = append(list, "moved from "+text.Clean(c.MovedFrom))
	}
	if c.Import != "" {
		list = append(list, "imports "+text.Clean(c.Import))
	}
	if c.TwoSteps && c.CreateFirst {
		line := "the new one is created before the old one is deleted"
		if c.CreateFirstFor != "" {
			line += ", because " + text.Clean(c.CreateFirstFor) + " depends on it and has create_before_destroy"
		}
		list = append(list, line)
	} else if c.TwoSteps {
		list = append(list, "the old one is deleted before the new one is created")
	}
	if c.Hold != nil {
		list = append(list, holdLine(c))
	}
	if len(c.Kept) > 0 {
		list = append(list, "keeps its "+text.Clean(strings.Join(c.Kept, ", "))+": the new image waits")
	}
	if c.Deferred {
		list = append(list, "will be planned in full after "+text.Clean(strings.Join(c.WaitsFor, ", "))+" is done")
	}
	return list
}

// some lists the first 5 names.
func some(names []string) string { return text.Shorten(text.Clean(text.First(names, 5)), longest) }

// Value writes a value in the form of JSON, on one line. A long value is cut.
func Value(raw json.RawMessage) string { return fieldValue(raw) }

// WholeValue writes a value in the form of JSON, on one line, whole and as it is: for a program that reads it.
func WholeValue(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// longest is how much of one value is shown.
const longest = 400

// fieldValue writes one side of a field.
func fieldValue(raw json.RawMessage) string {
	s := string(raw)
	var str string
	if s == "null" {
		return s
	}
	if json.Unmarshal(raw, &str) == nil {
		s = text.Quote(strings.ReplaceAll(str, "\n", "⏎"))
	} else {
		var b bytes.Buffer
		if json.Compact(&b, raw) == nil {
			s = text.Clean(b.String())
		}
	}
	if r := []rune(s); len(r) > longest {
		s = string(r[:longest]) + fmt.Sprintf("… (%d bytes)", len(raw))
	}
	return s
}

// after writes the new side of a field, with what an unknown value waits for.
func after(f plan.Field, waitsFor []string) string {
	switch {
	case f.Unknown:
		known := text.Unknown
		if len(waitsFor) > 0 {
			known = "(known after " + strings.Join(waitsFor, ", ") + ")"
		}
		if f.Prefix != "" {
			return text.Clean(f.Prefix) + known
		}
		return known
	case f.Sensitive:
		return text.Sensitive
	}
	return fieldValue(f.After)
}

// fieldLine writes a field as symbol, path and both sides.
func fieldLine(f plan.Field, waitsFor []string) (plan.Action, string) {
	path := text.Clean(f.Path)
	before := fieldValue(f.Before)
	if f.Sensitive {
		before = text.Sensitive
	}
	switch {
	case f.Before == nil && f.Sensitive && f.After == nil && !f.Unknown:
		return plan.Update, fmt.Sprintf("~ %s: (sensitive)", path)
	case f.Before == nil:
		return plan.Create, fmt.Sprintf("+ %s: %s", path, after(f, waitsFor))
	case f.After == nil && !f.Unknown:
		return plan.Delete, fmt.Sprintf("- %s: %s", path, before)
	}
	return plan.Update, fmt.Sprintf("~ %s: %s -> %s", path, before, after(f, waitsFor))
}

// imageLine writes an image change; what both sides share is written once.
func imageLine(c plan.ImageChange, waitsFor []string) string {
	to := text.Clean(c.After)
	if c.Unknown {
		if len(waitsFor) > 0 {
			to += "(known after " + strings.Join(waitsFor, ", ") + ")"
		} else {
			to += text.Unknown
		}
	}
	switch {
	case c.Before == "":
		return to + " (new)"
	case c.After == "" && !c.Unknown:
		return text.Clean(c.Before) + " (removed)"
	}
	before := text.Ref(text.Clean(c.Before))
	if repo := repository(c.Before); repo != "" && repo == repository(c.After) {
		return before + " -> " + strings.TrimPrefix(text.Ref(to), repo+":")
	}
	return before + " -> " + text.Ref(to)
}

// repository is a reference without tag and digest.
func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[:i]
	}
	return ref
}

// commitRange writes "abc1234..def5678".
func commitRange(c plan.ImageChange) string {
	switch {
	case c.To == "":
		return ""
	case c.From == "" || c.From == c.To:
		return text.Revision(c.To)
	}
	return text.Revision(c.From) + ".." + text.Revision(c.To)
}

// JSON writes the plan as indented JSON: schemas/plan.schema.json describes it.
func JSON(w io.Writer, p *plan.Plan) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(p)
}

// outputString returns a string attribute of a stored value.
func outputString(v *plan.Value, name string) string {
	if v == nil {
		return ""
	}
	var m map[string]any
	if json.Unmarshal(v.Value, &m) != nil {
		return ""
	}
	s, _ := m[name].(string)
	return s
}
