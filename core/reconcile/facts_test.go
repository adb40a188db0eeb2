package reconcile

import (
	"testing"
	"time"

	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/state"
)

// The gates are told what is healthy as the watches see it. That nothing is healthy is known as well, and is not the same as knowing nothing.
func TestFactsForGates(t *testing.T) {
	applied := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	mended := applied.Add(time.Hour)
	w := &worker{board: &board{instances: map[string]*status.Instance{}}, open: &opened{snapshot: &state.Snapshot{Records: map[string]state.Record{app: {Address: app, Updated: applied}}}}}
	if f := w.facts(); f.Healthy != nil {
		t.Errorf("before anything is known: %v", f.Healthy)
	}
	in := &status.Instance{Kind: "application", Health: "Failed"}
	w.board.instances[app] = in
	if f := w.facts(); f.Healthy == nil || len(f.Healthy) > 0 {
		t.Errorf("nothing is healthy: %v", f.Healthy)
	}
	in.Health, in.HealthSince = "Current", mended
	if f := w.facts(); !f.Healthy[app].Equal(mended) {
		t.Errorf("it is healthy again: %v", f.Healthy)
	}
	in.HealthSince = applied.Add(-time.Hour)
	if f := w.facts(); !f.Healthy[app].Equal(applied) {
		t.Errorf("it was applied since: %v", f.Healthy)
	}
}
