package drift

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"github.com/davit-sh/davit/plugins/kubernetes/rollout"
)

const (
	firstCheck = time.Second
	// lastCheck is the longest time between two looks at an object whose status is written again and again without another result.
	lastCheck = time.Minute
	// checkTime is how long one look may take.
	checkTime = 30 * time.Second
)

// healthCheck is the state of the looks at one object's health.
type healthCheck struct {
	timer *time.Timer // of the next look; nil: none is due
	wait  time.Duration
	last  time.Time
}

func (c *healthCheck) stop() {
	if c != nil && c.timer != nil {
		c.timer.Stop()
	}
}

// checkHealth reads an object soon, because something in it has changed that is not davit's: its status, perhaps. The caller holds mu.
func (h *Hub) checkHealth(k Key, o *object) {
	if o.health == nil {
		o.health = &healthCheck{wait: firstCheck}
	}
	c := o.health
	if c.timer != nil {
		return
	}
	if time.Since(c.last) > lastCheck {
		c.wait = firstCheck
	}
	c.timer = time.AfterFunc(c.wait, func() { h.readHealth(k, o) })
}

// readHealth reads an object and tells the applications that have it if they are doing better or worse.
func (h *Hub) readHealth(k Key, o *object) {
	h.mu.Lock()
	busy := slices.ContainsFunc(o.owners, func(s *subscription) bool { return h.busy[s.ID] > 0 })
	h.mu.Unlock()
	var now rollout.Health
	known := false
	if !busy { // else davit looks itself
		ctx, cancel := context.WithTimeout(context.Background(), checkTime)
		defer cancel()
		if u, err := h.cluster.Get(ctx, k.ref()); err == nil && u != nil {
			now, known = rollout.Of(u), true
			if now.Status != status.CurrentStatus {
				if why := rollout.Why(ctx, h.cluster, u); why != "" {
					now.Message += ": " + why
				}
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	o.health.timer, o.health.last = nil, time.Now()
	o.health.wait = min(2*o.health.wait, lastCheck)
	if !known {
		return
	}
	for _, s := range o.owners {
		if s.unwell[k].Status != now.Status && (now.Status != status.CurrentStatus || s.unwell[k].Status != "") {
			o.health.wait = firstCheck
		}
		if now.Status == status.CurrentStatus {
			delete(s.unwell, k)
		} else {
			s.unwell[k] = now
		}
		s.tellHealth(k, now)
	}
}

// tellHealth tells an application's health if it is another one than was told last. The caller holds the hub's mu.
func (s *subscription) tellHealth(k Key, now rollout.Health) {
	worst := string(rollout.Worst(slices.Collect(maps.Values(s.unwell))))
	if worst == s.current {
		return
	}
	s.current = worst
	go s.notice(Notice{Reason: k.String() + ": " + now.Message, Health: worst})
}
