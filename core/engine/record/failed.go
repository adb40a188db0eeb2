package record

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/plan"
)

// LeftOut returns an error for each instance that a plan leaves out because its record is damaged, and the errors of those that cannot
// be planned. The stack is the one that the plan was made of.
func LeftOut(p *plan.Plan, stack *config.Stack) hcl.Diagnostics {
	diags := Damage(p)
	for _, f := range p.Failed {
		for _, d := range f.Diagnostics {
			out := diag.Plain(d.Summary, d.Detail)
			out.Extra = diag.Info{Address: f.Address, Code: d.Code, Hint: d.Hint}
			out.Subject = lineOf(stack, d.Where)
			diags = append(diags, out)
		}
	}
	return diags
}

// lineOf returns the range of a line that is written as "file:line"; nil if there is no such line.
func lineOf(stack *config.Stack, where string) *hcl.Range {
	colon := strings.LastIndexByte(where, ':')
	if colon < 0 || stack == nil {
		return nil
	}
	name := where[:colon]
	line, err := strconv.Atoi(where[colon+1:])
	if err != nil || line < 1 {
		return nil
	}
	at := &hcl.Range{Filename: name, Start: hcl.Pos{Line: line, Column: 1}, End: hcl.Pos{Line: line, Column: 1}}
	f := stack.Files[name]
	if f == nil {
		return at
	}
	lines := bytes.SplitAfter(f.Bytes, []byte("\n"))
	if line > len(lines) {
		return at
	}
	for _, l := range lines[:line-1] {
		at.Start.Byte += len(l)
	}
	text := bytes.TrimRight(lines[line-1], "\r\n")
	at.End.Byte, at.End.Column = at.Start.Byte+len(text), len(text)+1
	return at
}
