package view

import (
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/plan"
)

// TestCausesLine: a cause is named when neither the action nor a reason says it.
func TestCausesLine(t *testing.T) {
	for _, c := range []struct {
		change plan.Change
		want   string
	}{
		{plan.Change{Action: plan.Create, Causes: []plan.Cause{plan.CauseNew}}, ""},
		{plan.Change{Action: plan.Update, Causes: []plan.Cause{plan.CauseConfig}, Reasons: []string{"arguments changed: content"}}, ""},
		{plan.Change{Action: plan.Update, Causes: []plan.Cause{plan.CauseImage, plan.CauseDrift}, Reasons: []string{"web was changed outside of davit"}}, "cause: image"},
		{plan.Change{Action: plan.Update, Causes: []plan.Cause{plan.CauseImage, plan.CauseSource}}, "causes: image, source"},
		{plan.Change{Action: plan.None, Causes: []plan.Cause{plan.CauseImage}}, ""},
	} {
		if got := causesLine(c.change); got != c.want {
			t.Errorf("%s %v %v: %q, want %q", c.change.Action, c.change.Causes, c.change.Reasons, got, c.want)
		}
	}
	p := &plan.Plan{Changes: []plan.Change{{Address: "application.a.x", Action: plan.Update, Causes: []plan.Cause{plan.CauseImage}}}}
	var text strings.Builder
	if err := Text(&text, p, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{text.String(), Markdown(p, MarkdownOptions{})} {
		if !strings.Contains(s, "cause") || !strings.Contains(s, "image") {
			t.Error(s)
		}
	}
}
