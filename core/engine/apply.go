package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// ApplyOptions says how a plan is carried out.
type ApplyOptions struct {
	Store state.Store
	Lease state.Lease
	// Reviewed says that time has passed since the plan was made: each instance is planned
	// again, and what differs from the review is not applied.
	Reviewed bool
	Who      string // applies, for the history
	// Stop ends the run softly: nothing new is started, running work finishes.
	Stop context.Context
	// Outbox tells notifications what is going to be done, and what was done. Nil: nobody wants to be told anything.
	Outbox Outbox
}

// Outbox tells notifications of an apply.
type Outbox interface {
	// Begin tells what is going to be done. The snapshot is the state as it is then.
	Begin(ctx context.Context, lease state.Lease, snapshot *state.Snapshot)
	// End tells what was done, with the values that the tree has then, and waits until it is told. What it returns are warnings.
	End(ctx context.Context, t *Tree, result *event.Result, failed bool) hcl.Diagnostics
}

// applying is a run that carries out a plan.
type applying struct {
	input   *Input
	tree    *Tree
	found   *Findings
	svc     *Services
	records *Overlay
	planner *Planner // plans again what was unknown, or what was reviewed
	plan    *plan.Plan
	opts    ApplyOptions
	lease   state.Lease

	calls sync.Map // eval.Pending -> *sync.Once: expanded
	ends  map[*Finding]bool
	soft  context.Context // ends when nothing new is to be started
	halt  func()          // ends soft
	work  chan struct{}   // one for each operation that a plugin is working on
	cut   *unfinished

	resultMu sync.Mutex
	result   event.Result
	undone   map[string]string // address -> "failed" or "was not started"; observations as well
}

// Apply carries a plan out, in the order that the plan has written down. It returns what was done, what failed
// and what was not started. All that was done is in state, whatever happens.
func apply(ctx context.Context, in *Input, f *forms, svc *Services, p *plan.Plan, opts ApplyOptions) (*event.Result, hcl.Diagnostics) {
	snapshot, err := opts.Store.Load(ctx)
	if err != nil {
		return nil, hcl.Diagnostics{diag.Plain("The state cannot be read", err.Error())}
	}
	fits := in.fits(ctx, p, snapshot, opts.Reviewed)
	if fits.HasErrors() {
		return nil, fits
	}
	if err := p.Seal(); err != nil {
		return nil, hcl.Diagnostics{diag.Plain("The plan cannot be applied", err.Error())}
	}
	lease := state.Group(opts.Lease)
	if snapshot, err = settle(ctx, lease, snapshot, p.Moves); err != nil {
		return nil, hcl.Diagnostics{diag.Plain("The state cannot be written", err.Error())}
	}
	records := newOverlay(snapshot)
	planner := newPlanner(in, f, svc, records, Options{Mode: p.Mode, Rollback: rollbackOf(p)})
	a := &applying{
		input: in, tree: planner.tree, found: planner.found, svc: svc, records: records, planner: planner,
		plan: p, opts: opts, lease: lease, cut: unfinishedOf(snapshot), undone: map[string]string{},
	}
	a.result = event.Result{Done: []event.Outcome{}, Failed: []event.Outcome{}, NotStarted: []event.Outcome{}}
	if diags := a.prepare(); diags.HasErrors() {
		return nil, diags
	}
	a.found.report(fits...)
	a.soft, a.halt, a.work = opts.Stop, func() {}, make(chan struct{}, in.parallel())
	if a.soft == nil {
		a.soft = ctx
	}
	if opts.Outbox != nil {
		opts.Outbox.Begin(ctx, lease, snapshot)
	}
	work, done := a.whileHeld(ctx)
	a.deleteLeftovers(work)
	a.walk(work)
	a.finish()
	a.tellDamage()
	done()
	a.svc.emit(event.Event{Type: event.Summary, Result: &a.result})
	if opts.Outbox != nil {
		a.found.report(opts.Outbox.End(ctx, a.tree, &a.result, a.found.hasErrors())...)
	}
	return &a.result, a.found.diags
}

// prepare makes the instances of the plan, with the dependencies that the plan has written down.
func (a *applying) prepare() hcl.Diagnostics {
	a.tree.root.OnDemand(a.expandCall)
	a.tree.expandStatic(a.tree.root)
	a.nodesOf(a.tree.root)
	var diags hcl.Diagnostics
	add := func(address string, dependsOn []string) *Finding {
		at, err := addr.Parse(address)
		b := a.input.declared(at.Node)
		if err != nil || b == nil {
			diags = append(diags, diag.Plain("The plan cannot be applied", fmt.Sprintf("It names %s, which the stack does not have.", address)))
			return nil
		}
		in := &instance{addr: at, node: a.tree.nodeAt(at.Node, b)}
		for _, d := range dependsOn {
			if dep, err := addr.Parse(d); err == nil {
				in.deps = append(in.deps, dep)
			}
		}
		in.node.add(in)
		return a.found.of(in)
	}
	for i := range a.plan.Observations {
		o := &a.plan.Observations[i]
		if in := add(o.Address, o.DependsOn); in != nil {
			in.observation = o
		}
	}
	for i := range a.plan.Changes {
		c := &a.plan.Changes[i]
		if gone(c, a) {
			continue
		}
		if in := add(c.Address, c.DependsOn); in != nil {
			in.change = c
		}
	}
	if a.plan.Mode == plan.ModeRefresh {
		for _, address := range a.plan.NotInIt() {
			if in := add(address, nil); in != nil {
				in.seen = in.node.typ.See(cty.NilVal, in.node.typ.UnknownOutputs())
			}
		}
	}
	a.ends = a.endings()
	return diags
}

// gone tells whether a change is about an instance that no block stands for.
func gone(c *plan.Change, a *applying) bool {
	return c.Action == plan.Delete || (c.Action == plan.Forget && a.plan.Mode != plan.ModeRefresh)
}

// nodesOf makes the nodes of a module instance and of those that it calls, as far as they are expanded.
func (a *applying) nodesOf(s *eval.Scope) {
	for _, n := range s.Module.Order {
		a.tree.newNode(s, s.Module.Blocks[n])
	}
	for _, name := range s.Module.CallOrder {
		if call := s.Module.Calls[name]; call.ForEach == nil && call.Count == nil {
			for _, child := range s.Children(name) {
				a.nodesOf(child)
			}
		}
	}
}

// expandCall makes the instances of a call when something needs them: all that they are made of is done by then.
func (a *applying) expandCall(s *eval.Scope, call *config.Call) {
	once, _ := a.calls.LoadOrStore(eval.Pending{Scope: s, Call: call}, &sync.Once{})
	once.(*sync.Once).Do(func() {
		each, diags := s.Expand("module."+call.Name, call.ForEach, call.Count)
		a.found.report(diags...)
		for _, child := range s.Expanded(call, each) {
			a.tree.expandStatic(child)
			a.nodesOf(child)
		}
	})
}

// scopeOf finds the scope of a module instance.
func (a *applying) scopeOf(m addr.Module) *eval.Scope {
	steps, err := m.Steps()
	if err != nil {
		return nil
	}
	s := a.tree.root
	for _, step := range steps {
		if s.Children(step.Name); s.Child(step.Name, step.Key) == nil {
			return nil
		}
		s = s.Child(step.Name, step.Key)
	}
	return s
}

// ahead is how many times more steps than operations run at once: the others are about to begin, or write their results.
const ahead = 4

// walk runs what the plan says, each thing after what it depends on.
func (a *applying) walk(ctx context.Context) {
	changes := map[string]*plan.Change{}
	for i := range a.plan.Changes {
		changes[a.plan.Changes[i].Address] = &a.plan.Changes[i]
	}
	observations := map[string]*plan.Observation{}
	for i := range a.plan.Observations {
		observations[a.plan.Observations[i].Address] = &a.plan.Observations[i]
	}
	w := graph.New(a.soft, a.input.parallel()*ahead, func(address string) {
		if c := changes[address]; c != nil {
			a.notStarted(c, c.DependsOn)
		} else if o := observations[address]; o != nil {
			a.because(address, "was not started", o.DependsOn)
		}
	})
	for i := range a.plan.Observations {
		o := &a.plan.Observations[i]
		w.Add(o.Address, o.DependsOn, func(context.Context) graph.Outcome { return a.step(ctx, o.Address, nil, o) })
	}
	for i := range a.plan.Changes {
		c := &a.plan.Changes[i]
		w.Add(c.Address, c.DependsOn, func(context.Context) graph.Outcome {
			if gone(c, a) {
				return a.change(ctx, c, nil)
			}
			return a.step(ctx, c.Address, c, nil)
		})
	}
	if a.plan.Mode == plan.ModeRefresh { // what was never applied is not in it, and holds nobody up
		for _, address := range a.plan.NotInIt() {
			w.Add(address, nil, func(context.Context) graph.Outcome { return graph.Done })
		}
	}
	w.Wait()
}

// step brings one instance of the plan to its end.
func (a *applying) step(ctx context.Context, address string, c *plan.Change, o *plan.Observation) graph.Outcome {
	at, _ := addr.Parse(address)
	in := a.planner.finding(at)
	if kinds.IsManaged(at.Kind) {
		defer func() { in.config = cty.NilVal }()
	}
	each, diags := a.eachOf(in)
	if !diags.HasErrors() {
		in.each = each
		switch {
		case a.planner.leftAlone(in):
			diags = append(diags, a.planner.asInState(ctx, in)...)
		case o != nil:
			diags = append(diags, a.planner.observe(ctx, in, o)...)
		case c.Action == plan.None && !c.Holds() && !c.Deferred && !a.hadLeftover(address) && (a.plan.Mode == plan.ModeRefresh || (c.After.IsKnown() && len(c.After.Sensitive) == 0)):
			diags = append(diags, a.unchanged(in, c)...)
		default:
			return a.change(ctx, c, in)
		}
	}
	a.found.report(diags...)
	if diags.HasErrors() {
		a.because(address, "failed", nil)
		return graph.Failed
	}
	return graph.Done
}

// because notes that an instance was not brought to its end, and tells which of those that it depends on was not either.
func (a *applying) because(address, how string, dependsOn []string) string {
	a.resultMu.Lock()
	defer a.resultMu.Unlock()
	a.undone[address] = how
	for _, d := range dependsOn {
		if was := a.undone[d]; was != "" {
			return "it waits for " + d + ", which " + was
		}
	}
	return "the run was stopped"
}

// notStarted keeps account of a change that was not begun. What changes nothing is not spoken of.
func (a *applying) notStarted(c *plan.Change, dependsOn []string) {
	reason := a.because(c.Address, "was not started", dependsOn)
	if c.Action != plan.None {
		a.end(&a.result.NotStarted, event.OperationSkipped, event.Outcome{Address: c.Address, Action: string(c.Action), Reason: reason})
	}
}

// eachOf finds what each.key and each.value were for an instance.
func (a *applying) eachOf(in *Finding) (eval.Each, hcl.Diagnostics) {
	n := in.node
	over, overInstances := n.over()
	n.eachOnce.Do(func() {
		s := n.planted()
		if s == nil {
			s = a.scopeOf(n.addr.Module)
			n.plant(s)
		}
		if s == nil {
			n.eachDiags = hcl.Diagnostics{in.errorf("the plan is stale", "The stack does not expand to this module any more. Plan again.")}
			return
		}
		if !n.expanded || overInstances {
			return
		}
		list, diags := n.scope.Expand(n.addr.String(), n.block.ForEach, n.block.Count)
		n.eachDiags, n.each = diags, make(map[addr.Key]eval.Each, len(list))
		for _, e := range list {
			n.each[e.Key] = e
		}
	})
	if n.eachDiags.HasErrors() || !n.expanded {
		return eval.Each{}, n.eachDiags
	}
	if overInstances {
		// Only the one that this instance stands for is done by now: the others may be at work.
		one := addr.Instance{Node: over.In(n.scope.Path), Key: in.addr.Key}
		if up := a.planner.finding(one); up != nil {
			return eval.Each{Key: in.addr.Key, Value: a.tree.Value(one)}, nil
		}
	}
	e, ok := n.each[in.addr.Key]
	if !ok {
		return eval.Each{}, hcl.Diagnostics{in.errorf("the plan is stale", "The stack does not expand to this instance any more. Plan again.")}
	}
	return e, nil
}

// unchanged gives an instance that needs nothing done its value.
func (a *applying) unchanged(in *Finding, c *plan.Change) hcl.Diagnostics {
	diags := a.planner.configure(context.Background(), in)
	if !diags.HasErrors() {
		diags = append(diags, a.planner.preconditions(in, "before it is applied")...)
	}
	if diags.HasErrors() {
		return diags
	}
	outputs, err := in.node.typ.StoredOutputs.Cty(c.After)
	if err != nil {
		return append(diags, a.svc.failure(in.instance, "reading the plan", err))
	}
	if in.seen == nil { // else it was planned again: the plan does not hold what is sensitive
		in.seen = in.node.typ.See(in.config, types.Fit(outputs, in.node.typ.OutputType))
	}
	write := a.whole
	if a.plan.Mode == plan.ModeRefresh {
		write = a.refreshed
	}
	if err := write(in, c, outputs); err != nil {
		return append(diags, a.svc.failure(in.instance, "writing its record to state", err))
	}
	return append(diags, a.planner.postconditions(in, "after it")...)
}

// whole writes the record of an instance that an earlier operation left unfinished, and that turned out to be as it should.
func (a *applying) whole(in *Finding, c *plan.Change, outputs cty.Value) error {
	rec, ok := a.records.Record(in.addr.String())
	if ok && rec.Status == state.StatusOK {
		return a.keep(in, c, rec)
	}
	if !ok || !outputs.IsWhollyKnown() {
		return nil
	}
	config, err1 := types.Encode(in.node.typ.PluginConfig(in.config))
	out, err2 := json.Marshal(c.After)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	now := *rec
	now.Status, now.Config, now.Outputs, now.Fingerprints = state.StatusOK, config, out, a.input.Fingerprints.Arguments(in.config)
	now.OutputFingerprints = nil // of outputs that the plan does not hold
	now.DependsOn, now.Updated = a.tree.managedUpstream(in.instance), time.Now().UTC()
	if c.Holds() {
		now.Hold = a.hold(c)
	}
	did := *c
	did.Action, did.Reasons = plan.Adopt, []string{notEnded + ", and it is as it should be"}
	id := "adopt"
	if op := a.cut.of(c.Address); op != nil {
		id, did.Action = op.ID, plan.Action(op.Action)
	}
	return a.commit(state.Batch{Put: append([]state.Record{now}, a.observed(in)...), History: []state.Revision{a.newRevision(&did, in, &now, id)}})
}

// change carries out one change and keeps account of it. in is nil for a deletion.
func (a *applying) change(ctx context.Context, c *plan.Change, in *Finding) graph.Outcome {
	started := time.Now()
	out := event.Outcome{Address: c.Address, Action: string(c.Action)}
	action, diags := a.carryOut(ctx, c, in)
	out.ElapsedMS = time.Since(started).Milliseconds()
	if slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return diag.InfoOf(d).Code == codeNotStarted }) {
		a.notStarted(c, nil)
		return graph.Failed
	}
	a.found.report(diags...)
	if diags.HasErrors() {
		first := firstError(diags)
		out.Error, out.Hint = first.Summary, diag.InfoOf(first).Hint
		a.because(c.Address, "failed", nil)
		a.end(&a.result.Failed, event.OperationFailed, out)
		return graph.Failed
	}
	switch out.Action = string(action); {
	case action != plan.None:
		a.end(&a.result.Done, event.OperationDone, out)
	case c.Action != plan.None:
		out.Reason = "it turned out to be as it should"
		a.end(&a.result.Unchanged, event.Planned, out)
	}
	return graph.Done
}

// firstError is the first error of a list that has one.
func firstError(diags hcl.Diagnostics) *hcl.Diagnostic {
	return diags[slices.IndexFunc(diags, func(d *hcl.Diagnostic) bool { return d.Severity == hcl.DiagError })]
}

func (a *applying) end(list *[]event.Outcome, t event.Type, out event.Outcome) {
	a.resultMu.Lock()
	*list = append(*list, out)
	a.resultMu.Unlock()
	a.svc.emit(event.Event{Type: t, Address: out.Address, Action: out.Action, Message: cmp.Or(out.Error, out.Reason), ElapsedMS: out.ElapsedMS})
}

// carryOut does what a change says. It returns what was done in the end: what was unknown may turn out to change nothing.
func (a *applying) carryOut(ctx context.Context, c *plan.Change, in *Finding) (plan.Action, hcl.Diagnostics) {
	switch {
	case c.Action == plan.Forget:
		return c.Action, a.forget(c)
	case in == nil:
		return c.Action, a.delete(ctx, c)
	}
	diags := a.asReviewed(ctx, c, in)
	switch {
	case diags.HasErrors():
		return c.Action, diags
	case c.TwoSteps:
		return c.Action, append(diags, a.replace(ctx, c, in)...)
	}
	if c.Import != "" {
		diags = a.takeOver(ctx, c, in)
		if diags.HasErrors() || c.Action == plan.Adopt && len(in.node.typ.Sensitive) == 0 {
			return c.Action, diags // else it is planned again: its record does not hold what is sensitive
		}
	}
	final := c
	unsaid := !c.After.IsKnown() || len(c.After.Sensitive) > 0 // what others see of it is not all in the plan
	if a.opts.Reviewed || c.Deferred || unsaid || a.hadLeftover(c.Address) || len(c.WaitsFor) > 0 || c.Import != "" {
		diags = append(diags, a.planner.One(ctx, in, c)...)
		if diags.HasErrors() {
			return c.Action, diags
		}
		final = in.change
		if err := consistent(c, final); err != nil {
			return c.Action, append(diags, a.svc.failure(in.instance, "planning again at apply", err))
		}
		final.Hold, final.Reasons = c.Hold, c.Reasons
	} else {
		diags = append(diags, a.planner.configure(ctx, in)...)
		if !diags.HasErrors() {
			diags = append(diags, a.planner.preconditions(in, "before it is applied")...)
		}
		if diags.HasErrors() {
			return c.Action, diags
		}
	}
	switch {
	case final.Action == plan.None && c.Import != "":
		return c.Action, append(diags, a.unchanged(in, final)...) // it was taken over
	case final.Action == plan.None && final.Holds():
		return plan.Keep, append(diags, a.unchanged(in, final)...)
	case final.Action == plan.None:
		return plan.None, append(diags, a.unchanged(in, final)...)
	case final.AsIs:
		return final.Action, append(diags, a.adopt(final, in)...)
	}
	return final.Action, append(diags, a.operate(ctx, final, in)...)
}

// forget removes a record and leaves what it stands for alone.
func (a *applying) forget(c *plan.Change) hcl.Diagnostics {
	if err := a.commit(state.Batch{Delete: []string{c.Address}}); err != nil {
		return hcl.Diagnostics{diag.Plain(c.Address+": writing to state failed", err.Error())}
	}
	return nil
}

// takeOver writes the record of an existing object.
func (a *applying) takeOver(ctx context.Context, c *plan.Change, in *Finding) hcl.Diagnostics {
	if diags := a.planner.configure(ctx, in); diags.HasErrors() {
		return diags
	}
	rec, diags := a.planner.imported(ctx, in, c.Import)
	if diags.HasErrors() {
		return diags
	}
	rec.Updated = time.Now().UTC()
	rec.Fingerprints = a.input.Fingerprints.Arguments(in.config)
	rev := a.newRevision(c, in, rec, "import")
	if err := a.commit(state.Batch{Put: append([]state.Record{*rec}, a.observed(in)...), History: []state.Revision{rev}}); err != nil {
		return append(diags, a.svc.failure(in.instance, "writing its record to state", err))
	}
	a.records.put(rec)
	outputs, err := types.Decode(rec.Outputs)
	if err != nil {
		return append(diags, a.svc.failure(in.instance, "importing", err))
	}
	in.seen = in.node.typ.See(in.config, types.Fit(outputs, in.node.typ.OutputType))
	return diags
}

// adopt writes the record of what is there as it should be. What is to follow is begun with it.
func (a *applying) adopt(c *plan.Change, in *Finding, next ...state.Operation) hcl.Diagnostics {
	t := in.node.typ
	config, err1 := types.Encode(t.PluginConfig(in.config))
	after, err2 := t.StoredOutputs.Cty(c.After)
	if err := errors.Join(err1, err2); err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "adopting it", err)}
	}
	outputs := types.Fit(after, t.OutputType)
	written, err := types.Encode(outputs)
	if err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "adopting it", err)}
	}
	rec := &state.Record{
		Address: c.Address, Kind: c.Kind, Type: c.Type, Plugin: c.Plugin, Status: state.StatusOK, Config: config, Outputs: written,
		Private: c.Private, Fingerprints: a.input.Fingerprints.Arguments(in.config), DependsOn: a.tree.managedUpstream(in.instance), Updated: time.Now().UTC(), Hold: a.hold(c),
	}
	rev := a.newRevision(c, in, rec, "adopt")
	if op := a.cut.of(c.Address); op != nil {
		rev.Operation, rev.Action = op.ID, op.Action
	}
	if err := a.commit(state.Batch{Put: append([]state.Record{*rec}, a.observed(in)...), Begin: next, History: []state.Revision{rev}}); err != nil {
		return hcl.Diagnostics{a.svc.failure(in.instance, "writing its record to state", err)}
	}
	a.records.put(rec)
	if in.seen == nil { // else it was planned again: the plan does not hold what is sensitive
		in.seen = t.See(in.config, outputs)
	}
	return nil
}

// replace makes an instance anew in two operations, because the person or the configuration asked for it.
func (a *applying) replace(ctx context.Context, c *plan.Change, in *Finding) hcl.Diagnostics {
	diags := a.planner.configure(ctx, in)
	if diags.HasErrors() {
		return diags
	}
	old, recorded := a.records.Record(c.Address)
	if recorded && c.CreateFirst {
		done, more := a.makeFirst(ctx, c, in, old)
		if diags = append(diags, more...); done || diags.HasErrors() {
			return diags
		}
	}
	if !recorded {
		return append(diags, a.makeAnew(ctx, c, in)...)
	}
	next, err := a.operation(c, in)
	if err != nil {
		return append(diags, a.svc.failure(in.instance, "replacing", err))
	}
	if diags = append(diags, a.delete(ctx, c, next)...); diags.HasErrors() {
		return diags
	}
	a.records.remove(c.Address)
	a.cut.add(next)
	if diags = append(diags, a.makeAnew(ctx, c, in)...); diags.HasErrors() {
		rev := a.newRevision(c, in, old, next.ID)
		rev.Action = string(plan.Delete)
		if err := a.commit(state.Batch{History: []state.Revision{rev}}); err != nil {
			diags = append(diags, a.svc.failure(in.instance, "writing its deletion to state", err))
		}
	}
	return diags
}

// makeAnew makes an instance whose old one is gone.
func (a *applying) makeAnew(ctx context.Context, c *plan.Change, in *Finding) hcl.Diagnostics {
	diags := a.planner.One(ctx, in, nil)
	if diags.HasErrors() {
		return diags
	}
	if in.change.Action == plan.None || in.change.AsIs {
		return append(diags, in.errorf("it is still there", "It was deleted so as to be made anew, and its plugin says that there is nothing to do. Run davit apply again."))
	}
	return append(diags, a.operate(ctx, anew(in, c), in)...)
}

// anew is the change that makes an instance anew, as it was planned just now, with what the replacement says of it.
func anew(in *Finding, replacement *plan.Change) *plan.Change {
	in.change.Reasons, in.change.Hold, in.change.TwoSteps = replacement.Reasons, replacement.Hold, true
	return in.change
}

// observed are the records of what an instance was made from, as far as they are news. A
// source's is written with the applications that it ends in: until then its commits are still to come.
func (a *applying) observed(in *Finding) []state.Record {
	var list []state.Record
	a.tree.upstream(in.instance, func(i *instance) {
		up := a.found.of(i)
		if up.addr.Kind == "source" && in.addr.Kind == "build" && a.ends[up] {
			return
		}
		list = append(list, a.observedOne(up)...)
	})
	return list
}

// observedOne is the record of an observed instance, if it is news.
func (a *applying) observedOne(up *Finding) []state.Record {
	if up.observation == nil || up.observation.Outputs.Value == nil || a.planner.leftAlone(up) {
		return nil
	}
	outputs, err := json.Marshal(up.observation.Outputs)
	if err != nil || slices.Equal(outputs, a.records.Snapshot().Records[up.addr.String()].Outputs) {
		return nil
	}
	return []state.Record{{
		Address: up.addr.String(), Kind: up.addr.Kind, Type: up.addr.Type, Plugin: up.node.typ.Plugin, Status: state.StatusOK,
		Outputs: outputs, Updated: time.Now().UTC(),
	}}
}

// endings are the sources that end in an application.
func (a *applying) endings() map[*Finding]bool {
	found := map[*Finding]bool{}
	seen := map[*Finding]bool{}
	var visit func(*Finding)
	visit = func(in *Finding) {
		if in == nil || seen[in] {
			return
		}
		seen[in] = true
		if in.addr.Kind == "source" {
			found[in] = true
		}
		for _, d := range in.deps {
			visit(a.planner.finding(d))
		}
	}
	for _, c := range a.plan.Changes {
		if c.Kind == "application" && c.Action != plan.Delete {
			if at, err := addr.Parse(c.Address); err == nil {
				visit(a.planner.finding(at))
			}
		}
	}
	return found
}

// delete carries out a deletion, and removes the record. What is to follow is begun with its end, and has a place in the
// history of its own.
func (a *applying) delete(ctx context.Context, c *plan.Change, next ...state.Operation) hcl.Diagnostics {
	at, err := addr.Parse(c.Address)
	if err != nil {
		return hcl.Diagnostics{diag.Plain("The plan cannot be applied", err.Error())}
	}
	in := &Finding{instance: &instance{addr: at}}
	if diags := a.planner.recorded(in); diags.HasErrors() {
		return diags
	}
	rec, ok := a.records.Record(c.Address)
	if !ok {
		return nil
	}
	op := a.deletion(c)
	a.cut.takeUp(op)
	res, diags := a.destroy(ctx, op, in, rec)
	if diags.HasErrors() {
		return append(diags, a.endFailed(in, op, *rec, res)...)
	}
	batch := state.Batch{Delete: []string{c.Address}, End: []string{op.ID}, Begin: next}
	if len(next) == 0 {
		batch.History = []state.Revision{a.newRevision(c, in, rec, op.ID)}
	}
	if err := a.commit(batch); err != nil {
		return append(diags, a.svc.failure(in.instance, "writing its deletion to state", err))
	}
	return diags
}

// oldOne is the operation that deletes what a record stands for, when the new one is there.
func (a *applying) oldOne(c *plan.Change, old *state.Record) (state.Operation, error) {
	op := *a.deletion(c)
	op.Action = actionDeleteOld
	var err error
	op.Planned, err = json.Marshal(old)
	return op, err
}

// deleteOld deletes what an instance was before it was made anew; the record is the new one's by now.
func (a *applying) deleteOld(ctx context.Context, op *state.Operation, in *Finding, old *state.Record) hcl.Diagnostics {
	_, diags := a.destroy(ctx, op, in, old)
	if diags.HasErrors() {
		return diags // it stays open: the next apply tries again
	}
	if err := a.commit(state.Batch{End: []string{op.ID}}); err != nil {
		return append(diags, a.svc.failure(in.instance, "writing its deletion to state", err))
	}
	return diags
}

func (a *applying) deletion(c *plan.Change) *state.Operation {
	return &state.Operation{
		ID: uuid.NewString(), Address: c.Address, Kind: c.Kind, Type: c.Type, Plugin: c.Plugin, Action: string(plan.Delete),
		Begun: time.Now().UTC(), PlanHash: a.plan.Digest, Private: c.Private,
	}
}

// destroy runs the operation that deletes what a record stands for.
func (a *applying) destroy(ctx context.Context, op *state.Operation, in *Finding, rec *state.Record) (*pluginv1.ApplyResult, hcl.Diagnostics) {
	prior, err := types.Prior(rec, in.node.typ)
	if err != nil {
		return &pluginv1.ApplyResult{}, hcl.Diagnostics{a.svc.failure(in.instance, "deleting", err)}
	}
	return a.call(ctx, in, op, &pluginv1.ApplyRequest{
		Operation: op.ID, Address: op.Address, Kind: op.Kind, Type: op.Type, Action: pluginv1.Action_ACTION_DELETE,
		Prior: prior, PlannedPrivate: op.Private,
	})
}

// finish writes what is left: the outputs, and the end of records that no block stands for any more.
func (a *applying) finish() {
	if a.found.diags.HasErrors() || len(a.result.NotStarted) > 0 {
		return
	}
	partial := a.plan.Partial()
	var b state.Batch
	if len(a.result.Done) > 0 && !partial {
		for address, rec := range a.records.Snapshot().Records {
			if at, err := addr.Parse(address); err == nil && !kinds.IsManaged(rec.Kind) && (a.plan.Mode == plan.ModeDestroy || a.planner.finding(at) == nil) {
				b.Delete = append(b.Delete, address)
			}
		}
	}
	if !partial && a.plan.Mode != plan.ModeRefresh {
		b.End = a.cut.rest()
	}
	if a.plan.Mode == plan.ModeRefresh {
		a.planner.inOrder(func(in *Finding) { b.Put = append(b.Put, a.observedOne(in)...) })
	}
	outputs := a.records.Snapshot().Outputs
	switch {
	case a.plan.Mode == plan.ModeApply && !partial:
		outputs = outputsOf(a.planner.outputs())
	case a.plan.Mode == plan.ModeDestroy && !partial:
		outputs = map[string]json.RawMessage{}
	}
	if !sameOutputs(outputs, a.records.Snapshot().Outputs) {
		b.Outputs = outputs
	}
	if b.Empty() {
		return
	}
	if err := a.commit(b); err != nil {
		a.found.report(diag.Plain("The state cannot be written", err.Error()))
	}
}

func sameOutputs(x, y map[string]json.RawMessage) bool {
	if len(x) != len(y) {
		return false
	}
	for name, v := range x {
		if !slices.Equal(v, y[name]) {
			return false
		}
	}
	return true
}
