package server

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/davit-sh/davit/core/reconcile"
	"github.com/davit-sh/davit/core/reconcile/status"
)

// counts are how often each path was called.
type counts struct {
	mu    sync.Mutex
	calls map[string]uint64
}

func (c *counts) add(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[string]uint64{}
	}
	c.calls[path]++
}

// metrics writes Prometheus' text format. The client library is left out on purpose: it costs every davit its start, and these are few numbers.
func metrics(s *Server, r *request) (int, any, error) {
	var b strings.Builder
	family := func(name, kind, help string) { fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind) }
	sample := func(name string, value float64, labels ...string) {
		b.WriteString(name)
		for i := 0; i < len(labels); i += 2 {
			sep := ","
			if i == 0 {
				sep = "{"
			}
			fmt.Fprintf(&b, "%s%s=%q", sep, labels[i], labels[i+1])
		}
		if len(labels) > 0 {
			b.WriteString("}")
		}
		fmt.Fprintf(&b, " %g\n", value)
	}
	family("davit_info", "gauge", "The version of this davit.")
	sample("davit_info", 1, "version", s.options.Version)
	totals, stacks := s.options.Loop.Totals(), s.options.Loop.Stacks()
	stacks = slices.DeleteFunc(stacks, func(st status.Stack) bool { return !r.who.may(Get, st.Name) })
	for _, c := range []struct {
		name, help string
		of         func(t reconcile.Totals) float64
	}{
		{"davit_reconciles_total", "Reconciles that ended.", func(t reconcile.Totals) float64 { return float64(t.Passes) }},
		{"davit_reconciles_failed_total", "Reconciles in which something failed.", func(t reconcile.Totals) float64 { return float64(t.FailedPasses) }},
		{"davit_instances_looked_total", "Instances that were observed or planned again.", func(t reconcile.Totals) float64 { return float64(t.Looked) }},
		{"davit_changes_applied_total", "Changes that were applied.", func(t reconcile.Totals) float64 { return float64(t.Done) }},
		{"davit_changes_failed_total", "Changes that failed.", func(t reconcile.Totals) float64 { return float64(t.Failed) }},
		{"davit_waits_cancelled_total", "Waits for health that a newer change ended.", func(t reconcile.Totals) float64 { return float64(t.Cancelled) }},
		{"davit_plan_seconds_total", "Time spent planning.", func(t reconcile.Totals) float64 { return t.PlanSeconds }},
		{"davit_apply_seconds_total", "Time spent applying.", func(t reconcile.Totals) float64 { return t.ApplySeconds }},
	} {
		family(c.name, "counter", c.help)
		for _, st := range stacks {
			sample(c.name, c.of(totals[st.Name]), "stack", st.Name)
		}
	}
	family("davit_stack_ready", "gauge", "1 when nothing is left to do and nothing failed.")
	for _, st := range stacks {
		sample("davit_stack_ready", oneIf(st.Ready), "stack", st.Name)
	}
	family("davit_stack_suspended", "gauge", "1 when the stack acts on orders of persons only.")
	for _, st := range stacks {
		sample("davit_stack_suspended", oneIf(st.Suspension != nil), "stack", st.Name)
	}
	family("davit_lease_held", "gauge", "1 when this process holds the lock on the stack's state.")
	for _, st := range stacks {
		sample("davit_lease_held", oneIf(st.Lease != nil && st.Lease.Own), "stack", st.Name)
	}
	family("davit_instances", "gauge", "Instances by state.")
	for _, st := range stacks {
		for _, c := range []struct {
			state string
			n     int
		}{{"all", st.Counts.Instances}, {"changing", st.Counts.Changing}, {"waiting", st.Counts.Waiting}, {"failed", st.Counts.Failed}, {"drifted", st.Counts.Drifted}, {"unhealthy", st.Counts.Unhealthy}} {
			sample("davit_instances", float64(c.n), "stack", st.Name, "state", c.state)
		}
	}
	family("davit_api_calls_total", "counter", "Calls of the API.")
	s.counts.mu.Lock()
	for _, path := range slices.Sorted(maps.Keys(s.counts.calls)) {
		sample("davit_api_calls_total", float64(s.counts.calls[path]), "path", path)
	}
	s.counts.mu.Unlock()
	r.w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	r.w.WriteHeader(http.StatusOK)
	_, _ = r.w.Write([]byte(b.String()))
	return 0, nil, nil
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
