package carry

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/order"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/service"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/graph"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Options says how a plan is carried out.
type Options struct {
	Store state.Store
	Lease state.Lease
	// Reviewed says that time has passed since the plan was made: each instance is planned
	// again, and what differs from the review is not applied.
	Reviewed bool
	Who      string // applies, for the history
	// Stop ends the run softly: nothing new is started, running work finishes.
	Stop context.Context
	// Handle is a hold on the apply while it runs; nil: nobody needs one.
	Handle *Handle
	// Quiet says that this is another try of what has failed: notifications are told only if it ends well.
	Quiet bool
	// Outbox tells notifications what is going to be done, and what was done. Nil: nobody wants to be told anything.
	Outbox Outbox
}

// stopped returns the context that ends when the run is stopped softly; ctx is that of the whole run.
func (o *Options) stopped(ctx context.Context) context.Context {
	if o.Stop != nil {
		return o.Stop
	}
	return ctx
}

// Outbox tells notifications of an apply.
type Outbox interface {
	// Begin tells what is going to be done. The snapshot is the state as it is then.
	Begin(ctx context.Context, lease state.Lease, snapshot *state.Snapshot)
	// End tells what was done, with the values that the tree has then, and waits until it is told. What it returns are warnings.
	End(ctx context.Context, t *world.Tree, result *event.Result, failed bool) hcl.Diagnostics
}

// applying is a run that carries out a plan.
type applying struct {
	input   *input.Input
	tree    *world.Tree
	found   *look.Findings
	svc     *service.Services
	records *record.Overlay
	planner *look.Planner // plans again what was unknown, or what was reviewed
	plan    *plan.Plan
	opts    Options
	lease   state.Lease

	calls sync.Map // eval.Pending -> *sync.Once: expanded
	ends  map[*look.Finding]bool
	soft  context.Context // ends when nothing new is to be started
	halt  func()          // ends soft
	work  chan struct{}   // one for each operation that a plugin is working on
	cut   *record.Unfinished

	resultMu sync.Mutex
	result   event.Result
	undone   map[string]string // by task: how it did not end well

	without   without          // the builds that failed, and what goes on without them
	tasks     map[string]*task // by id
	taskOrder []string         // ids, as the plan has them
	replaced  sync.Map         // address -> *replaced: the old one waits to be deleted
}

// Apply carries a plan out, in the order that the plan has written down. It returns what was done, what failed
// and what was not started. All that was done is in state, whatever happens.
func Apply(ctx context.Context, in *input.Input, f *world.Forms, svc *service.Services, p *plan.Plan, opts Options) (*event.Result, hcl.Diagnostics) {
	snapshot, err := opts.Store.Load(ctx)
	if err != nil {
		return nil, hcl.Diagnostics{diag.Plain("The state cannot be read", err.Error())}
	}
	fits := record.Fits(ctx, in, p, snapshot, opts.Reviewed)
	if fits.HasErrors() {
		return nil, fits
	}
	if err := p.Seal(); err != nil {
		return nil, hcl.Diagnostics{diag.Plain("The plan cannot be applied", err.Error())}
	}
	lease := state.Group(opts.Lease)
	if snapshot, err = record.Settle(ctx, lease, snapshot, p.Moves); err != nil {
		return nil, hcl.Diagnostics{diag.Plain("The state cannot be written", err.Error())}
	}
	records := record.NewOverlay(snapshot)
	planner := look.NewPlanner(in, f, svc, records, input.Options{Mode: p.Mode, Rollback: rollbackOf(p)})
	planner.Applying = true
	planner.Tree.Root.StopLate(opts.stopped(ctx).Done())
	a := &applying{
		input: in, tree: planner.Tree, found: planner.Found, svc: svc, records: records, planner: planner,
		plan: p, opts: opts, lease: lease, cut: record.NewUnfinished(snapshot), undone: map[string]string{},
	}
	a.result = event.Result{Done: []event.Outcome{}, Failed: []event.Outcome{}, NotStarted: []event.Outcome{}}
	if diags := a.prepare(); diags.HasErrors() {
		return nil, diags
	}
	a.found.Report(fits...)
	a.soft, a.halt, a.work = opts.stopped(ctx), func() {}, make(chan struct{}, in.Operations())
	if opts.Outbox != nil {
		opts.Outbox.Begin(ctx, lease, snapshot)
	}
	if a.opts.Handle == nil {
		a.opts.Handle = &Handle{}
	}
	work, done := a.whileHeld(ctx)
	a.opts.Handle.attach(a.halt)
	a.walk(work)
	a.finish()
	a.tellLeftOut()
	done()
	a.svc.Emit(event.Event{Type: event.Summary, Result: &a.result})
	if opts.Outbox != nil {
		a.found.Report(opts.Outbox.End(ctx, a.tree, &a.result, a.found.HasErrors())...)
	}
	return &a.result, a.found.Diagnostics()
}

// changeInstance carries out one change and keeps account of it. in is nil for a deletion.
func (a *applying) changeInstance(ctx context.Context, c *plan.Change, in *look.Finding) graph.Outcome {
	started := time.Now()
	out := event.Outcome{Address: c.Address, Action: string(c.Action)}
	action, diags := a.carryOut(ctx, c, in)
	out.ElapsedMS = time.Since(started).Milliseconds()
	id := order.MakeID(c.Address)
	if in == nil {
		id = order.DeleteID(c.Address)
	}
	if isNotStarted(diags) {
		a.notStarted(id, c)
		return graph.Failed
	}
	if hasCode(diags, codeSuperseded) {
		a.noteUndone(id, cancelled, nil)
		out.Reason = errSuperseded.Error()
		a.end(&a.result.Cancelled, event.OperationCancelled, out)
		return graph.Failed
	}
	a.found.Report(diags...)
	if diags.HasErrors() {
		a.noteUndone(id, failed, nil)
		a.endFailure(c, diags, time.Since(started))
		return graph.Failed
	}
	if list := a.without.builds(c.Address); in != nil && len(list) > 0 {
		out.Reason = "without " + strings.Join(list, ", ") + ", which failed"
	}
	switch out.Action = string(action); {
	case action != plan.None:
		a.end(&a.result.Done, event.OperationDone, out)
	case c.Action != plan.None:
		out.Reason = strings.TrimSpace("no change was needed " + out.Reason)
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
	a.svc.Emit(event.Event{Type: t, Address: out.Address, Action: out.Action, Message: cmp.Or(out.Error, out.Reason), ElapsedMS: out.ElapsedMS})
}
