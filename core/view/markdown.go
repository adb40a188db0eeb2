package view

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/internal/text"
)

// CommentLimit is how many characters GitHub and Gitea take at most in one comment. GitLab takes a million.
const CommentLimit = 65536

// MarkdownOptions says how a plan is written for a pull request.
type MarkdownOptions struct {
	Limit int    // bytes; 0: CommentLimit
	Title string // "davit plan" if empty
}

// ranks orders changes by their importance to a reviewer: what has the highest number is cut first. 1 and 2 are the lists of
// deletions and images.
var ranks = map[plan.Action]int{
	plan.Delete: 3, plan.Replace: 3, plan.Update: 4, plan.Create: 5, plan.Build: 5, plan.Adopt: 7, plan.Forget: 7, plan.None: 9,
}

// Markdown writes a plan for a pull request: summary and deletions first, details folded. What does not fit is left out, the
// least important parts first, and the number of lines that are left out is given.
func Markdown(p *plan.Plan, o MarkdownOptions) string {
	if o.Limit == 0 {
		o.Limit = CommentLimit
	}
	if o.Title == "" {
		o.Title = "davit plan"
	}
	head := fmt.Sprintf("## %s\n\n**%s**\n", o.Title, summaryLine(p))
	if s := partialLine(p); s != "" {
		head += "\n> [!IMPORTANT]\n> " + prose(s) + "\n"
	}
	parts := []part{markdownFailed(p), markdownDeletions(p), markdownWaiting(p), markdownChecks(p), markdownImages(p), markdownObserved(p), markdownMoves(p), markdownRecords(p)}
	for _, c := range p.Changes {
		if shown(p, c) {
			parts = append(parts, markdownChange(c, phrase(p, c)))
		}
	}
	for i := range p.Waiting {
		w := &p.Waiting[i]
		parts = append(parts, markdownChange(w.Change, "waits"))
	}
	parts = append(parts, markdownWarnings(p), markdownOutputs(p))
	footer := fmt.Sprintf("\n<sub>davit %s · state serial %d · plan `%s`</sub>\n", prose(p.Davit), p.State.Serial, code(p.Digest))
	return compose(head, parts, footer, o.Limit)
}

// code makes text safe between backquotes.
func code(s string) string { return strings.ReplaceAll(text.Clean(s), "`", "'") }

// cell makes text safe between backquotes in a table, where a bar ends the cell.
func cell(s string) string { return strings.ReplaceAll(code(s), "|", "\\|") }

// prose escapes text from outside for Markdown: no markup, no mention, no link to an issue.
func prose(s string) string {
	var b strings.Builder
	for _, r := range text.Clean(s) {
		switch r {
		case '<':
			b.WriteString("&lt;")
		case '&':
			b.WriteString("&amp;")
		case '@', '#', '!':
			b.WriteRune(r)
			b.WriteString("<!-- -->") // keeps @name and #1 from being looked up
		case '\\', '`', '*', '_', '[', ']', '|', '~', '>', ':', '-':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return autolink.ReplaceAllString(b.String(), "$1<!-- -->.")
}

// autolink matches the beginning of an address that Markdown makes a link of, without any markup.
var autolink = regexp.MustCompile(`(?i)\b(www)\.`)

// proseLines escapes a text of several lines and joins them by <br>.
func proseLines(s string) string {
	lines := text.Lines(s)
	for i := range lines {
		lines[i] = prose(lines[i])
	}
	return strings.Join(lines, "<br>")
}

// longestName is how many characters of a name are shown: more than Kubernetes allows.
const longestName = 600

func markdownDeletions(p *plan.Plan) part {
	list := deletions(p)
	if len(list) == 0 {
		return part{}
	}
	head := fmt.Sprintf("\n> [!CAUTION]\n> **%s:**\n", text.Count(len(list), "object")+" will be DELETED")
	out := part{rank: 1, head: head, more: func(n int) string { return fmt.Sprintf("> - and %d more\n", n) }}
	out.short = head + out.more(len(list))
	for _, d := range list {
		out.lines = append(out.lines, fmt.Sprintf("> - `%s`\n", code(text.Shorten(d, longestName))))
	}
	return out
}

func markdownRecords(p *plan.Plan) part {
	out := part{rank: 8, head: "\n**Only state will be updated**\n\n", more: func(n int) string { return fmt.Sprintf("- and %d more\n", n) }}
	for _, line := range outdatedRecords(p) {
		out.lines = append(out.lines, "- `"+code(line)+"`\n")
	}
	return out
}

func markdownFailed(p *plan.Plan) part {
	out := part{rank: 1, head: "\n> [!WARNING]\n> **Cannot be planned, and is left as it is:**\n", more: func(n int) string { return fmt.Sprintf("> - and %d more\n", n) }}
	for _, f := range p.Failed {
		lines := failedLines(f)
		for i := range lines {
			lines[i] = prose(lines[i])
		}
		out.lines = append(out.lines, fmt.Sprintf("> - `%s`: %s\n", code(f.Address), strings.Join(lines, "<br>")))
	}
	if len(out.lines) == 0 {
		return part{}
	}
	return out
}

// markdownWaiting lists what waits at a gate.
func markdownWaiting(p *plan.Plan) part {
	out := part{rank: 1, head: "\n> [!NOTE]\n> **Waits, and is left as it is:**\n", more: func(n int) string { return fmt.Sprintf("> - and %d more\n", n) }}
	for i := range p.Waiting {
		w := &p.Waiting[i]
		out.lines = append(out.lines, fmt.Sprintf("> - `%s` %s\n", code(w.Change.Address), prose(waitingLine(w))))
	}
	if len(out.lines) == 0 {
		return part{}
	}
	return out
}

func markdownMoves(p *plan.Plan) part {
	out := part{rank: 8, head: "\n**Moves**\n\n", more: func(n int) string { return fmt.Sprintf("- and %d more\n", n) }}
	for _, m := range p.Moves {
		out.lines = append(out.lines, fmt.Sprintf("- `%s` moves to `%s`\n", code(m.From), code(m.To)))
	}
	return out
}

func markdownChecks(p *plan.Plan) part {
	out := part{rank: 1, head: "\n> [!WARNING]\n> **Failed checks:**\n", more: func(n int) string { return fmt.Sprintf("> - and %d more\n", n) }}
	for _, c := range p.Checks {
		if c.Status == "fail" {
			out.lines = append(out.lines, fmt.Sprintf("> - `%s`: %s\n", code(c.Address), proseLines(c.Message)))
		}
	}
	return out
}

// markdownWarnings lists the warnings. Those of failed checks are left out: they are listed above.
func markdownWarnings(p *plan.Plan) part {
	checked := map[string]bool{}
	for _, c := range p.Checks {
		checked[c.Address] = c.Status == "fail"
	}
	out := part{rank: 7, head: "\n**Warnings**\n\n", more: func(n int) string { return fmt.Sprintf("- and %d more\n", n) }}
	for _, w := range p.Warnings {
		if checked[w.Address] {
			continue
		}
		out.lines = append(out.lines, fmt.Sprintf("- %s\n", proseLines(w.Summary+"\n"+w.Detail)))
	}
	return out
}

func markdownOutputs(p *plan.Plan) part {
	out := part{rank: 8, head: "\n**Changes to outputs**\n\n", more: func(n int) string { return fmt.Sprintf("- and %d more\n", n) }}
	for i := range p.Outputs {
		if o := &p.Outputs[i]; o.Changed() {
			_, line := outputLine(o)
			out.lines = append(out.lines, fmt.Sprintf("- `%s`\n", code(line)))
		}
	}
	return out
}

func markdownImages(p *plan.Plan) part {
	waits := map[string][]string{}
	for _, c := range p.Changes {
		waits[c.Address] = c.WaitsFor
	}
	out := part{rank: 2, head: "\n| application | image | commits |\n|---|---|---|\n", more: func(n int) string { return fmt.Sprintf("| and %d more | | |\n", n) }}
	for _, i := range p.Images {
		out.lines = append(out.lines, fmt.Sprintf("| `%s` | `%s` | %s |\n", cell(i.Application), cell(imageLine(i, waits[i.Application])), commitCell(i)))
	}
	return out
}

func commitCell(i plan.ImageChange) string {
	const most = 10
	text := ""
	if r := commitRange(i); r != "" {
		text = "`" + cell(r) + "`"
	}
	for n, c := range i.Commits {
		if n == most {
			return text + fmt.Sprintf("<br>and %d more", len(i.Commits)-most)
		}
		text += "<br>`" + cell(c.ID) + "` " + prose(c.Subject)
	}
	return text
}

func markdownObserved(p *plan.Plan) part {
	out := part{rank: 6, head: "\n<details><summary>Observed sources and policies</summary>\n\n", foot: "\n</details>\n", more: func(n int) string { return fmt.Sprintf("- and %d more\n", n) }}
	for _, o := range p.Observations {
		if shows(o, false) {
			out.lines = append(out.lines, fmt.Sprintf("- `%s` %s\n", code(o.Address), prose(observed(o))))
		}
	}
	return out
}

func markdownChange(c plan.Change, phrase string) part {
	var b strings.Builder
	fmt.Fprintf(&b, "\n<details><summary>%s <code>%s</code> %s</summary>\n\n", html.EscapeString(symbols[c.Action]), html.EscapeString(text.Clean(c.Address)), phrase)
	for _, r := range append(slices.Clone(c.Reasons), remarks(c)...) {
		fmt.Fprintf(&b, "- %s\n", prose(r))
	}
	out := part{rank: ranks[c.Action], short: fmt.Sprintf("- %s `%s` %s\n", symbols[c.Action], code(c.Address), phrase)}
	var body strings.Builder
	for _, l := range markdownFields(c.Changed(), c.WaitsFor, " ") {
		out.lines = append(out.lines, l+"\n")
		out.weights = append(out.weights, ranks[c.Action])
		body.WriteString(l)
	}
	for _, i := range c.Items {
		for _, l := range markdownItem(c, i) {
			out.lines = append(out.lines, l+"\n")
			out.weights = append(out.weights, ranks[i.Action])
			body.WriteString(l)
		}
	}
	out.head, out.foot = b.String(), "\n</details>\n"
	if len(out.lines) > 0 {
		f := fence(body.String())
		out.head += "\n" + f + "diff\n"
		out.foot = f + "\n" + out.foot
		out.more = func(n int) string { return fmt.Sprintf("# and %d more lines\n", n) }
	}
	return out
}

// fence is longer than any run of backquotes in the text.
func fence(text string) string {
	longest, run := 2, 0
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		i += n
		if r != '`' {
			run = 0
			continue
		}
		run++
		longest = max(longest, run)
	}
	return strings.Repeat("`", longest+1)
}

// marks are what a line of a diff begins with, so that it is coloured.
var marks = map[plan.Action]string{plan.Create: "+", plan.Update: "!", plan.Replace: "-", plan.Delete: "-", plan.Build: "+", plan.Adopt: "!", plan.None: " "}

func markdownItem(c plan.Change, i plan.Item) []string {
	if i.Action == plan.None && i.MovedTo == "" {
		return nil
	}
	head := fmt.Sprintf("%s %s %s", marks[i.Action], text.Clean(i.Kind), text.Clean(i.Name))
	if i.Action == plan.Delete || i.Action == plan.Replace {
		head += " (" + string(i.Action) + "d)"
	}
	head += ownerChange(i)
	if i.Note != "" {
		head += "  # " + text.Clean(i.Note)
	}
	lines := []string{head}
	if i.Action == plan.Delete {
		return lines
	}
	return append(lines, markdownFields(i.Fields, c.WaitsFor, "     ")...)
}

// markdownFields writes fields as lines of a diff.
func markdownFields(fields []plan.Field, waitsFor []string, indent string) []string {
	var lines []string
	for _, f := range fields {
		action, s := fieldLine(f, waitsFor)
		if action == plan.Update {
			path := text.Clean(f.Path)
			before := fieldValue(f.Before)
			if f.Sensitive {
				before = text.Sensitive
			}
			lines = append(lines, fmt.Sprintf("-%s%s: %s", indent, path, before), fmt.Sprintf("+%s%s: %s", indent, path, after(f, waitsFor)))
			continue
		}
		lines = append(lines, s[:1]+indent[1:]+s[1:])
	}
	return lines
}
