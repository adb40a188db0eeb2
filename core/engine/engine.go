// Package engine makes plans and carries them out: it is the front door of the rooms below it. Engine plans and applies one stack, Warm
// plans it again and again, and Console evaluates expressions in its names. Deciding is done here and in the plugins; printing is not.
package engine

import (
	"cmp"
	"context"
	"sync"

	"github.com/google/uuid"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/carry"
	"github.com/davit-sh/davit/core/engine/check"
	"github.com/davit-sh/davit/core/engine/draft"
	"github.com/davit-sh/davit/core/engine/input"
	"github.com/davit-sh/davit/core/engine/look"
	"github.com/davit-sh/davit/core/engine/service"
	"github.com/davit-sh/davit/core/engine/tell"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// What callers of Plan and Apply need of the rooms.
type (
	// Options says what a plan is to be about.
	Options = input.Options
	// Rollback says which instance is brought back to which revision.
	Rollback = input.Rollback
	// ApplyOptions says how a plan is carried out.
	ApplyOptions = carry.Options
	// Handle is a hold on an apply while it runs.
	Handle = carry.Handle
	// Running is an operation that a plugin is working on.
	Running = carry.Running
	// Plugins is where the engine finds the plugins, by name.
	Plugins = service.Plugins
	// Client is a running plugin.
	Client = service.Client
	// Watched is an instance as its plugin watches it.
	Watched = look.Watched
)

// Engine plans and applies one stack. Its fields do not change after the first call of a method, but for those that Warm is given.
type Engine struct {
	Stack     *config.Stack
	Variables map[string]cty.Value // by name; sensitive ones are marked
	Secrets   []cty.Value          // sensitive values besides: they are masked in all that is said
	Types     *types.Catalogue
	Plugins   Plugins
	Version   string
	// Checksums are what the plugins are pinned by, by name; built-in ones have none.
	Checksums map[string]string
	Emit      event.Sink // nil: nobody listens
	// Run is in every event. "": each plan and each apply has an id of its own.
	Run string
	// History returns the applied revisions of an instance, newest first. It is asked for instances that are
	// held at one of them; nil when there are none.
	History func(ctx context.Context, address string) ([]state.Revision, error)
	// Fingerprint makes a keyed hash of a sensitive value: "algorithm:key:hash". Nil: changes of sensitive
	// values are seen only if a plugin sees them.
	Fingerprint func(path string, value []byte) string
	// Parallel is how many instances are worked on at once; 0 means 10 operations, and 64 looks while planning.
	Parallel int

	once  sync.Once
	known *world.Forms
}

// input returns what a run of the engine is made from.
func (e *Engine) input() *input.Input {
	return &input.Input{
		Stack: e.Stack, Variables: e.Variables, Types: e.Types, Version: e.Version, Checksums: e.Checksums, History: e.History,
		Fingerprints: e.Fingerprint, Parallel: e.Parallel,
	}
}

// forms returns what is known of the blocks without any value. It is kept from run to run.
func (e *Engine) forms() *world.Forms {
	e.once.Do(func() { e.known = world.NewForms(e.Types) })
	return e.known
}

// services returns the services of one run.
func (e *Engine) services() *service.Services {
	run := e.Run
	if run == "" {
		run = uuid.NewString()
	}
	s := service.New(e.Plugins, e.Emit, run, e.Variables)
	for _, v := range e.Secrets {
		s.Secrets.AddFrom(v)
	}
	return s
}

// Outline draws the stack up from its text.
func (e *Engine) Outline() check.Outline { return check.NewOutline(e.forms(), e.Stack.Module) }

// Check finds what is wrong with the stack as it is written, all of it in one go. Evaluations end when ctx does.
func (e *Engine) Check(ctx context.Context) hcl.Diagnostics {
	return check.Stack(e.input(), e.forms(), ctx.Done())
}

// Validate checks the whole stack without looking at the world.
func (e *Engine) Validate(ctx context.Context) hcl.Diagnostics {
	diags := e.Check(ctx)
	if diags.HasErrors() {
		return diags
	}
	return append(diags, check.Configs(ctx, e.tree(ctx), e.services())...)
}

// tree returns a tree whose evaluations end when ctx does.
func (e *Engine) tree(ctx context.Context) *world.Tree {
	t := world.NewTree(e.input(), e.forms())
	t.Root.StopOn(ctx.Done())
	return t
}

// Plan observes the world and says what an apply would do. All errors that could be found are returned: with the plan of
// the rest when they are about single instances, and without a plan on others. The plan is sealed by who keeps or shows its digest.
func (e *Engine) Plan(ctx context.Context, snapshot *state.Snapshot, opts Options) (*plan.Plan, hcl.Diagnostics) {
	r, diags := e.look(ctx, snapshot, opts)
	if diags.HasErrors() {
		return nil, diags
	}
	return draft.Plan(ctx, r)
}

// look observes and plans the instances of the stack.
func (e *Engine) look(ctx context.Context, snapshot *state.Snapshot, opts Options) (*look.Planner, hcl.Diagnostics) {
	in := e.input()
	in.Literals = &eval.Literals{}
	if opts.PlanMode() != plan.ModeDestroy {
		if diags := check.Stack(in, e.forms(), ctx.Done()); diags.HasErrors() {
			return nil, diags
		}
	}
	r, diags := look.New(in, e.forms(), e.services(), snapshot, opts)
	if diags.HasErrors() {
		return nil, diags
	}
	r.Tree.Root.StopOn(ctx.Done())
	r.Look(ctx)
	return r, nil
}

// TellFailure tells notifications that planning failed, under the lease of the run that planned. The findings that it returns are warnings.
func (e *Engine) TellFailure(ctx context.Context, snapshot *state.Snapshot, lease state.Lease, who string, why hcl.Diagnostics) hcl.Diagnostics {
	return tell.Failure(ctx, e.input(), e.forms(), e.services(), snapshot, lease, who, why)
}

// Apply carries a plan out, in the order that the plan has written down. It returns what was done, what failed and what was not started.
// All that was done is in state, whatever happens.
func (e *Engine) Apply(ctx context.Context, p *plan.Plan, opts ApplyOptions) (*event.Result, hcl.Diagnostics) {
	in, f, svc := e.input(), e.forms(), e.services()
	opts.Outbox = tell.NewOutbox(in, f, svc, p, opts.Who, opts.Quiet, cmp.Or(opts.Stop, ctx))
	return carry.Apply(ctx, in, f, svc, p, opts)
}
