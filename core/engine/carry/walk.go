package carry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/order"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// ahead is how many times more tasks than operations run at once: the others are about to begin, or write their results.
const ahead = 4

// task is one node of the graph that an apply walks. Every step of the plan is a task. Observations and unchanged instances are tasks as
// well, with the id of a make, because others need their values.
type task struct {
	id      string
	address string
	waits   []string // ids of tasks
	change  *plan.Change
	remove  bool // deletes: an instance without a block, one half of a replacement, or a leftover
	run     func(ctx context.Context) graph.Outcome
}

// walk runs the tasks of the plan, each after what it waits for.
func (a *applying) walk(ctx context.Context) {
	a.tasks = a.tasksOf(a.plan)
	w := graph.New(a.soft, a.input.Operations()*ahead, a.skipped)
	for _, id := range a.taskOrder {
		t := a.tasks[id]
		w.Add(t.id, t.waits, func(context.Context) graph.Outcome {
			if a.waitsForFailed(t) {
				return graph.Skipped
			}
			return t.run(ctx)
		})
	}
	w.Wait()
}

// tasksOf makes the tasks of a plan.
func (a *applying) tasksOf(p *plan.Plan) map[string]*task {
	tasks := make(map[string]*task, len(p.Observations)+len(p.Changes)+len(p.Leftovers))
	a.taskOrder = make([]string, 0, cap(a.taskOrder))
	add := func(t *task) {
		tasks[t.id] = t
		a.taskOrder = append(a.taskOrder, t.id)
	}
	for i := range p.Observations {
		o := &p.Observations[i]
		add(&task{id: order.MakeID(o.Address), address: o.Address, waits: makeIDs(o.DependsOn), run: func(ctx context.Context) graph.Outcome {
			return a.value(ctx, o.Address, nil, o)
		}})
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		if gone(c, a) {
			add(&task{id: order.DeleteID(c.Address), address: c.Address, change: c, remove: true, run: func(ctx context.Context) graph.Outcome {
				return a.changeInstance(ctx, c, nil)
			}})
			continue
		}
		add(&task{id: order.MakeID(c.Address), address: c.Address, change: c, waits: makeIDs(c.DependsOn), run: func(ctx context.Context) graph.Outcome {
			return a.value(ctx, c.Address, c, nil)
		}})
	}
	if p.Mode == plan.ModeRefresh { // what was never applied is not in it, and holds nobody up
		for _, address := range p.NotInIt() {
			add(&task{id: order.MakeID(address), address: address, run: func(context.Context) graph.Outcome { return graph.Done }})
		}
	}
	a.addSteps(p, tasks, add)
	return tasks
}

// addSteps gives the tasks what the steps wait for, and adds those that only delete.
func (a *applying) addSteps(p *plan.Plan, tasks map[string]*task, add func(*task)) {
	leftovers := make(map[string]*plan.Leftover, len(p.Leftovers))
	for i := range p.Leftovers {
		leftovers[p.Leftovers[i].Operation] = &p.Leftovers[i]
	}
	made := map[string]bool{}
	for i := range p.Steps {
		if p.Steps[i].Do == plan.Make {
			made[p.Steps[i].Address] = true
		}
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		t := tasks[s.ID]
		switch {
		case t != nil:
		case s.Operation != "":
			t = &task{id: s.ID, address: s.Address, remove: true, run: func(ctx context.Context) graph.Outcome {
				return a.deleteLeftover(ctx, leftovers[s.Operation])
			}}
			if id := order.MakeID(s.Address); s.Old && tasks[id] != nil { // the instance is looked at again afterwards
				t.waits = append(t.waits, id)
			}
			add(t)
		default:
			t = a.replacementTask(s, tasks[order.MakeID(s.Address)].change, tasks, made)
			add(t)
		}
		for _, id := range s.WaitsFor {
			if !slices.Contains(t.waits, id) {
				t.waits = append(t.waits, id)
			}
		}
	}
}

// replacementTask is the deletion of a replacement. One that comes first has the arguments of the new one evaluated before, when no step
// is needed for that: what cannot be evaluated is then found before anything is deleted.
func (a *applying) replacementTask(s *plan.Step, c *plan.Change, tasks map[string]*task, made map[string]bool) *task {
	t := &task{id: s.ID, address: s.Address, change: c, remove: true}
	if s.Old {
		t.run = func(ctx context.Context) graph.Outcome { return a.removeHalf(ctx, c, a.deleteReplaced) }
		return t
	}
	settled := map[string]bool{} // by task: no step comes before it
	var isSettled func(id string) bool
	isSettled = func(id string) bool {
		known, seen := settled[id]
		if up := tasks[id]; !seen && up != nil {
			known = !made[up.address]
			settled[id] = known
			known = known && !slices.ContainsFunc(up.waits, func(id string) bool { return !isSettled(id) })
			settled[id] = known
		}
		return known
	}
	ready := !slices.ContainsFunc(makeIDs(c.DependsOn), func(id string) bool { return !isSettled(id) })
	if ready {
		t.waits = makeIDs(c.DependsOn)
	}
	t.run = func(ctx context.Context) graph.Outcome {
		return a.removeHalf(ctx, c, func(ctx context.Context, c *plan.Change) hcl.Diagnostics { return a.deleteFirst(ctx, c, ready) })
	}
	return t
}

// makeIDs returns the ids of the tasks that give instances their values.
func makeIDs(addresses []string) []string {
	list := make([]string, len(addresses))
	for i, address := range addresses {
		list[i] = order.MakeID(address)
	}
	return list
}

// value brings one instance of the configuration to its end, so that others can use its value.
func (a *applying) value(ctx context.Context, address string, c *plan.Change, o *plan.Observation) graph.Outcome {
	at, _ := addr.Parse(address)
	in := a.planner.Finding(at)
	if kinds.IsManaged(at.Kind) {
		defer func() { in.Config = cty.NilVal }()
	}
	if !a.goesOn(in) {
		return a.stopped(ctx, in, c)
	}
	diags := a.expand(in)
	if !diags.HasErrors() {
		switch {
		case a.planner.LeftAlone(in):
			diags = append(diags, a.planner.AsInState(ctx, in)...)
		case o != nil:
			diags = append(diags, a.planner.Observe(ctx, in, o)...)
			if lacksTag(diags) {
				a.noteUndone(order.MakeID(address), "has no tag without "+strings.Join(a.without.builds(address), ", "), nil)
				return graph.Failed
			}
		case c.LastResult:
			diags = append(diags, a.kept(in, c)...)
		case c.Action == plan.None && !c.Holds() && !c.Deferred && !a.hadLeftover(address) && (a.plan.Mode == plan.ModeRefresh || (c.After.IsKnown() && len(c.After.Sensitive) == 0)):
			diags = append(diags, a.unchanged(in, c)...)
		default:
			return a.failBuild(ctx, in, c, a.changeInstance(ctx, c, in))
		}
	}
	a.found.Report(diags...)
	if diags.HasErrors() {
		a.noteUndone(order.MakeID(address), failed, nil)
		return graph.Failed
	}
	return graph.Done
}

// expand gives an instance its each.key and each.value.
func (a *applying) expand(in *look.Finding) hcl.Diagnostics {
	each, diags := a.eachOf(in)
	if !diags.HasErrors() {
		in.Each = each
	}
	return diags
}

// How a task did not end well.
const (
	failed    = "failed"
	skipped   = "was not started"
	cancelled = "was cancelled"
)

// noteUndone notes that a task was not brought to its end. It returns the reason: which of the tasks that it waits for was not either.
func (a *applying) noteUndone(id, how string, waits []string) string {
	a.resultMu.Lock()
	defer a.resultMu.Unlock()
	a.undone[id] = how
	for _, w := range waits {
		was := a.undone[w]
		if was == "" {
			continue
		}
		t := a.tasks[w]
		switch {
		case t == nil:
		case !t.remove:
			return "it waits for " + t.address + ", which " + was
		default:
			return "it waits for the deletion of " + t.address + ", which " + was
		}
	}
	return "the run was stopped"
}

// skipped keeps account of a task that was not started.
func (a *applying) skipped(id string) {
	t := a.tasks[id]
	if t == nil {
		return // what waits for it says so
	}
	reason := a.noteUndone(id, skipped, t.waits)
	out := event.Outcome{Address: t.address, Reason: reason}
	switch {
	case t.remove && t.change == nil:
		out.Action = record.ActionDeleteOld
	case t.remove && t.change.TwoSteps && t.change.CreateFirst:
		if !a.waitsToBeDeleted(t.address) {
			return // the make was not started or failed, and was spoken of
		}
		out.Action = record.ActionDeleteOld
	case t.remove && t.change.TwoSteps: // the make waits for it, and is spoken of
		return
	case t.change == nil || t.change.Action == plan.None:
		return
	default:
		out.Action = string(t.change.Action)
	}
	a.end(&a.result.NotStarted, event.OperationSkipped, out)
}

// notStarted keeps account of a change that was ready when the run was stopped.
func (a *applying) notStarted(id string, c *plan.Change) {
	reason := a.noteUndone(id, skipped, nil)
	if c.Action != plan.None {
		a.end(&a.result.NotStarted, event.OperationSkipped, event.Outcome{Address: c.Address, Action: string(c.Action), Reason: reason})
	}
}

// removeHalf runs the deletion of a replacement. It is spoken of only when it fails: the replacement is one change.
func (a *applying) removeHalf(ctx context.Context, c *plan.Change, run func(context.Context, *plan.Change) hcl.Diagnostics) graph.Outcome {
	started := time.Now()
	diags := run(ctx, c)
	id := order.DeleteID(c.Address)
	if isNotStarted(diags) {
		a.notStarted(id, c)
		return graph.Failed
	}
	a.found.Report(diags...)
	if !diags.HasErrors() {
		return graph.Done
	}
	a.noteUndone(id, failed, nil)
	a.endFailure(c, diags, time.Since(started))
	return graph.Failed
}

// endFailure keeps account of a change that failed.
func (a *applying) endFailure(c *plan.Change, diags hcl.Diagnostics, took time.Duration) {
	first := firstError(diags)
	a.end(&a.result.Failed, event.OperationFailed, event.Outcome{
		Address: c.Address, Action: string(c.Action), Error: first.Summary, Hint: diag.InfoOf(first).Hint, ElapsedMS: took.Milliseconds(),
	})
}

// isNotStarted tells whether an operation did not begin because the run was stopped.
func isNotStarted(diags hcl.Diagnostics) bool { return hasCode(diags, codeNotStarted) }

func hasCode(diags hcl.Diagnostics, code string) bool {
	return slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return diag.InfoOf(d).Code == code })
}
