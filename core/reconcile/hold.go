package reconcile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/davit-sh/davit/core/plan"
)

// Why a change is left out of an apply.
const (
	heldBackoff   = "back-off"
	heldStalled   = "stalled"   // somebody else keeps undoing it
	heldReport    = "report"    // its block says that drift is only reported
	heldSuspended = "suspended" // the stack acts on orders of persons only
)

// hold is a change that is left out.
type hold struct {
	kind   string
	until  time.Time // when it is tried again; zero: not by time
	digest string    // of the change
	change *plan.Change
	reason string
}

// wholeStack is the key of failures that are not about one instance.
const wholeStack = ""

const (
	freeMends = 3  // how often in a row drift of an instance is mended at once
	mostMends = 10 // after so many mends within an hour the instance is left to who undoes them
)

// planFailure is the digest of what could not be planned.
const planFailure = "plan"

// decide returns the changes of a plan that may not go now, by address.
func (w *worker) decide(p *plan.Plan, b *batch, now time.Time) map[string]hold {
	held := map[string]hold{}
	for i := range p.Changes {
		c := &p.Changes[i]
		if !c.Works() {
			w.failures.Clear(c.Address)
			continue
		}
		if h, is := w.holdBack(c, b, now); is {
			held[c.Address] = h
		}
	}
	return held
}

// holdBack tells whether one change has to wait, and for what.
func (w *worker) holdBack(c *plan.Change, b *batch, now time.Time) (hold, bool) {
	h := hold{digest: digestOf(c), change: c}
	if b.isOrdered(c.Address) {
		w.failures.Clear(c.Address)
		w.mended.Clear(c.Address)
		return h, false
	}
	if w.open.stack.Suspended != nil {
		h.kind, h.reason = heldSuspended, "the stack is suspended"
		return h, true
	}
	if e := w.failures.Blocked(c.Address, h.digest, now); e != nil {
		h.kind, h.until, h.reason = heldBackoff, e.Next, e.Error
		return h, true
	}
	if !w.isDrift(c, h.digest) {
		return h, false
	}
	if e := w.mended.Blocked(c.Address, "", now); e != nil {
		h.kind, h.until, h.reason = heldBackoff, e.Next, "somebody else keeps changing it"
		if e.Stalled {
			h.kind, h.until, h.reason = heldStalled, time.Time{}, "somebody else keeps changing it: it is not mended any more until davit sync or a new change"
		}
		return h, true
	}
	return h, false
}

// isDrift tells whether a change only brings back what was applied already.
func (w *worker) isDrift(c *plan.Change, digest string) bool {
	if w.applied[c.Address] == digest {
		return true
	}
	for _, cause := range c.Causes {
		if cause != plan.CauseDrift {
			return false
		}
	}
	return len(c.Causes) > 0
}

// skipped returns the instances that could not be planned before and are not to be tried now, if there is no news.
func (w *worker) skipped(b *batch, now time.Time) map[string]hold {
	if b.isNews() {
		return nil
	}
	list := map[string]hold{}
	for address := range w.unplanned {
		if e := w.failures.Blocked(address, planFailure, now); e != nil && !b.addresses[address] {
			list[address] = hold{kind: heldBackoff, until: e.Next, digest: planFailure, reason: e.Error}
		}
	}
	return list
}

// digestOf tells changes apart: what is done, with which objects, values and images. Reasons and what the plugin keeps for itself do not count.
func digestOf(c *plan.Change) string {
	own := *c
	own.Reasons, own.Private, own.Record, own.Before, own.DependsOn = nil, nil, nil, nil, nil
	text, err := json.Marshal(own)
	if err != nil {
		text = []byte(c.Address + err.Error())
	}
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}
