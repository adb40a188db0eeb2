package reconcile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/reconcile/status"
	"github.com/davit-sh/davit/internal/text"
)

// seen is what is read of the outputs of an instance for its status.
type seen struct {
	Revision string            `json:"revision"`
	Health   string            `json:"health"`
	Tags     []json.RawMessage `json:"tags"`
	Ref      string            `json:"ref"`
	Tag      string            `json:"tag"`
	Digest   string            `json:"digest"`
	Reason   string            `json:"reason"`
}

// note tells the board what a plan has found, and what of it waits.
func (w *worker) note(p *plan.Plan, held map[string]hold, done *status.Pass) {
	now := time.Now().UTC()
	b := w.board
	b.mu.Lock()
	wanted := map[string]bool{}
	for i := range p.Observations {
		o := &p.Observations[i]
		wanted[o.Address] = true
		if !w.lookedAt(o.Address) && b.instances[o.Address] != nil {
			continue
		}
		in := b.instance(o.Address)
		in.Kind, in.Type, in.Looked, in.State, in.Message, in.Backoff = o.Kind, o.Type, now, status.OK, "", nil
		observed(in, o)
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		wanted[c.Address] = true
		in := b.instance(c.Address)
		if in.Kind == "" || w.lookedAt(c.Address) {
			in.Kind, in.Type, in.Looked = c.Kind, c.Type, now
			managed(in, c)
		}
		w.noteChange(in, c, now)
	}
	for address, h := range held {
		wanted[address] = true
		w.noteHeld(b.instance(address), h, now)
	}
	w.noteUnplanned(p, wanted, held, now)
	if len(p.Excludes) == 0 { // else the rest is still there
		b.keep(wanted)
	}
	w.failures.Keep(func(key string) bool { return key == wholeStack || b.instances[key] != nil })
	b.mu.Unlock()
	b.changed()
}

// lookedAt tells whether the last plan has looked at an instance.
func (w *worker) lookedAt(address string) bool {
	in, err := addr.Parse(address)
	return err != nil || w.open.warm.Looked(in)
}

func observed(in *status.Instance, o *plan.Observation) {
	var s seen
	_ = json.Unmarshal(o.Outputs.Value, &s) // what a type leaves out is empty
	switch o.Kind {
	case kinds.Source:
		in.Revision = s.Revision
	case kinds.Image:
		n := len(s.Tags)
		in.Tags = &n
	case kinds.Policy:
		in.Chosen, in.Reason = s.Ref, s.Reason
		if in.Chosen == "" {
			in.Chosen = s.Tag
		}
	}
}

func managed(in *status.Instance, c *plan.Change) {
	if c.After == nil || c.Action != plan.None {
		return // what it will be; it is not yet
	}
	var s seen
	_ = json.Unmarshal(c.After.Value, &s)
	switch c.Kind {
	case kinds.Build:
		in.Digest = s.Digest
	default:
		in.Revision, in.Health = s.Revision, s.Health
	}
}

func (w *worker) noteChange(in *status.Instance, c *plan.Change, now time.Time) {
	if c.Works() {
		in.State, in.Message, in.Wait = status.Planned, strings.Join(c.Reasons, "; "), nil
		return
	}
	in.State, in.Message, in.Wait, in.Backoff = status.OK, "", nil, nil
	if in.Health != "" && in.Health != "Current" {
		in.Message = "it is " + in.Health
	}
}

func (w *worker) noteHeld(in *status.Instance, h hold, now time.Time) {
	in.Message = h.reason
	switch h.kind {
	case heldBackoff:
		in.State = status.Failed
		if e := w.failures.Get(in.Address); e != nil {
			in.Backoff = &status.Backoff{Failures: e.Failures, Digest: e.Digest, Next: e.Next.UTC(), Error: e.Error}
		} else if e := w.mended.Get(in.Address); e != nil {
			in.State = status.Drifted
			in.Backoff = &status.Backoff{Failures: e.Failures, Digest: h.digest, Next: e.Next.UTC(), Error: h.reason}
		}
	case heldStalled:
		in.State = status.Stalled
	case heldReport:
		in.State = status.Drifted
	default:
		since := now
		if in.Wait != nil && in.Wait.Digest == h.digest {
			since = in.Wait.Since
		}
		in.State = status.Waiting
		in.Wait = &status.Wait{For: h.kind, Digest: h.digest, Since: since, Until: h.until, Summary: h.reason}
	}
	if in.Wait != nil && h.change != nil {
		in.Wait.Action, in.Wait.Causes = string(h.change.Action), causesOf(h.change)
		in.Kind, in.Type = h.change.Kind, h.change.Type
	}
}

// noteUnplanned notes what could not be planned, and what is left out because of it.
func (w *worker) noteUnplanned(p *plan.Plan, wanted map[string]bool, held map[string]hold, now time.Time) {
	unplanned := map[string]bool{}
	for address := range w.unplanned {
		if e := w.failures.Blocked(address, planFailure, now); e != nil && slices.Contains(p.Excludes, address) {
			unplanned[address] = true // it was not tried
			wanted[address] = true
			held[address] = hold{kind: heldBackoff, until: e.Next, digest: planFailure, reason: e.Error}
		}
	}
	for i := range p.Failed {
		f := &p.Failed[i]
		reason := "it cannot be planned"
		if len(f.Diagnostics) > 0 {
			reason = text.OneLine(strings.TrimSuffix(f.Diagnostics[0].Summary+": "+f.Diagnostics[0].Detail, ": "))
		}
		e := w.failures.Fail(f.Address, planFailure, reason, now)
		if e.Failures == 1 {
			w.log.Error("it cannot be planned", "address", f.Address, "error", reason)
		}
		unplanned[f.Address], wanted[f.Address] = true, true
		held[f.Address] = hold{kind: heldBackoff, until: e.Next, digest: planFailure, reason: reason}
		in := w.board.instance(f.Address)
		if a, err := addr.Parse(f.Address); err == nil {
			in.Kind, in.Type = a.Kind, a.Type
		}
		in.State, in.Message, in.Looked = status.Failed, reason, now
		in.Backoff = &status.Backoff{Failures: e.Failures, Digest: planFailure, Next: e.Next.UTC(), Error: reason}
		for _, dependent := range f.Dependents {
			wanted[dependent] = true
			in := w.board.instance(dependent)
			if a, err := addr.Parse(dependent); err == nil {
				in.Kind, in.Type = a.Kind, a.Type
			}
			in.State, in.Message = status.Blocked, "it depends on "+f.Address+", which cannot be planned"
		}
	}
	w.unplanned = unplanned
}

func causesOf(c *plan.Change) []string {
	list := make([]string, len(c.Causes))
	for i := range c.Causes {
		list[i] = string(c.Causes[i])
	}
	return list
}

// outcome notes what an apply has done, and what failed.
func (w *worker) outcome(p *plan.Plan, batch *batch, r *event.Result, done *status.Pass) {
	now := time.Now().UTC()
	changes := map[string]*plan.Change{}
	for i := range p.Changes {
		changes[p.Changes[i].Address] = &p.Changes[i]
	}
	b := w.board
	b.mu.Lock()
	for _, o := range r.Done {
		c := changes[o.Address]
		if c == nil {
			continue
		}
		digest := digestOf(c)
		w.failures.Clear(o.Address)
		if w.isDrift(c, digest) {
			if e := w.mended.Fail(o.Address, "", "", now); e.Failures == freeMends+1 {
				w.log.Warn("somebody else keeps changing it", "address", o.Address)
			}
		} else {
			w.mended.Clear(o.Address)
		}
		w.applied[o.Address] = digest
		if c.Action == plan.Delete || c.Action == plan.Forget {
			delete(b.instances, o.Address)
			delete(w.applied, o.Address)
			continue
		}
		in := b.instance(o.Address)
		in.State, in.Message, in.Backoff, in.Wait = status.OK, "", nil, nil
		in.Change = changeOf(c, o, batch, done, now)
	}
	for _, o := range r.Failed {
		digest := planFailure
		in := b.instance(o.Address)
		if c := changes[o.Address]; c != nil {
			digest = digestOf(c)
			in.Change = changeOf(c, o, batch, done, now)
		}
		if digest == planFailure && w.unplanned[o.Address] {
			continue // noted by the plan
		}
		e := w.failures.Fail(o.Address, digest, o.Error, now)
		in.State, in.Message = status.Failed, o.Error
		in.Backoff = &status.Backoff{Failures: e.Failures, Digest: digest, Next: e.Next.UTC(), Error: o.Error}
		w.held[o.Address] = hold{kind: heldBackoff, until: e.Next, digest: digest, reason: o.Error, change: changes[o.Address]}
	}
	for _, o := range r.NotStarted {
		if in := b.instances[o.Address]; in != nil && in.State != status.Failed {
			in.State, in.Message = status.Blocked, o.Reason
		}
	}
	b.mu.Unlock()
	b.changed()
}

func changeOf(c *plan.Change, o event.Outcome, batch *batch, done *status.Pass, now time.Time) *status.Change {
	return &status.Change{At: now, Action: o.Action, Causes: causesOf(c), Reasons: c.Reasons, Triggers: batch.triggers, Pass: done.Number, Error: o.Error}
}

// summary says in one line why a stack is not ready, "" if it is.
func summary(instances map[string]*status.Instance) string {
	groups := map[string][]string{}
	for address, in := range instances {
		state := in.State
		if state == status.OK && in.Health != "" && in.Health != "Current" {
			state = "unhealthy"
		}
		groups[state] = append(groups[state], address)
	}
	var parts []string
	for _, g := range []struct{ state, word string }{
		{status.Failed, "failed"}, {status.Blocked, "blocked by others"}, {status.Stalled, "stalled"}, {"unhealthy", "not healthy"},
		{status.Waiting, "waiting"}, {status.Drifted, "drifted"}, {status.Planned, "not applied yet"},
	} {
		if list := groups[g.state]; len(list) > 0 {
			slices.Sort(list)
			parts = append(parts, fmt.Sprintf("%d %s (%s)", len(list), g.word, text.First(list, 2)))
		}
	}
	return strings.Join(parts, ", ")
}

// oneLine returns an error as one line.
func oneLine(err error) string { return text.Shorten(text.OneLine(text.Clean(err.Error())), 1000) }

// tellFailure tells notifications that planning failed, once for each failure.
func (w *worker) tellFailure(err error) {
	failed, is := err.(*planError) //nolint:errorlint // made above
	if !is || w.open.snapshot == nil || w.told == err.Error() {
		return
	}
	w.told = err.Error()
	for _, d := range w.open.session.Engine.TellFailure(w.hard, w.open.snapshot, w.open.lease, w.loop.options.Who, failed.diags) {
		w.log.Warn("nobody was notified", "error", text.OneLine(d.Summary+": "+d.Detail))
	}
	w.open.snapshot = nil
}
