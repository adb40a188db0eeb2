package reconcile

import (
	"sync"

	"github.com/davit-sh/davit/core/reconcile/status"
)

// Totals count what a stack's worker has done since the process began.
type Totals struct {
	Passes, FailedPasses, Looked, Done, Failed, Cancelled uint64
	PlanSeconds, ApplySeconds                             float64
}

// metrics are the totals by stack. They may be used concurrently.
type metrics struct {
	mu     sync.Mutex
	totals map[string]*Totals
}

func (m *metrics) pass(stack string, p *status.Pass) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.totals == nil {
		m.totals = map[string]*Totals{}
	}
	t := m.totals[stack]
	if t == nil {
		t = &Totals{}
		m.totals[stack] = t
	}
	t.Passes++
	if p.Error != "" || p.Failed > 0 {
		t.FailedPasses++
	}
	t.Looked += uint64(p.Looked)       //nolint:gosec // counts are not negative
	t.Done += uint64(p.Done)           //nolint:gosec // counts are not negative
	t.Failed += uint64(p.Failed)       //nolint:gosec // counts are not negative
	t.Cancelled += uint64(p.Cancelled) //nolint:gosec // counts are not negative
	t.PlanSeconds += float64(p.PlanMS) / 1000
	t.ApplySeconds += float64(p.ApplyMS) / 1000
}

// Totals returns the totals of all stacks, by name.
func (l *Loop) Totals() map[string]Totals {
	l.metrics.mu.Lock()
	defer l.metrics.mu.Unlock()
	out := make(map[string]Totals, len(l.metrics.totals))
	for name, t := range l.metrics.totals {
		out[name] = *t
	}
	return out
}
