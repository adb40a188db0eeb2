package view

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/why"
	"github.com/davit-sh/davit/internal/text"
	"github.com/davit-sh/davit/state"
)

// Why prints an explanation as a tree.
func Why(w io.Writer, c *why.Cause, o Options) {
	y := &whyText{w: w, palette: palette{o.Color}, verbose: o.Verbose}
	y.print(c, "", "")
}

type whyText struct {
	w io.Writer
	palette
	verbose bool
}

func (y *whyText) line(indent, s string) { fmt.Fprintf(y.w, "%s%s\n", indent, s) }

func (y *whyText) print(c *why.Cause, first, rest string) {
	y.line(first, y.bold(text.Clean(c.Address))+"  "+y.head(c))
	if c.Again {
		return
	}
	inner := rest + "    "
	if len(c.From) > 0 {
		inner = rest + "│   "
	}
	for _, r := range c.Reasons {
		if c.Kind != "policy" {
			y.line(inner, y.faint("because ")+text.Clean(r))
		}
	}
	if c.Hold != nil {
		y.line(inner, holdLine(plan.Change{Address: c.Address, Hold: &plan.Hold{Revision: c.Hold.Revision, Who: c.Hold.Who, Reason: c.Hold.Reason, Since: c.Hold.Since}}))
	}
	for _, s := range sanctionLines(c.Approval, c.Overrides) {
		y.line(inner, s)
	}
	if c.Note != "" {
		y.line(inner, y.faint(text.Clean(c.Note)))
	}
	y.fields(c, inner)
	y.items(c, inner)
	y.rejected(c, inner)
	for i, up := range c.From {
		if i == len(c.From)-1 {
			y.print(up, rest+"└── ", rest+"    ")
			continue
		}
		y.print(up, rest+"├── ", rest+"│   ")
	}
}

// head describes an instance in a few words: what was done to it, or what was observed.
func (y *whyText) head(c *why.Cause) string {
	switch {
	case c.Again:
		return y.faint("(see above)")
	case c.Kind == "build" || c.Kind == "application":
		return y.applied(c)
	case c.Kind == "image":
		return text.Clean(outputString(c.Outputs, "repository"))
	}
	o := plan.Observation{Kind: c.Kind, Reasons: c.Reasons}
	if c.Outputs != nil {
		o.Outputs = *c.Outputs
	}
	return observed(o)
}

func (y *whyText) applied(c *why.Cause) string {
	s := phrases[plan.Action(c.Action)]
	if c.When != nil {
		s = fmt.Sprintf("%s %s by %s, revision %d", did[plan.Action(c.Action)], c.When.Local().Format(time.DateTime), text.Clean(c.Who), c.Revision)
	}
	if ref := outputString(c.Outputs, "ref"); ref != "" {
		s += "  " + text.Clean(ref)
	}
	return s
}

// did are the words for an action in the history.
var did = map[plan.Action]string{
	plan.Create: "created", plan.Update: "updated", plan.Replace: "replaced", plan.Delete: "deleted", plan.Build: "built", plan.Adopt: "adopted",
	plan.None: "unchanged since", plan.Forget: "forgotten", state.ActionRestore: "restored",
}

// few is how many lines of a list are printed without -verbose.
const few = 10

func (y *whyText) fields(c *why.Cause, indent string) {
	for n, f := range c.Fields {
		if n == few && !y.verbose {
			y.line(indent, y.faint(fmt.Sprintf("and %d more", len(c.Fields)-few)))
			return
		}
		action, s := fieldLine(f, nil)
		y.line(indent, y.action(action, s))
	}
}

func (y *whyText) items(c *why.Cause, indent string) {
	n := 0
	for _, i := range c.Items {
		if i.Action == plan.None && i.Kind != "commit" {
			continue
		}
		if n++; n > few && !y.verbose {
			y.line(indent, y.faint(fmt.Sprintf("and %d more", len(c.Items)-few)))
			return
		}
		if i.Kind == "commit" {
			y.line(indent, y.faint("commit ")+text.Clean(i.Name)+"  "+text.Clean(i.Note))
			continue
		}
		y.line(indent, y.action(i.Action, fmt.Sprintf("%s %s %s", symbols[i.Action], text.Clean(i.Kind), text.Clean(i.Name))))
		for _, f := range i.Fields {
			action, s := fieldLine(f, nil)
			y.line(indent+"    ", y.action(action, s))
		}
	}
}

func (y *whyText) rejected(c *why.Cause, indent string) {
	for n, r := range c.Rejected {
		if n == few && !y.verbose {
			y.line(indent, y.faint(fmt.Sprintf("and %d more rejected tags", len(c.Rejected)-few)))
			return
		}
		y.line(indent, y.faint("rejected ")+strings.TrimSpace(text.Clean(r.Tag)+" "+text.Clean(r.Reason)))
	}
}

// Attribute writes one output of an instance.
func Attribute(v *plan.Value, name string) (string, error) {
	if v == nil {
		return "", fmt.Errorf("its attributes are not known")
	}
	if slices.Contains(v.Sensitive, name) {
		return text.Sensitive, nil
	}
	if slices.Contains(v.Unknown, name) {
		return text.Unknown, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(v.Value, &m); err != nil {
		return "", err
	}
	raw, ok := m[name]
	if !ok {
		return "", fmt.Errorf("it has no attribute %q.%s", name, diag.DidYouMean(name, slices.Collect(maps.Keys(m))))
	}
	return fieldValue(raw), nil
}
