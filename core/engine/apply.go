package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/graph"
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
	// Stop ends the run softly: nothing new is started, running work finishes.
	Stop context.Context
}

// StaleError says that a plan does not fit what is there now.
type StaleError struct{ What string }

func (e *StaleError) Error() string {
	return "the plan is stale: " + e.What + ". Plan again, and review the new plan"
}

// applying is a run that carries out a plan.
type applying struct {
	*run
	plan  *plan.Plan
	opts  ApplyOptions
	lease state.Lease

	resultMu sync.Mutex
	result   event.Result
}

// Apply carries a plan out, in the order that the plan has written down. It returns what was done, what failed
// and what was not started. All that was done is in state, whatever happens.
func (e *Engine) Apply(ctx context.Context, p *plan.Plan, opts ApplyOptions) (*event.Result, hcl.Diagnostics) {
	snapshot, err := opts.Store.Load(ctx)
	if err != nil {
		return nil, hcl.Diagnostics{diag.Plain("The state cannot be read", err.Error())}
	}
	if err := e.fits(p, snapshot); err != nil {
		return nil, hcl.Diagnostics{diag.Plain("The plan cannot be applied", err.Error())}
	}
	lease := state.Group(opts.Lease)
	if snapshot, err = settle(ctx, lease, snapshot); err != nil {
		return nil, hcl.Diagnostics{diag.Plain("The state cannot be written", err.Error())}
	}
	a := &applying{run: newRun(e, snapshot), plan: p, opts: opts, lease: lease}
	a.result = event.Result{Done: []event.Outcome{}, Failed: []event.Outcome{}, NotStarted: []event.Outcome{}}
	if diags := a.prepare(); diags.HasErrors() {
		return nil, diags
	}
	soft := opts.Stop
	if soft == nil {
		soft = ctx
	}
	a.walk(ctx, soft)
	a.finish()
	a.emit(event.Event{Type: event.Summary, Result: &a.result})
	return &a.result, a.diags
}

// fits refuses a plan that was made for another state, stack or davit.
func (e *Engine) fits(p *plan.Plan, s *state.Snapshot) error {
	switch {
	case p.State.Lineage != s.Lineage && p.State.Serial > 0:
		return &StaleError{What: "it was made against another state"}
	case p.State.Serial != s.Serial:
		return &StaleError{What: fmt.Sprintf("the state has moved on from serial %d to %d since it was made", p.State.Serial, s.Serial)}
	case p.Config != e.Stack.Digest:
		return &StaleError{What: "the stack's files have changed since it was made"}
	case p.Davit != e.Version:
		return &StaleError{What: fmt.Sprintf("it was made by davit %s, and this is davit %s", p.Davit, e.Version)}
	}
	return nil
}

// prepare makes the instances of the plan, with the dependencies that the plan has written down.
func (a *applying) prepare() hcl.Diagnostics {
	var diags hcl.Diagnostics
	add := func(address string, dependsOn []string) *instance {
		at, err := addr.Parse(address)
		n := a.nodes[at.Node]
		if err != nil || n == nil {
			diags = append(diags, diag.Plain("The plan cannot be applied", fmt.Sprintf("It names %s, which the stack does not have.", address)))
			return nil
		}
		in := &instance{addr: at, node: n}
		for _, d := range dependsOn {
			if dep, err := addr.Parse(d); err == nil {
				in.deps = append(in.deps, dep)
			}
		}
		n.add(in)
		return in
	}
	for i := range a.plan.Observations {
		o := &a.plan.Observations[i]
		if in := add(o.Address, o.DependsOn); in != nil {
			in.observation = o
		}
	}
	for i := range a.plan.Changes {
		c := &a.plan.Changes[i]
		if c.Action == plan.Delete {
			continue
		}
		if in := add(c.Address, c.DependsOn); in != nil {
			in.change = c
		}
	}
	return diags
}

// walk runs what the plan says, each thing after what it depends on.
func (a *applying) walk(ctx, soft context.Context) {
	actions := map[string]plan.Action{}
	for _, c := range a.plan.Changes {
		actions[c.Address] = c.Action
	}
	w := graph.New(soft, a.parallel(), func(address string) {
		if action, ok := actions[address]; ok && action != plan.None {
			a.end(&a.result.NotStarted, event.OperationSkipped, event.Outcome{Address: address, Action: string(action)})
		}
	})
	for i := range a.plan.Observations {
		o := &a.plan.Observations[i]
		w.Add(o.Address, o.DependsOn, func(context.Context) graph.Outcome { return a.step(ctx, o.Address, nil, o) })
	}
	for i := range a.plan.Changes {
		c := &a.plan.Changes[i]
		w.Add(c.Address, c.DependsOn, func(context.Context) graph.Outcome {
			if c.Action == plan.Delete {
				return a.change(ctx, c, nil)
			}
			return a.step(ctx, c.Address, c, nil)
		})
	}
	w.Wait()
}

// step brings one instance of the plan to its end.
func (a *applying) step(ctx context.Context, address string, c *plan.Change, o *plan.Observation) graph.Outcome {
	at, _ := addr.Parse(address)
	in := a.instance(at)
	each, diags := a.eachOf(in)
	if !diags.HasErrors() {
		in.each = each
		switch {
		case o != nil:
			diags = append(diags, a.observe(ctx, in, o)...)
		case c.Action == plan.None && !c.Deferred && c.After.IsKnown():
			diags = append(diags, a.unchanged(in, c)...)
		default:
			return a.change(ctx, c, in)
		}
	}
	a.report(diags...)
	if diags.HasErrors() {
		return graph.Failed
	}
	return graph.Done
}

// eachOf finds what each.key and each.value were for an instance.
func (a *applying) eachOf(in *instance) (eval.Each, hcl.Diagnostics) {
	if !in.node.expanded {
		return eval.Each{}, nil
	}
	list, diags := a.scope.Expand(in.node.block)
	if diags.HasErrors() {
		return eval.Each{}, diags
	}
	for _, e := range list {
		if e.Key == in.addr.Key {
			return e, nil
		}
	}
	return eval.Each{}, hcl.Diagnostics{in.errorf("the plan is stale", "The stack does not expand to this instance any more. Plan again.")}
}

// unchanged gives an instance that needs nothing done its value.
func (a *applying) unchanged(in *instance, c *plan.Change) hcl.Diagnostics {
	config, diags := a.decode(in)
	if diags.HasErrors() {
		return diags
	}
	outputs, err := c.After.Cty()
	if err != nil {
		return append(diags, a.failure(in, "reading the plan", err))
	}
	in.config = config
	in.value = in.node.typ.value(in.addr, config, fit(outputs, in.node.typ.outputType))
	return diags
}

// change carries out one change and keeps account of it. in is nil for a deletion.
func (a *applying) change(ctx context.Context, c *plan.Change, in *instance) graph.Outcome {
	started := time.Now()
	out := event.Outcome{Address: c.Address, Action: string(c.Action)}
	diags := a.carryOut(ctx, c, in)
	out.ElapsedMS = time.Since(started).Milliseconds()
	a.report(diags...)
	if diags.HasErrors() {
		for _, d := range diags {
			if d.Severity == hcl.DiagError {
				out.Error = d.Summary
				break
			}
		}
		a.end(&a.result.Failed, event.OperationFailed, out)
		return graph.Failed
	}
	if c.Action != plan.None {
		a.end(&a.result.Done, event.OperationDone, out)
	}
	return graph.Done
}

func (a *applying) end(list *[]event.Outcome, t event.Type, out event.Outcome) {
	a.resultMu.Lock()
	*list = append(*list, out)
	a.resultMu.Unlock()
	a.emit(event.Event{Type: t, Address: out.Address, Action: out.Action, Message: out.Error, ElapsedMS: out.ElapsedMS})
}

func (a *applying) carryOut(ctx context.Context, c *plan.Change, in *instance) hcl.Diagnostics {
	if in == nil {
		return a.delete(ctx, c)
	}
	final := c
	if a.opts.Reviewed || c.Deferred || !c.After.IsKnown() || len(c.WaitsFor) > 0 {
		diags := a.planManaged(ctx, in, c)
		if diags.HasErrors() {
			return diags
		}
		final = in.change
		if err := consistent(c, final); err != nil {
			return append(diags, a.failure(in, "planning again at apply", err))
		}
	} else {
		config, diags := a.decode(in)
		if diags.HasErrors() {
			return diags
		}
		in.config = config
	}
	if final.Action == plan.None {
		// What was unknown turned out to change nothing.
		return a.unchanged(in, final)
	}
	return a.operate(ctx, final, in)
}

// observed are the records of what an instance was made from, as far as they are news. A
// source's is written with the applications that it ends in: until then its commits are still to come.
func (a *applying) observed(in *instance) []state.Record {
	var list []state.Record
	a.upstream(in, func(up *instance) {
		if up.observation == nil || up.observation.Outputs.Value == nil {
			return
		}
		if up.addr.Kind == "source" && in.addr.Kind == "build" && a.endsInApplication(up) {
			return
		}
		outputs, err := json.Marshal(up.observation.Outputs)
		if err != nil || slices.Equal(outputs, a.snapshot.Records[up.addr.String()].Outputs) {
			return
		}
		list = append(list, state.Record{
			Address: up.addr.String(), Kind: up.addr.Kind, Type: up.addr.Type, Plugin: up.node.typ.plugin, Status: state.StatusOK,
			Outputs: outputs, Updated: time.Now().UTC(),
		})
	})
	return list
}

func (a *applying) endsInApplication(source *instance) bool {
	for _, c := range a.plan.Changes {
		if c.Kind != "application" || c.Action == plan.Delete {
			continue
		}
		at, _ := addr.Parse(c.Address)
		found := false
		a.upstream(a.instance(at), func(up *instance) { found = found || up == source })
		if found {
			return true
		}
	}
	return false
}

// delete carries out a deletion.
func (a *applying) delete(ctx context.Context, c *plan.Change) hcl.Diagnostics {
	at, err := addr.Parse(c.Address)
	t := a.Types.of(at.Node)
	if err != nil || t == nil {
		return hcl.Diagnostics{diag.Plain("The plan cannot be applied", fmt.Sprintf("No plugin provides what %s needs.", c.Address))}
	}
	n := a.nodes[at.Node]
	if n == nil {
		n = &node{typ: t}
	}
	in := &instance{addr: at, node: n}
	prior, rec, err := a.prior(at, t)
	if err != nil {
		return hcl.Diagnostics{a.failure(in, "deleting", err)}
	}
	if rec == nil {
		return nil
	}
	op := state.Operation{
		ID: uuid.NewString(), Address: c.Address, Kind: c.Kind, Type: c.Type, Plugin: c.Plugin, Action: string(c.Action),
		Begun: time.Now().UTC(), PlanHash: a.plan.Digest, Private: c.Private,
	}
	res, diags := a.call(ctx, in, &op, &pluginv1.ApplyRequest{
		Operation: op.ID, Address: op.Address, Kind: op.Kind, Type: op.Type, Action: pluginv1.Action_ACTION_DELETE,
		Prior: prior, PlannedPrivate: c.Private,
	})
	if diags.HasErrors() {
		return append(diags, a.endFailed(in, &op, *rec, res)...)
	}
	if err := a.commit(state.Batch{Delete: []string{c.Address}, End: []string{op.ID}}); err != nil {
		return append(diags, a.failure(in, "writing its deletion to state", err))
	}
	return diags
}

// finish writes what is left: the outputs, and the end of records that no block stands for any more.
func (a *applying) finish() {
	if a.diags.HasErrors() || len(a.result.NotStarted) > 0 {
		return
	}
	var b state.Batch
	if len(a.result.Done) > 0 {
		for address, rec := range a.snapshot.Records {
			if at, err := addr.Parse(address); err == nil && !managed(rec.Kind) && (a.plan.Mode == plan.ModeDestroy || a.instance(at) == nil) {
				b.Delete = append(b.Delete, address)
			}
		}
	}
	outputs := map[string]json.RawMessage{}
	if a.plan.Mode == plan.ModeApply {
		outputs = outputsOf(a.outputs())
	}
	if !sameOutputs(outputs, a.snapshot.Outputs) {
		b.Outputs = outputs
	}
	if b.Empty() {
		return
	}
	if err := a.commit(b); err != nil {
		a.report(diag.Plain("The state cannot be written", err.Error()))
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

// stored is a value in the form of a record: sensitive parts are left out.
func stored(v cty.Value) (json.RawMessage, error) {
	pv, err := plan.NewValue(v)
	if err != nil {
		return nil, err
	}
	return json.Marshal(pv)
}
