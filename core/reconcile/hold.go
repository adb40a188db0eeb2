package reconcile

import (
	"slices"
	"time"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/backoff"
)

// wholeStack is the key of failures that are not about one instance.
const wholeStack = ""

const (
	freeMends = 3  // how often in a row drift of an instance is mended at once
	mostMends = 10 // after so many mends within an hour the instance is left to who undoes them
)

// planFailure is the digest of what could not be planned.
const planFailure = "plan"

// memory is what a worker remembers of earlier passes to decide by.
type memory struct {
	failures  backoff.Table
	mended    backoff.Table     // drift that was mended, by address
	applied   map[string]string // by address: digest of the last change that was applied
	unplanned map[string]bool   // what the last plan could not plan
}

func newMemory(min, max time.Duration) memory {
	return memory{
		failures: backoff.Table{Min: min, Max: max},
		mended:   backoff.Table{Min: min, Max: max, Free: freeMends, Limit: mostMends, Forget: time.Hour},
		applied:  map[string]string{}, unplanned: map[string]bool{},
	}
}

// holder decides what of a plan has to wait besides what waits at gates.
type holder struct {
	*memory
	batch     *batch
	decisions Decisions
	reports   func(address string) bool // drift of the instance is only reported
	now       time.Time
}

// hold says what a change has to wait for, nil if nothing. It is told every change of the plan that does something.
func (h *holder) hold(c *plan.Change) []plan.Wait {
	digest := digestOf(c)
	if h.batch.isOrdered(c.Address) {
		h.failures.Clear(c.Address)
		h.mended.Clear(c.Address)
		return nil
	}
	if slices.ContainsFunc(h.decisions.Rejections, func(r plan.Approval) bool { return r.Address == c.Address && r.Digest == digest }) {
		return []plan.Wait{{What: plan.WaitRejected, Reason: "it was rejected"}}
	}
	if s := h.decisions.Suspended; s != nil {
		return []plan.Wait{{What: plan.WaitResume, Reason: "the stack is suspended by " + s.Who}}
	}
	if e := h.failures.Blocked(c.Address, digest, h.now); e != nil {
		return []plan.Wait{{What: plan.WaitBackoff, Until: e.Next.UTC(), Reason: e.Error}}
	}
	if !h.isDrift(c, digest) {
		return nil
	}
	if h.reports != nil && h.reports(c.Address) {
		return []plan.Wait{{What: plan.WaitReport, Reason: "drift is only reported"}}
	}
	if e := h.mended.Blocked(c.Address, "", h.now); e != nil {
		if e.Stalled {
			return []plan.Wait{{What: plan.WaitStalled, Reason: "somebody else keeps changing it: it is not mended until davit sync or a new change"}}
		}
		return []plan.Wait{{What: plan.WaitBackoff, Until: e.Next.UTC(), Reason: "somebody else keeps changing it"}}
	}
	return nil
}

// isDrift tells whether a change only brings back what was applied already.
func (m *memory) isDrift(c *plan.Change, digest string) bool {
	if digest != "" && m.applied[c.Address] == digest {
		return true
	}
	return len(c.Causes) > 0 && !slices.ContainsFunc(c.Causes, func(cause plan.Cause) bool { return cause != plan.CauseDrift })
}

// skipped returns the instances that could not be planned before and are not to be tried now, if there is no news.
func (m *memory) skipped(b *batch, now time.Time) []addr.Place {
	if b.isNews() {
		return nil
	}
	var list []addr.Place
	for address := range m.unplanned {
		if m.failures.Blocked(address, planFailure, now) == nil || b.addresses[address] {
			continue
		}
		if p, err := addr.ParsePlace(address); err == nil {
			list = append(list, p)
		}
	}
	return list
}

// settle forgets the failures of what has nothing to do any more, and of what is gone.
func (m *memory) settle(p *plan.Plan, known func(address string) bool) {
	for i := range p.Changes {
		if c := &p.Changes[i]; !c.Works() {
			m.failures.Clear(c.Address)
		}
	}
	m.failures.Keep(func(key string) bool { return key == wholeStack || known(key) })
}

// digestOf tells changes apart, "" if that cannot be told.
func digestOf(c *plan.Change) string {
	digest, err := c.Digest()
	if err != nil {
		return ""
	}
	return digest
}
