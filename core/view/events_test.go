package view_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/schemas"
)

// The examples in the page on events are events: each in the form of the schema, and one of every type.
func TestTheExamplesOfEventsAreEvents(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "events.md"))
	if err != nil {
		t.Fatal(err)
	}
	missing := map[event.Type]bool{}
	for _, typ := range []event.Type{
		event.Version, event.Plan, event.Observed, event.Planned, event.PlanFailed, event.OperationStart, event.Log, event.Progress, event.Item, event.Heartbeat,
		event.OperationDone, event.OperationFailed, event.OperationSkipped, event.Diagnostics, event.Summary,
	} {
		missing[typ] = true
	}
	for line := range strings.Lines(string(page)) {
		example, ok := strings.CutPrefix(line, "    {")
		if !ok {
			continue
		}
		example = "{" + strings.TrimSpace(example)
		valid(t, schemas.Event, []byte(example))
		var e event.Event
		if err := json.Unmarshal([]byte(example), &e); err != nil {
			t.Errorf("%s: %v", example, err)
		}
		delete(missing, e.Type)
	}
	if len(missing) > 0 {
		t.Errorf("no example of %v", missing)
	}
}
