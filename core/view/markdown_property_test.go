package view_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/view"
)

var inline = regexp.MustCompile("`[^`]*`|<code>[^<]*</code>")

// hostile is text that would break out of where it is shown.
var hostile = rapid.SampledFrom([]string{
	"plain", "</details>", "```", "````\n", "@everyone", "fixes #1", "<script>", "a\nb", "| x |", "\x1b[31m", "- [ ] todo", "![](http://x)", "www.evil.example", "a www.evil.example", "::error::x", "##vso[task]", "\u202e", strings.Repeat("long ", 300),
})

func text(t *rapid.T, s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func drawPlan(t *rapid.T) *plan.Plan {
	actions := []plan.Action{plan.None, plan.Create, plan.Update, plan.Replace, plan.Delete, plan.Build, plan.Adopt, plan.Forget}
	p := &plan.Plan{Format: plan.Format, Mode: plan.ModeApply, Targets: rapid.SampledFrom([][]string{nil, make([]string, 3000)}).Draw(t, "targets")}
	for i := range p.Targets {
		p.Targets[i] = fmt.Sprintf("application.a.target%d", i)
	}
	for i := range rapid.SampledFrom([]int{0, 1, 3, 20, 60, 400}).Draw(t, "changes") {
		c := plan.Change{Address: fmt.Sprintf("application.a.n%d%s", i, rapid.SampledFrom([]string{"", "", `["pr|@everyone <img src=x>"]`}).Draw(t, "key")), Kind: "application", Type: "a", Action: rapid.SampledFrom(actions).Draw(t, "action")}
		c.Reasons = rapid.SliceOfN(hostile, 0, 2).Draw(t, "reasons")
		for range rapid.IntRange(0, 3).Draw(t, "items") {
			c.Items = append(c.Items, plan.Item{
				Key: "k", Kind: hostile.Draw(t, "kind"), Name: hostile.Draw(t, "name"), Action: rapid.SampledFrom(actions).Draw(t, "item"),
				Fields: []plan.Field{{Path: hostile.Draw(t, "path"), After: text(t, hostile.Draw(t, "after"))}},
			})
		}
		p.Changes = append(p.Changes, c)
		if rapid.Bool().Draw(t, "image") {
			p.Images = append(p.Images, plan.ImageChange{Application: c.Address, Name: "x", After: "reg/x:1", Commits: []plan.Commit{{ID: "c0ffee", Subject: hostile.Draw(t, "subject")}}})
		}
	}
	for i := range rapid.SampledFrom([]int{0, 0, 1, 50}).Draw(t, "waiting") {
		c := plan.Change{Address: fmt.Sprintf("application.a.w%d[%q]", i, hostile.Draw(t, "key")), Kind: "application", Type: "a", Action: rapid.SampledFrom(actions).Draw(t, "action"), Reasons: rapid.SliceOfN(hostile, 0, 2).Draw(t, "reasons")}
		p.Waiting = append(p.Waiting, plan.Waiting{Change: c, For: []plan.Wait{{What: plan.WaitWindow, Gate: "g", Reason: hostile.Draw(t, "reason")}, {What: plan.WaitInstance, Address: hostile.Draw(t, "address")}}})
	}
	p.Summary = plan.Summarise(p.Changes)
	if err := p.Seal(); err != nil {
		t.Fatal(err)
	}
	return p
}

// However long a plan is, its comment fits, is whole Markdown, and never loses a deletion before something less important.
func TestACommentIsCutByImportance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		limit := rapid.SampledFrom([]int{3000, 6000, 20000, 65536}).Draw(t, "limit")
		text := view.Markdown(p, view.MarkdownOptions{Limit: limit})
		if len(text) > limit {
			t.Fatalf("%d bytes, and %d are allowed", len(text), limit)
		}
		if !strings.Contains(text, p.Digest) {
			t.Fatal("the digest of the whole is missing")
		}
		if strings.ContainsAny(text, "\x1b\u202e") || strings.Contains(text, "\n::") || strings.Contains(text, "##vso[") {
			t.Fatalf("a control character or a command of a CI system is printed:\n%q", text)
		}
		details := 0
		fenced := ""
		for line := range strings.SplitSeq(text, "\n") {
			run := len(line) - len(strings.TrimLeft(line, "`"))
			if run < 3 {
				line = inline.ReplaceAllString(line, "") // what is between backquotes is shown as it is
			}
			switch {
			case fenced == "" && run >= 3:
				fenced = line[:run]
			case fenced != "" && line == fenced:
				fenced = ""
			case fenced == "" && strings.HasPrefix(line, "<details>"):
				details++
			case fenced == "" && strings.Contains(line, "</details>"):
				if details--; details < 0 || line != "</details>" {
					t.Fatalf("a part ends too early:\n%s", text)
				}
			case fenced == "" && (strings.Contains(line, "@everyone") || strings.Contains(line, "<script>") || strings.Contains(line, "www.")):
				t.Fatalf("text of the outside broke out: %s", line)
			}
		}
		if fenced != "" || details != 0 {
			t.Fatal("a code block or a folded part has no end")
		}
		named, full := 0, 0
		for line := range strings.SplitSeq(text, "\n") {
			if strings.HasPrefix(line, "> - `application.a.n") || strings.HasPrefix(line, "> - `plain") {
				named++
			}
			if strings.HasPrefix(line, "<details><summary>+") {
				full++
			}
		}
		deleted := 0
		for _, c := range p.Changes {
			if c.Action == plan.Delete || c.Action == plan.Replace {
				deleted++
			}
		}
		if named < deleted && full > 0 {
			t.Fatalf("%d of %d deletions are named, and %d creations are shown in full", named, deleted, full)
		}
		if more := strings.Contains(text, "> - and "); named < deleted && !more {
			t.Fatalf("%d of %d deletions are named, and nothing says so:\n%s", named, deleted, text)
		}
	})
}
