// Package engine is where configuration, graph, state and plugins meet: it makes plans and
// carries them out. Deciding is done here and in the plugins; printing is not.
package engine

import (
	"cmp"
	"context"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/event"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/state"
)

// Plugins is where the engine finds the plugins, by name. They start on first use.
type Plugins interface {
	Client(ctx context.Context, name string) (Client, error)
}

// Client is a running plugin. All calls may be concurrent.
type Client interface {
	Validate(ctx context.Context, r *pluginv1.ValidateRequest) (*pluginv1.ValidateResponse, error)
	Plan(ctx context.Context, r *pluginv1.PlanRequest, onLog func(*pluginv1.Log)) (*pluginv1.PlanResult, error)
	Resolve(ctx context.Context, r *pluginv1.ResolveRequest) (*pluginv1.ResolveResponse, error)
	Import(ctx context.Context, r *pluginv1.ImportRequest) (*pluginv1.ImportResponse, error)
	Notify(ctx context.Context, r *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error)
	Apply(ctx context.Context, r *pluginv1.ApplyRequest, on func(*pluginv1.ApplyResponse) error) (*pluginv1.ApplyResult, error)
}

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

	forms forms
}

func (e *Engine) parallel() int { return cmp.Or(max(e.Parallel, 0), 10) }

// planParallel is how many instances are observed and planned at once: they mostly wait for plugins, which bound themselves.
func (e *Engine) planParallel() int { return cmp.Or(max(e.Parallel, 0), 64) }

func (e *Engine) emit(ev event.Event) {
	if e.Emit != nil {
		ev.Time = time.Now().UTC()
		e.Emit(ev)
	}
}

// Check finds what is wrong with the stack as it is written, all of it in one go.
func (e *Engine) Check() hcl.Diagnostics { return e.check() }

// Validate checks the whole stack without looking at the world.
func (e *Engine) Validate(ctx context.Context) hcl.Diagnostics {
	diags := e.check()
	if diags.HasErrors() {
		return diags
	}
	return append(diags, e.validateConfigs(ctx)...)
}
