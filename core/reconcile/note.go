package reconcile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
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
func (w *worker) note(found *planned, done *status.Pass) {
	p, b, now := found.Plan, w.board, time.Now().UTC()
	done.Changes, done.Held = countChanges(p), len(p.Waiting)
	w.due = map[string]time.Time{}
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
			managed(in, c, now)
		}
		noteChange(in, c)
	}
	for i := range p.Waiting {
		wanted[p.Waiting[i].Change.Address] = true
		w.noteWaiting(b.instance(p.Waiting[i].Change.Address), &p.Waiting[i], now)
	}
	w.noteUnplanned(p, found.all, wanted, now)
	if found.all { // else the rest is still there
		waiting := len(p.Waiting) > 0
		for address, in := range b.instances {
			switch {
			case wanted[address]:
			case waiting && w.isDeclared(address): // it comes after something that waits
				in.State = cmp.Or(in.State, status.OK)
			default:
				delete(b.instances, address)
			}
		}
	}
	w.memory.settle(p, func(address string) bool { return b.instances[address] != nil })
	b.mu.Unlock()
	if !found.Next.IsZero() {
		w.due[wholeStack] = found.Next
	}
	b.changed()
}

// blockOf returns the block of an instance, nil if there is none.
func (w *worker) blockOf(address string) *config.Block {
	in, err := addr.Parse(address)
	if err != nil {
		return nil
	}
	steps, err := in.Module.Steps()
	if err != nil {
		return nil
	}
	m := w.open.session.Stack.Module
	for _, s := range steps {
		call := m.Calls[s.Name]
		if call == nil || call.Module == nil {
			return nil
		}
		m = call.Module
	}
	return m.Blocks[in.In("")]
}

func (w *worker) isDeclared(address string) bool { return w.blockOf(address) != nil }

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
		in.Chosen, in.Reason = cmp.Or(s.Ref, s.Tag), s.Reason
	}
}

func managed(in *status.Instance, c *plan.Change, now time.Time) {
	if c.After == nil || c.Action != plan.None {
		return // what it will be; it is not yet
	}
	var s seen
	_ = json.Unmarshal(c.After.Value, &s)
	if c.Kind == kinds.Build {
		in.Digest = s.Digest
		return
	}
	if in.Revision = s.Revision; in.Health != s.Health {
		if in.Health != "" {
			in.HealthSince = now
		}
		in.Health = s.Health
	}
}

func noteChange(in *status.Instance, c *plan.Change) {
	in.Wait, in.Backoff = nil, nil
	if c.Works() {
		in.State, in.Message = status.Planned, strings.Join(c.Reasons, "; ")
		return
	}
	in.State, in.Message = status.OK, ""
	if in.Health != "" && in.Health != healthy {
		in.Message = "it is " + in.Health
	}
}

// states are the states of what waits, by what it waits for. What waits for several things has the first of them.
var states = []struct {
	what  plan.WaitKind
	state string
}{
	{plan.WaitStalled, status.Stalled}, {plan.WaitReport, status.Drifted}, {plan.WaitBackoff, status.Failed}, {plan.WaitInstance, status.Blocked},
}

// noteWaiting notes a change that waits.
func (w *worker) noteWaiting(in *status.Instance, x *plan.Waiting, now time.Time) {
	c := &x.Change
	wait := &status.Wait{Digest: x.Digest, Since: now, For: x.For, Action: string(c.Action), Causes: causesOf(c), Reasons: c.Reasons, Partly: x.Partly}
	if in.Wait != nil && in.Wait.Digest == x.Digest {
		wait.Since = in.Wait.Since
	} else {
		w.log.Info("a change waits", "address", c.Address, "action", c.Action, "for", waitText(x.For), "digest", x.Digest)
	}
	for _, i := range x.Images {
		wait.Images = append(wait.Images, text.Ref(i.Before)+" -> "+text.Ref(i.After))
	}
	in.Kind, in.Type, in.Wait, in.Backoff = c.Kind, c.Type, wait, nil
	if in.Looked.IsZero() || w.lookedAt(c.Address) {
		in.Looked = now
	}
	in.State, in.Message = status.Waiting, waitText(x.For)
	for _, s := range states {
		if slices.ContainsFunc(x.For, func(f plan.Wait) bool { return f.What == s.what }) {
			in.State = s.state
		}
	}
	table, digest := &w.memory.failures, x.Digest
	if w.memory.isDrift(c, x.Digest) && table.Get(c.Address) == nil {
		table, digest = &w.memory.mended, ""
		if in.State == status.Failed {
			in.State = status.Drifted
		}
	}
	for _, f := range x.For {
		if f.What == plan.WaitBackoff {
			w.due[c.Address] = f.Until
			if e := table.Get(c.Address); e != nil && e.Digest == digest {
				in.Backoff = &status.Backoff{Failures: e.Failures, Digest: x.Digest, Next: e.Next.UTC(), Error: f.Reason}
			}
		}
	}
}

// waitText says in a few words what a change waits for.
func waitText(list []plan.Wait) string {
	parts := make([]string, 0, len(list))
	for _, f := range list {
		s := "it waits for " + string(f.What)
		switch f.What {
		case plan.WaitApproval:
			s = "it waits for approval"
		case plan.WaitInstance:
			s = "it waits for " + f.Address
		case plan.WaitDeletions:
			s = fmt.Sprintf("it waits for approval: %d deletions, %d are allowed", f.Deletions, f.Limit)
		case plan.WaitBackoff, plan.WaitStalled, plan.WaitReport, plan.WaitResume, plan.WaitRejected:
			s = f.Reason
		}
		if f.Gate != "" {
			s += " (gate " + f.Gate + ")"
		}
		if !f.Until.IsZero() {
			s += ", until " + f.Until.Format(time.RFC3339)
		}
		if f.Reason != "" && f.Reason != s && !strings.HasPrefix(s, f.Reason) {
			s += ": " + f.Reason
		}
		parts = append(parts, s)
	}
	return text.Shorten(text.OneLine(strings.Join(parts, "; ")), 1000)
}

// noteUnplanned notes what could not be planned, and what is left out because of it.
func (w *worker) noteUnplanned(p *plan.Plan, all bool, wanted map[string]bool, now time.Time) {
	m, unplanned := &w.memory, map[string]bool{}
	if !all {
		for address := range m.unplanned {
			if e := m.failures.Get(address); e != nil && slices.Contains(p.Excludes, address) { // it was not tried
				unplanned[address] = true
				w.due[address] = e.Next
			}
		}
	}
	for i := range p.Failed {
		f := &p.Failed[i]
		reason := "it cannot be planned"
		if len(f.Diagnostics) > 0 {
			reason = text.OneLine(strings.TrimSuffix(f.Diagnostics[0].Summary+": "+f.Diagnostics[0].Detail, ": "))
		}
		e := m.failures.Fail(f.Address, planFailure, reason, now)
		if e.Failures == 1 {
			w.log.Error("it cannot be planned", "address", f.Address, "error", reason)
		}
		unplanned[f.Address] = true
		w.due[f.Address] = e.Next
		in := w.leftOut(f.Address, status.Failed, reason, wanted)
		in.Looked, in.Backoff = now, &status.Backoff{Failures: e.Failures, Digest: planFailure, Next: e.Next.UTC(), Error: reason}
		for _, dependent := range f.Dependents {
			w.leftOut(dependent, status.Blocked, "it depends on "+f.Address+", which cannot be planned", wanted)
		}
	}
	m.unplanned = unplanned
}

func (w *worker) leftOut(address, state, message string, wanted map[string]bool) *status.Instance {
	wanted[address] = true
	in := w.board.instance(address)
	if a, err := addr.Parse(address); err == nil {
		in.Kind, in.Type = a.Kind, a.Type
	}
	in.State, in.Message = state, message
	return in
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
	b, m := w.board, &w.memory
	b.mu.Lock()
	for _, o := range r.Done {
		c := changes[o.Address]
		if c == nil {
			continue
		}
		digest := digestOf(c)
		m.failures.Clear(o.Address)
		if m.isDrift(c, digest) {
			if e := m.mended.Fail(o.Address, "", "", now); e.Failures == freeMends+1 {
				w.log.Warn("somebody else keeps changing it", "address", o.Address)
			}
		} else {
			m.mended.Clear(o.Address)
		}
		m.applied[o.Address] = digest
		if c.Action == plan.Delete || c.Action == plan.Forget {
			delete(b.instances, o.Address)
			delete(m.applied, o.Address)
			continue
		}
		in := b.instance(o.Address)
		in.State, in.Message, in.Backoff = status.OK, "", nil
		in.Change = changeOf(c, o, batch, done, now)
	}
	for _, o := range r.Failed {
		c := changes[o.Address]
		if c == nil && m.unplanned[o.Address] {
			continue // noted by the plan
		}
		in, digest := b.instance(o.Address), planFailure
		if c != nil {
			digest = digestOf(c)
			in.Change = changeOf(c, o, batch, done, now)
		}
		e := m.failures.Fail(o.Address, digest, o.Error, now)
		in.State, in.Message = status.Failed, o.Error
		in.Backoff = &status.Backoff{Failures: e.Failures, Digest: digest, Next: e.Next.UTC(), Error: o.Error}
		w.due[o.Address] = e.Next
	}
	for _, o := range r.NotStarted {
		if in := b.instances[o.Address]; in != nil && in.State != status.Failed {
			in.State, in.Message = status.Blocked, o.Reason
		}
	}
	b.mu.Unlock()
	b.changed()
	w.forgetApplied(r)
}

func changeOf(c *plan.Change, o event.Outcome, batch *batch, done *status.Pass, now time.Time) *status.Change {
	return &status.Change{At: now, Action: o.Action, Causes: causesOf(c), Reasons: c.Reasons, Triggers: batch.triggers, Pass: done.Number, Error: o.Error}
}

// summary says in one line why a stack is not ready, "" if it is.
func summary(instances map[string]*status.Instance) string {
	groups := map[string][]string{}
	for address, in := range instances {
		state := in.State
		if state == status.OK && in.Health != "" && in.Health != healthy {
			state = "unhealthy"
		}
		if in.Wait != nil && state == status.Planned {
			state = status.Waiting
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
