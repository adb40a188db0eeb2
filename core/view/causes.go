package view

import (
	"fmt"
	"strings"

	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/internal/text"
)

// causeWords are the words of a reason that say a cause.
var causeWords = map[plan.Cause][]string{
	plan.CauseNew: {"new", "not been built", "only after apply"}, plan.CauseSource: {"file", "source", "commit"}, plan.CauseImage: {"image"},
	plan.CauseConfig: {"argument", "configuration", "changed", "only after apply"}, plan.CauseBuild: {"build", "built", "base"},
	plan.CauseDrift: {"outside of davit", "differs", "no longer exist"}, plan.CauseRemoved: {"removed", "no longer", "destroy", "deleted"},
	plan.CauseMoved: {"move"}, plan.CauseReplaced: {"replac", "again"}, plan.CauseRollback: {"revision", "rollback"},
	plan.CauseRetry: {"did not end"}, plan.CauseState: {"exists", "state", "record"},
}

// isSaid tells whether the action of a change, or one of its reasons, says a cause.
func isSaid(c plan.Change, cause plan.Cause) bool {
	switch {
	case cause == plan.CauseNew && c.Action == plan.Create, cause == plan.CauseRemoved && c.Action == plan.Delete,
		cause == plan.CauseReplaced && (c.TwoSteps || c.Action == plan.Replace), cause == plan.CauseMoved && c.MovedFrom != "",
		cause == plan.CauseRollback && c.Hold != nil, cause == plan.CauseState:
		return true
	}
	for _, reason := range c.Reasons {
		for _, word := range causeWords[cause] {
			if strings.Contains(strings.ToLower(reason), word) {
				return true
			}
		}
	}
	return false
}

// causesLine names the causes of a change that its reasons do not say, "" if there are none.
func causesLine(c plan.Change) string {
	if c.Action == plan.None {
		return ""
	}
	var list []string
	for _, cause := range c.Causes {
		if !isSaid(c, cause) {
			list = append(list, string(cause))
		}
	}
	switch len(list) {
	case 0:
		return ""
	case 1:
		return "cause: " + text.Clean(list[0])
	}
	return "causes: " + text.Clean(strings.Join(list, ", "))
}

// steps prints the order of the work.
func (t *textWriter) steps() {
	if !t.o.Verbose || len(t.plan.Steps) == 0 {
		return
	}
	t.line(0, "")
	t.line(0, t.bold("Steps:"))
	numbers := map[string]int{}
	for i := range t.plan.Steps {
		s := &t.plan.Steps[i]
		numbers[s.ID] = i + 1
		what := text.Clean(s.Address)
		switch {
		case s.Operation != "":
			what += " (left over from an interrupted replacement)"
		case s.Old:
			what += " (the old one)"
		}
		line := fmt.Sprintf("%d. %s %s", i+1, s.Do, what)
		var after []string
		for _, id := range s.WaitsFor {
			after = append(after, fmt.Sprint(numbers[id]))
		}
		if len(after) > 0 {
			line += ", after " + strings.Join(after, ", ")
		}
		t.line(2, line)
	}
}
