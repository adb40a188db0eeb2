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
	y.line(first, y.bold(clean(c.Address))+"  "+y.head(c))
	if c.Again {
		return
	}
	inner := rest + "    "
	if len(c.From) > 0 {
		inner = rest + "│   "
	}
	for _, r := range c.Reasons {
		if c.Kind != "policy" {
			y.line(inner, y.faint("because ")+clean(r))
		}
	}
	if c.Hold != nil {
		y.line(inner, holdLine(plan.Change{Address: c.Address, Hold: &plan.Hold{Revision: c.Hold.Revision, Who: c.Hold.Who, Reason: c.Hold.Reason, Since: c.Hold.Since}}))
	}
	if c.Note != "" {
		y.line(inner, y.faint(clean(c.Note)))
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

// head says in a few words what an instance is, or what happened to it.
func (y *whyText) head(c *why.Cause) string {
	switch {
	case c.Again:
		return y.faint("(see above)")
	case c.Kind == "build" || c.Kind == "application":
		return y.applied(c)
	case c.Kind == "image":
		return clean(outputString(c.Outputs, "repository"))
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
		s = fmt.Sprintf("%s %s by %s, revision %d", did[plan.Action(c.Action)], c.When.Local().Format(time.DateTime), clean(c.Who), c.Revision)
	}
	if ref := outputString(c.Outputs, "ref"); ref != "" {
		s += "  " + clean(ref)
	}
	return s
}

// did says what was done to an instance.
var did = map[plan.Action]string{
	plan.Create: "created", plan.Update: "updated", plan.Replace: "replaced", plan.Delete: "deleted", plan.Build: "built", plan.Adopt: "found and adopted",
	plan.None: "unchanged since", plan.Forget: "forgotten", state.ActionRestore: "restored",
}

// few is how many lines of a list are printed unless everything is wanted.
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
			y.line(indent, y.faint("commit ")+clean(i.Name)+"  "+clean(i.Note))
			continue
		}
		y.line(indent, y.action(i.Action, fmt.Sprintf("%s %s %s", symbols[i.Action], clean(i.Kind), clean(i.Name))))
		for _, f := range i.Fields {
			action, s := fieldLine(f, nil)
			y.line(indent+"    ", y.action(action, s))
		}
	}
}

func (y *whyText) rejected(c *why.Cause, indent string) {
	for n, r := range c.Rejected {
		if n == few && !y.verbose {
			y.line(indent, y.faint(fmt.Sprintf("and %d more tags rejected", len(c.Rejected)-few)))
			return
		}
		y.line(indent, y.faint("rejected ")+strings.TrimSpace(clean(r.Tag)+" "+clean(r.Reason)))
	}
}

// Attribute writes one attribute of what an instance gives to others.
func Attribute(v *plan.Value, name string) (string, error) {
	if v == nil {
		return "", fmt.Errorf("nothing is known of its attributes")
	}
	if slices.Contains(v.Sensitive, name) {
		return "(sensitive)", nil
	}
	if slices.Contains(v.Unknown, name) {
		return "(known after apply)", nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(v.Value, &m); err != nil {
		return "", err
	}
	raw, ok := m[name]
	if !ok {
		return "", fmt.Errorf("there is no attribute %q.%s", name, diag.DidYouMean(name, slices.Collect(maps.Keys(m))))
	}
	return fieldValue(raw), nil
}
