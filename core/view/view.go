// Package view prints plans, events and state: as text for terminals, Markdown for pull
// requests, JSON for machines. It decides nothing: what is printed is in the data.
package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/fatih/color"

	"github.com/davit-sh/davit/core/plan"
)

// Options says how text is printed.
type Options struct {
	Color   bool
	Verbose bool // unchanged instances as well
	Compact bool // warnings without their details
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
	plan.Build: "will be built", plan.Adopt: "is there already and will be adopted", plan.None: "is unchanged",
	plan.Forget: "will be left alone and removed from state",
}

// phrase says what will happen to an instance, or what a refresh has found of it.
func phrase(p *plan.Plan, c plan.Change) string {
	switch {
	case c.Action == plan.None && c.Holds():
		return "is unchanged and will be held"
	case p.Mode == plan.ModeRefresh && c.Action == plan.None && !c.AsIs:
		return "differs from what was applied last; an apply would do this:"
	}
	return phrases[c.Action]
}

// clean makes text of the outside harmless: control characters could move the cursor or hide lines.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return '\uFFFD'
		}
		return r
	}, s)
}

// summaryLine counts what a plan does.
func summaryLine(p *plan.Plan) string {
	if p.Mode == plan.ModeRefresh {
		return refreshLine(p)
	}
	if p.Empty() && len(p.Damaged) > 0 {
		return fmt.Sprintf("No changes in what can be planned (%d unchanged).", p.Summary.None)
	}
	if p.Empty() {
		but := ""
		if n := held(p); n > 0 {
			but = ", but for " + plural(n, "instance that is held", "instances that are held")
		}
		return fmt.Sprintf("No changes. What runs is what the stack says%s (%d unchanged).", but, p.Summary.None)
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
	parts = append(parts, fmt.Sprintf("%d to delete", s.Delete))
	line := "Plan: " + strings.Join(parts, ", ")
	if s.ItemsDeleted > 0 {
		line += fmt.Sprintf(", and %s in what stays", plural(s.ItemsDeleted, "object is deleted", "objects are deleted"))
	}
	return line + fmt.Sprintf(". %d unchanged.", s.None)
}

// held counts the instances that are kept at an earlier revision, whatever the stack says.
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
	if p.Summary.Drift == 0 && p.Empty() {
		return fmt.Sprintf("Refresh: what is there is what was applied last (%d unchanged).", p.Summary.None)
	}
	line := "Refresh: " + plural(p.Summary.Drift, "instance differs", "instances differ") + " from what was applied last"
	if p.Summary.Forget > 0 {
		line += fmt.Sprintf(", %d of them gone", p.Summary.Forget)
	}
	return line + ". Only state would be written."
}

// holdLine says at which revision an instance is held, and how that ends.
func holdLine(c plan.Change) string {
	line := fmt.Sprintf("held at revision %d", c.Hold.Revision)
	if c.Hold.Who != "" {
		line += " by " + clean(c.Hold.Who)
	}
	if !c.Hold.Since.IsZero() {
		line += " since " + c.Hold.Since.UTC().Format(time.RFC3339)
	}
	if c.Hold.Reason != "" {
		line += ": " + clean(c.Hold.Reason)
	}
	return line + " (davit release " + clean(c.Address) + ")"
}

// shown tells whether a change is worth a word when unchanged ones are left out.
func shown(p *plan.Plan, c plan.Change) bool {
	return c.Action != plan.None || c.Hold != nil || (p.Mode == plan.ModeRefresh && !c.AsIs)
}

// remarks are what is to be said of a change besides its reasons.
func remarks(c plan.Change) []string {
	var list []string
	if c.MovedFrom != "" {
		list = append(list, "moved from "+clean(c.MovedFrom))
	}
	if c.Import != "" {
		list = append(list, "takes over "+clean(c.Import))
	}
	if c.TwoSteps && c.CreateFirst {
		list = append(list, "the new one is made before the old one is deleted, if both can be there")
	} else if c.TwoSteps {
		list = append(list, "the old one is deleted before the new one is made")
	}
	if c.Hold != nil {
		list = append(list, holdLine(c))
	}
	if c.Deferred {
		list = append(list, "planned in full when "+clean(strings.Join(c.WaitsFor, ", "))+" is done")
	}
	return list
}

// some names the first few of a list.
func some(list []string) string {
	const most = 5
	s := clean(strings.Join(list[:min(most, len(list))], ", "))
	if n := len(list) - most; n > 0 {
		s += fmt.Sprintf(" and %d more", n)
	}
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "") + "..."
	}
	return s
}

// partialLine says what a plan leaves out.
func partialLine(p *plan.Plan) string {
	with, without := "what it depends on", "what depends on it"
	if p.Mode == plan.ModeDestroy { // what stays keeps what it needs
		with, without = without, with
	}
	var parts []string
	if p.Rollback != "" {
		parts = append(parts, "Only "+clean(p.Rollback)+". What it depends on is left alone.")
	} else if len(p.Targets) > 0 {
		parts = append(parts, "A part of the stack only: "+some(p.Targets)+", and "+with+".")
	}
	if len(p.Excludes) > 0 {
		parts = append(parts, "Not the whole stack: without "+some(p.Excludes)+", and "+without+".")
	}
	if len(p.Damaged) > 0 {
		parts = append(parts, "Not the whole stack: the record of "+some(p.Damaged)+" in state is damaged, and what depends on it is left out as well.")
	}
	return strings.Join(parts, " ")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Value writes a value in the form of JSON, on one line.
func Value(raw json.RawMessage) string { return fieldValue(raw) }

// longest is how much of one value is shown.
const longest = 400

// fieldValue writes one side of a field.
func fieldValue(raw json.RawMessage) string {
	s := string(raw)
	var text string
	if s == "null" {
		return s
	}
	if json.Unmarshal(raw, &text) == nil {
		s = fmt.Sprintf("%q", clean(strings.ReplaceAll(text, "\n", "⏎")))
	} else {
		var b bytes.Buffer
		if json.Compact(&b, raw) == nil {
			s = clean(b.String())
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
		known := "(known after apply)"
		if len(waitsFor) > 0 {
			known = "(known after " + strings.Join(waitsFor, ", ") + ")"
		}
		if f.Prefix != "" {
			return clean(f.Prefix) + known
		}
		return known
	case f.Sensitive:
		return "(sensitive)"
	}
	return fieldValue(f.After)
}

// fieldLine writes a field as symbol, path and both sides.
func fieldLine(f plan.Field, waitsFor []string) (plan.Action, string) {
	path := clean(f.Path)
	before := fieldValue(f.Before)
	if f.Sensitive {
		before = "(sensitive)"
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
	to := clean(c.After)
	if c.Unknown {
		if len(waitsFor) > 0 {
			to += "(known after " + strings.Join(waitsFor, ", ") + ")"
		} else {
			to += "(known after apply)"
		}
	}
	switch {
	case c.Before == "":
		return to + " (new)"
	case c.After == "" && !c.Unknown:
		return clean(c.Before) + " (removed)"
	}
	before := shorten(clean(c.Before))
	if repo := repository(c.Before); repo != "" && repo == repository(c.After) {
		return before + " -> " + strings.TrimPrefix(shorten(to), repo+":")
	}
	return before + " -> " + shorten(to)
}

// repository is a reference without tag and digest.
func repository(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[:i]
	}
	return ref
}

// shorten cuts a digest to what tells it apart.
func shorten(ref string) string {
	i := strings.Index(ref, "@sha256:")
	if i < 0 || len(ref) < i+8+64 {
		return ref
	}
	return ref[:i+8+12]
}

func short(revision string) string {
	if len(revision) == 40 || len(revision) == 64 {
		return revision[:7]
	}
	return revision
}

// commitRange writes "abc1234..def5678".
func commitRange(c plan.ImageChange) string {
	switch {
	case c.To == "":
		return ""
	case c.From == "" || c.From == c.To:
		return short(c.To)
	}
	return short(c.From) + ".." + short(c.To)
}

// JSON writes the plan as indented JSON: schemas/plan.schema.json describes it.
func JSON(w io.Writer, p *plan.Plan) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(p)
}

// linesOf are the lines of a text that have something in them.
func linesOf(s string) []string {
	return slices.DeleteFunc(strings.Split(s, "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
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
