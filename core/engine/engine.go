// Package engine is where configuration, graph, state and plugins meet: it makes plans and
// carries them out. Deciding is done here and in the plugins; printing is not.
package engine

import (
	"context"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/state"
)

// Engine plans and applies one stack.
type Engine struct {
	Stack     *config.Stack
	Variables map[string]cty.Value // by name; sensitive ones are marked
	Types     *types.Catalogue
	Plugins   Plugins
	Version   string
	// Checksums are what the plugins are pinned by, by name; built-in ones have none.
	Checksums map[string]string
	Emit      event.Sink // nil: nobody listens
	// History returns the applied revisions of an instance, newest first. It is asked for instances that are
	// held at one of them; nil when there are none.
	History func(ctx context.Context, address string) ([]state.Revision, error)
	// Fingerprint makes a keyed hash of a sensitive value: "algorithm:key:hash". Nil: changes of sensitive
	// values are seen only if a plugin sees them.
	Fingerprint func(path string, value []byte) string
	// Parallel is how many instances are worked on at once; 0 means 10 operations, and 64 looks while planning.
	Parallel int

	once  sync.Once
	known *forms
}

// input returns what a run of the engine is made from.
func (e *Engine) input() *Input {
	return &Input{
		Stack: e.Stack, Variables: e.Variables, Types: e.Types, Version: e.Version, Checksums: e.Checksums, History: e.History,
		Fingerprints: e.Fingerprint, Parallel: e.Parallel,
	}
}

// forms returns what is known of the blocks without any value. It is kept from run to run.
func (e *Engine) forms() *forms {
	e.once.Do(func() { e.known = newForms(e.Types) })
	return e.known
}

func (e *Engine) services() *Services { return newServices(e.Plugins, e.Emit, e.Variables) }

// Outline draws the stack up from its text.
func (e *Engine) Outline() Outline { return outline(e.forms(), e.Stack.Module) }

// Check finds what is wrong with the stack as it is written, all of it in one go.
func (e *Engine) Check() hcl.Diagnostics { return newChecker(e.input(), e.forms(), nil).stack() }

// Validate checks the whole stack without looking at the world.
func (e *Engine) Validate(ctx context.Context) hcl.Diagnostics {
	diags := e.Check()
	if diags.HasErrors() {
		return diags
	}
	return append(diags, validateConfigs(ctx, newTree(e.input(), e.forms()), e.services())...)
}

// Plan observes the world and says what an apply would do. On errors there is no plan, and all errors that could be found are returned.
// The plan is sealed by who keeps or shows its digest.
func (e *Engine) Plan(ctx context.Context, snapshot *state.Snapshot, opts Options) (*plan.Plan, hcl.Diagnostics) {
	r, diags := e.look(ctx, snapshot, opts)
	if diags.HasErrors() {
		return nil, diags
	}
	return r.finish()
}

// look does all of a plan but to write it down.
func (e *Engine) look(ctx context.Context, snapshot *state.Snapshot, opts Options) (*Planner, hcl.Diagnostics) {
	if opts.mode() != plan.ModeDestroy {
		if diags := e.Check(); diags.HasErrors() {
			return nil, diags
		}
	}
	r, diags := newPlanOf(e.input(), e.forms(), e.services(), snapshot, opts)
	if diags.HasErrors() {
		return nil, diags
	}
	r.Look(ctx)
	return r, nil
}

// TellFailure tells notifications that planning failed, under the lease of the run that planned. The findings that it returns are warnings.
func (e *Engine) TellFailure(ctx context.Context, snapshot *state.Snapshot, lease state.Lease, who string, why hcl.Diagnostics) hcl.Diagnostics {
	if !notifies(e.Stack, snapshot) {
		return nil
	}
	return newTelling(e.input(), e.forms(), e.services(), snapshot, state.Group(lease), who).tellFailure(ctx, why)
}

// Apply carries a plan out, in the order that the plan has written down. It returns what was done, what failed and what was not started.
// All that was done is in state, whatever happens.
func (e *Engine) Apply(ctx context.Context, p *plan.Plan, opts ApplyOptions) (*event.Result, hcl.Diagnostics) {
	in, f, svc := e.input(), e.forms(), e.services()
	opts.Outbox = &outbox{input: in, forms: f, svc: svc, who: opts.Who, plan: p}
	return apply(ctx, in, f, svc, p, opts)
}
