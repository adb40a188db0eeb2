package view

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/davit-sh/davit/core/plan"
)

// CommentLimit is how many characters GitHub, GitLab and Gitea take at most in one comment.
const CommentLimit = 65536

// MarkdownOptions says how a plan is written for a pull request.
type MarkdownOptions struct {
	Limit int    // bytes; 0: CommentLimit
	Title string // "davit plan" if empty
}

// section is a part of the comment; the lower the rank, the longer it stays when room is short.
type section struct {
	rank  int
	text  string
	short string // stands in when the text does not fit
}

// ranks order changes by how much a reviewer misses them when they are cut: 1 and 2 are the lists of deletions and images.
var ranks = map[plan.Action]int{
	plan.Delete: 3, plan.Replace: 3, plan.Update: 4, plan.Create: 5, plan.Build: 5, plan.Adopt: 7, plan.Forget: 7, plan.None: 9,
}

// Markdown writes a plan for a pull request: summary and deletions above the fold, details
// folded. What does not fit is left out whole, the least important first, and is named.
func Markdown(p *plan.Plan, o MarkdownOptions) string {
	if o.Limit == 0 {
		o.Limit = CommentLimit
	}
	if o.Title == "" {
		o.Title = "davit plan"
	}
	sections := []section{{text: fmt.Sprintf("## %s\n\n**%s**\n", o.Title, summaryLine(p))}}
	if s := partialLine(p); s != "" {
		sections = append(sections, section{text: "\n> [!IMPORTANT]\n> " + prose(s) + "\n"})
	}
	if s := markdownChecks(p); s != "" {
		sections = append(sections, section{rank: 1, text: s})
	}
	if s := markdownDeletions(p); s != "" {
		count := len(deletions(p))
		sections = append(sections, section{rank: 1, text: s, short: fmt.Sprintf("\n> [!CAUTION]\n> **%s. The list does not fit here.**\n", plural(count, "deletion", "deletions"))})
	}
	if s := markdownImages(p); s != "" {
		sections = append(sections, section{rank: 2, text: s})
	}
	if s := markdownObserved(p); s != "" {
		sections = append(sections, section{rank: 6, text: s})
	}
	if s := markdownMoves(p); s != "" {
		sections = append(sections, section{rank: 8, text: s})
	}
	for _, c := range p.Changes {
		if shown(p, c) {
			sections = append(sections, section{
				rank: ranks[c.Action], text: markdownChange(c),
				short: fmt.Sprintf("- %s `%s` %s\n", symbols[c.Action], code(c.Address), phrases[c.Action]),
			})
		}
	}
	footer := fmt.Sprintf("\n<sub>davit %s · state serial %d · plan `%s`</sub>\n", html.EscapeString(p.Davit), p.State.Serial, p.Digest)
	return fit(sections, footer, o.Limit)
}

// note is what a comment says that was cut. It is the longest that it can be.
func note(left int) string {
	return fmt.Sprintf("\n> %s left out: the whole plan is too long for one comment. Look at it with `davit show`.\n", plural(left, "part is", "parts are"))
}

// fit leaves sections out, by rank from the highest and from the end, until the rest fits.
func fit(sections []section, footer string, limit int) string {
	size := func() int {
		n := len(footer) + len(note(len(sections)+1))
		for _, s := range sections {
			n += len(s.text)
		}
		return n
	}
	left := 0
	total := size()
	for rank := highestRank(sections); rank > 0; rank-- {
		for _, shorten := range []bool{true, false} {
			for i := len(sections) - 1; i >= 0 && total >= limit; i-- {
				s := &sections[i]
				with := ""
				if shorten {
					with = s.short
				}
				if s.rank != rank || len(with) >= len(s.text) {
					continue
				}
				if s.text != s.short || s.short == "" {
					left++
				}
				total += len(with) - len(s.text)
				s.text = with
			}
		}
	}
	var b strings.Builder
	for _, s := range sections {
		b.WriteString(s.text)
	}
	if left > 0 {
		b.WriteString(note(left))
	}
	b.WriteString(footer)
	return b.String()
}

func highestRank(sections []section) int {
	most := 0
	for _, s := range sections {
		most = max(most, s.rank)
	}
	return most
}

// code makes text harmless between backquotes.
func code(s string) string { return strings.ReplaceAll(clean(s), "`", "'") }

// prose makes text of the outside harmless in Markdown: no markup, no mention, no link to an issue.
func prose(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		switch r {
		case '<':
			b.WriteString("&lt;")
		case '&':
			b.WriteString("&amp;")
		case '@', '#', '!':
			b.WriteRune(r)
			b.WriteString("<!-- -->") // keeps @name and #1 from being looked up
		case '\\', '`', '*', '_', '[', ']', '|', '~', '>':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func markdownDeletions(p *plan.Plan) string {
	list := deletions(p)
	if len(list) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n> [!CAUTION]\n> **%s:**\n", plural(len(list), "thing will be DELETED", "things will be DELETED"))
	for _, d := range list {
		fmt.Fprintf(&b, "> - `%s`\n", code(d))
	}
	return b.String()
}

func markdownMoves(p *plan.Plan) string {
	var b strings.Builder
	for _, m := range p.Moves {
		fmt.Fprintf(&b, "- `%s` is now `%s`\n", code(m.From), code(m.To))
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n**Moves**\n\n" + b.String()
}

func markdownChecks(p *plan.Plan) string {
	var b strings.Builder
	for _, c := range p.Checks {
		if c.Status == "fail" {
			fmt.Fprintf(&b, "> - `%s`: %s\n", code(c.Address), prose(c.Message))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n> [!WARNING]\n> **Checks that do not hold:**\n" + b.String()
}

func markdownImages(p *plan.Plan) string {
	if len(p.Images) == 0 {
		return ""
	}
	waits := map[string][]string{}
	for _, c := range p.Changes {
		waits[c.Address] = c.WaitsFor
	}
	var b strings.Builder
	b.WriteString("\n| application | image | commits |\n|---|---|---|\n")
	for _, i := range p.Images {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", code(i.Application), code(imageLine(i, waits[i.Application])), commitCell(i))
	}
	return b.String()
}

func commitCell(i plan.ImageChange) string {
	const most = 10
	cell := ""
	if r := commitRange(i); r != "" {
		cell = "`" + code(r) + "`"
	}
	for n, c := range i.Commits {
		if n == most {
			return cell + fmt.Sprintf("<br>and %d more", len(i.Commits)-most)
		}
		cell += "<br>`" + code(c.ID) + "` " + prose(c.Subject)
	}
	return cell
}

func markdownObserved(p *plan.Plan) string {
	var b strings.Builder
	for _, o := range p.Observations {
		if o.Kind != "image" && moved(o) {
			fmt.Fprintf(&b, "- `%s` %s\n", code(o.Address), prose(observed(o)))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "\n<details><summary>What was seen</summary>\n\n" + b.String() + "\n</details>\n"
}

func markdownChange(c plan.Change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n<details><summary>%s <code>%s</code> %s</summary>\n\n", html.EscapeString(symbols[c.Action]), html.EscapeString(clean(c.Address)), phrases[c.Action])
	for _, r := range append(slices.Clone(c.Reasons), remarks(c)...) {
		fmt.Fprintf(&b, "- %s\n", prose(r))
	}
	var lines []string
	for _, i := range c.Items {
		lines = append(lines, markdownItem(c, i)...)
	}
	if len(lines) > 0 {
		body := strings.Join(lines, "\n")
		f := fence(body)
		fmt.Fprintf(&b, "\n%sdiff\n%s\n%s\n", f, body, f)
	}
	b.WriteString("\n</details>\n")
	return b.String()
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
	if i.Action == plan.None {
		return nil
	}
	head := fmt.Sprintf("%s %s %s", marks[i.Action], clean(i.Kind), clean(i.Name))
	if i.Action == plan.Delete || i.Action == plan.Replace {
		head += " (" + string(i.Action) + "d)"
	}
	if i.Note != "" {
		head += "  # " + clean(i.Note)
	}
	lines := []string{head}
	if i.Action == plan.Delete {
		return lines
	}
	for _, f := range i.Fields {
		action, s := fieldLine(f, c.WaitsFor)
		if action == plan.Update {
			path := clean(f.Path)
			before := fieldValue(f.Before)
			if f.Sensitive {
				before = "(sensitive)"
			}
			lines = append(lines, fmt.Sprintf("-     %s: %s", path, before), fmt.Sprintf("+     %s: %s", path, after(f, c.WaitsFor)))
			continue
		}
		lines = append(lines, s[:1]+"    "+s[1:])
	}
	return lines
}
