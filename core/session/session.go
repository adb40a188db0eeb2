package session

import (
	"context"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/gate"
	"github.com/davit-sh/davit/core/modules"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/key"
)

// Session is a stack that is open: its engine, its plugins and its state.
type Session struct {
	Stack   *config.Stack
	Engine  *engine.Engine
	plugins plugins
	Store   state.Store
	warm    *engine.Warm // made the last plan, if the stack has gates

	Unsettled bool            // state has something that the next apply writes again: cut off operations, fingerprints of another key
	Trouble   hcl.Diagnostics // why planning failed, or some instances could not be planned
}

// Close ends the plugins and closes the state.
func (s *Session) Close() {
	if s.plugins != nil {
		_ = s.plugins.Close() // it has said all that there is to say
	}
	if s.Store != nil {
		_ = s.Store.Close()
	}
}

// Plugin returns a running plugin of the stack.
func (s *Session) Plugin(ctx context.Context, name string) (*pluginhost.Client, error) {
	return s.plugins.Client(ctx, name)
}

// PluginEnded tells whether a plugin that was started has ended. It is not started again: who wants to go on opens the stack once more.
func (s *Session) PluginEnded() bool { return s.plugins.AnyEnded() }

// Open reads a stack and makes its plugins ready to start. What is wrong with the stack is a *Problem.
func (p *Process) Open(ctx context.Context, o *Options) (*Session, error) {
	locked, err := ReadLockFile(o.Dir)
	if err != nil {
		return nil, err
	}
	stack, diags := config.LoadTree(o.Dir, &modules.Finder{CacheDir: p.CacheDir, Locked: locked.Modules})
	if stack == nil || stack.Broken {
		return nil, &Problem{stack, diags}
	}
	s := &Session{Stack: stack}
	if d := CheckVersion(stack, p.Version); d != nil {
		return nil, &Problem{stack, hcl.Diagnostics{d}}
	}
	if diags := p.CheckPlugins(stack); diags.HasErrors() {
		return nil, &Problem{stack, diags}
	}
	if o.Reviewed != nil {
		if err := record.FitsFiles(o.Reviewed, stack); err != nil {
			return nil, err
		}
	}
	given, more := givenVariables(stack, o, p.Environ)
	diags = append(diags, more...)
	if o.Unset {
		given = append(eval.Unset(stack.Module), given...)
	}
	values, more := eval.Variables(stack.Module, given, ctx.Done())
	diags = append(diags, more...)
	var credentials Credentials
	if !diags.HasErrors() {
		credentials, diags = p.CredentialsOf(ctx, stack, values, !o.Unset)
	}
	if diags.HasErrors() {
		return nil, &Problem{stack, append(diags, p.checkAsWell(ctx, stack)...)}
	}
	hostOptions, err := p.HostOptions(stack, locked, GitHostOf(stack, values, p.getenv(GitHostVariable)), o.Guard)
	if err != nil {
		return nil, err
	}
	hostOptions.Credentials = credentials
	if s.plugins = pluginsOf(o.Host, hostOptions); o.Started != nil {
		o.Started(stack.Settings.Plugins)
	}
	catalogue, err := p.describe(ctx, stack, s.plugins)
	if err != nil {
		s.Close()
		return nil, err
	}
	var history func(context.Context, string) ([]state.Revision, error)
	if !o.NoState {
		if s.Store, err = OpenState(ctx, stack); err != nil {
			s.Close()
			return nil, err
		}
		history = s.Store.History
		s.Store = &identifying{Store: s.Store, tell: s.plugins.SetLineage}
	} else if _, diags := BackendOf(stack); diags.HasErrors() {
		s.Close()
		return nil, &Problem{stack, diags}
	}
	s.Engine = &engine.Engine{
		Stack: stack, Variables: values, Secrets: credentials.Secrets(), Types: catalogue, Plugins: clients{s.plugins}, Version: p.Version, Emit: o.Emit, Run: o.Run, Parallel: o.Parallel,
		Checksums: p.checksums(stack, locked), History: history, Fingerprint: key.Lazy(filepath.Join(stack.Dir, folder, "state.key")),
	}
	return s, nil
}

// Plan makes a plan of what state and world are now, without what waits at a gate. What cannot be planned is in the plan. The request says
// what people have approved and set aside, and what time it is.
func (s *Session) Plan(ctx context.Context, opts engine.Options, r gate.Request) (*plan.Plan, error) {
	snapshot, err := s.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	s.Unsettled = len(snapshot.Operations) > 0
	for _, rec := range snapshot.Records {
		s.Unsettled = s.Unsettled || rec.Status == state.StatusPartial || s.otherKey(rec.Fingerprints)
	}
	if len(s.Stack.Gates) == 0 {
		p, diags := s.Engine.Plan(ctx, snapshot, opts)
		return s.planned(p, diags)
	}
	s.warm = engine.NewWarm(s.Engine, opts)
	return s.planGated(ctx, engine.Changed{Snapshot: snapshot}, r)
}

// PlanAgain makes the last plan again, with other approvals. The world is not looked at again where that plan has looked at it.
func (s *Session) PlanAgain(ctx context.Context, r gate.Request) (*plan.Plan, error) {
	return s.planGated(ctx, engine.Changed{}, r)
}

func (s *Session) planGated(ctx context.Context, c engine.Changed, r gate.Request) (*plan.Plan, error) {
	gated, diags := s.warm.PlanGated(ctx, c, r)
	if gated == nil {
		return s.planned(nil, diags)
	}
	return s.planned(gated.Plan, diags)
}

func (s *Session) planned(p *plan.Plan, diags hcl.Diagnostics) (*plan.Plan, error) {
	if diags.HasErrors() {
		s.Trouble = diags
	}
	if p == nil {
		return nil, &Problem{s.Stack, diags}
	}
	return p, nil
}

// Held returns what of a saved plan waits at a gate at the time of the request, with the approvals and overrides that the plan holds.
func (s *Session) Held(ctx context.Context, p *plan.Plan, r gate.Request) ([]plan.Waiting, error) {
	if len(s.Stack.Gates) == 0 {
		return nil, nil
	}
	snapshot, err := s.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	return engine.Held(s.Stack, snapshot, p, r), nil
}

// otherKey tells whether fingerprints were made with a key that is gone: they are made anew by the next apply.
func (s *Session) otherKey(fingerprints map[string]string) bool {
	for path, f := range fingerprints {
		now := s.Engine.Fingerprint(path, nil)
		return now != "" && !key.Same(f, now)
	}
	return false
}
