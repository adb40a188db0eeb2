package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/engine/record"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/sdk/protocol"
	"github.com/davit-sh/davit/sdk/trim"
	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/key"
)

// stackFlags are the flags of every verb that looks at a stack, and whether it changes something.
type stackFlags struct {
	vars, varFiles []string
	lockTimeout    time.Duration
	parallel       int
	guard          bool
	reviewed       *plan.Plan // a saved plan that is carried out: it has the values of variables
	unset          bool       // variables may be without a value
}

func (f *stackFlags) addLockTimeout(cmd *cobra.Command) {
	addLockFlag(cmd, &lockFlag{}, "lock the state while it may be written; this cannot be turned off")
	cmd.Flags().DurationVar(&f.lockTimeout, "lock-timeout", 0, "how long to wait for the lock on the state")
}

// lockFlag is -lock, which Terraform's pipelines turn off. davit writes only under a lock, and reads without one.
type lockFlag struct{ reads bool }

func addLockFlag(cmd *cobra.Command, f *lockFlag, usage string) {
	cmd.Flags().VarPF(f, "lock", "", usage).NoOptDefVal = "true"
}

func (*lockFlag) String() string { return "true" }
func (*lockFlag) Type() string   { return "bool" }
func (f *lockFlag) Set(s string) error {
	on, err := strconv.ParseBool(s)
	if err == nil && !on && !f.reads {
		return errors.New("davit writes state only under its lock. Leave the flag out; -lock-timeout=5m waits for the lock")
	}
	return err
}

// planFlags are the flags of every verb that makes a plan.
type planFlags struct {
	targets, excludes, replace []string
	noRefresh, refreshOnly     bool
}

func (f *planFlags) add(a *app, cmd *cobra.Command) {
	f.addParts(a, cmd)
	cmd.Flags().StringArrayVar(&f.replace, "replace", nil, "make this `address` anew")
	_ = cmd.RegisterFlagCompletionFunc("replace", a.completePlace) // it was added above
	cmd.Flags().BoolVar(&f.refreshOnly, "refresh-only", false, "compare the world with what was last applied, and bring only state up to date")
	refresh := cmd.Flags().VarPF(inverted{&f.noRefresh}, "refresh", "", "look at the world; -refresh=false takes what state says of what has not changed")
	refresh.NoOptDefVal = "true"
}

// addParts adds the flags of verbs that can be about a part of the stack.
func (f *planFlags) addParts(a *app, cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.targets, "target", nil, "only this `address` and what it depends on (of a destroy: what depends on it)")
	cmd.Flags().StringArrayVar(&f.excludes, "exclude", nil, "leave this `address` out, with what depends on it (of a destroy: what it depends on)")
	_ = cmd.RegisterFlagCompletionFunc("target", a.completePlace) // both were added above
	_ = cmd.RegisterFlagCompletionFunc("exclude", a.completePlace)
}

// inverted is a flag that is on unless it is said to be off.
type inverted struct{ off *bool }

func (i inverted) String() string { return strconv.FormatBool(i.off == nil || !*i.off) }
func (i inverted) Type() string   { return "bool" }
func (i inverted) Set(s string) error {
	on, err := strconv.ParseBool(s)
	*i.off = !on
	return err
}

// options reads what a person asked for.
func (f *planFlags) options(mode plan.Mode) (engine.Options, error) {
	opts := engine.Options{Mode: mode, NoRefresh: f.noRefresh}
	if len(f.replace) > 0 && (f.refreshOnly || mode != plan.ModeApply) {
		return opts, errors.New("-replace cannot be combined with -destroy or -refresh-only: these make nothing anew")
	}
	if f.refreshOnly {
		if mode == plan.ModeDestroy || f.noRefresh {
			return opts, errors.New("-refresh-only cannot be combined with -destroy or -refresh=false")
		}
		opts.Mode = plan.ModeRefresh
	}
	for _, list := range []struct {
		from []string
		into *[]addr.Place
	}{{f.targets, &opts.Targets}, {f.excludes, &opts.Excludes}, {f.replace, &opts.Replace}} {
		for _, s := range list.from {
			p, err := addr.ParsePlace(s)
			if err != nil {
				return opts, err
			}
			*list.into = append(*list.into, p)
		}
	}
	return opts, nil
}

func (f *stackFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.vars, "var", nil, "value of a variable, as `name=value`")
	cmd.Flags().StringArrayVar(&f.varFiles, "var-file", nil, "`file` with values of variables")
}

func (f *stackFlags) addLock(cmd *cobra.Command) {
	f.guard = true
	f.addLockTimeout(cmd)
	cmd.Flags().IntVar(&f.parallel, "parallelism", 0, "how many operations run at once (10)")
}

// session is a stack that is open: its engine, its plugins and its state.
type session struct {
	app    *app
	stack  *config.Stack
	engine *engine.Engine
	host   *pluginhost.Host
	store  state.Store

	unsettled bool            // state has something that the next apply writes again: cut off operations, fingerprints of another key
	trouble   hcl.Diagnostics // why planning failed
}

func (s *session) close() {
	if s.host != nil {
		_ = s.host.Close() // it has said all that there is to say
	}
	if s.store != nil {
		_ = s.store.Close()
	}
}

// open reads the stack and makes its plugins ready to start.
func (a *app) open(ctx context.Context, f *stackFlags, emit event.Sink) (*session, error) {
	trim.Startup()
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	locked, err := readLock(dir)
	if err != nil {
		return nil, err
	}
	finder, err := newFinder(locked)
	if err != nil {
		return nil, err
	}
	stack, diags := config.LoadTree(dir, finder)
	if stack == nil || stack.Broken {
		return nil, a.show(stack, diags)
	}
	s := &session{app: a, stack: stack}
	if d := checkVersion(stack); d != nil {
		return nil, a.show(stack, hcl.Diagnostics{d})
	}
	if diags := checkPlugins(stack); diags.HasErrors() {
		return nil, a.show(stack, diags)
	}
	if f.reviewed != nil {
		if err := record.FitsFiles(f.reviewed, stack); err != nil {
			return nil, err
		}
	}
	given, more := givenVariables(stack, f)
	diags = append(diags, more...)
	if f.unset {
		given = append(eval.Unset(stack.Module), given...)
	}
	values, more := eval.Variables(stack.Module, given)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return nil, a.show(stack, append(diags, checkAsWell(stack)...))
	}
	if s.host, err = newHost(stack, locked, gitHostOf(stack, values), f.guard); err != nil {
		return nil, err
	}
	a.tellReattached(stack.Settings.Plugins)
	catalogue, err := describe(ctx, stack, s.host)
	if err != nil {
		s.close()
		return nil, err
	}
	if s.store, err = a.openState(ctx, stack); err != nil {
		s.close()
		return nil, err
	}
	s.store = &identifying{Store: s.store, tell: s.host.SetLineage}
	s.engine = &engine.Engine{
		Stack: stack, Variables: values, Types: catalogue, Plugins: clients{s.host}, Version: version, Emit: emit, Parallel: f.parallel,
		Checksums: checksums(stack, locked), History: s.store.History, Fingerprint: key.Lazy(filepath.Join(stack.Dir, folder, "state.key")),
	}
	return s, nil
}

// checkAsWell finds the other mistakes of a stack that has some already, so that all are shown
// in one go. Types of plugins from outside cannot be told then, so those stacks are left alone.
func checkAsWell(stack *config.Stack) hcl.Diagnostics {
	if len(stack.Settings.Plugins) > 0 {
		return nil
	}
	catalogue, err := builtinTypes()
	if err != nil {
		return nil
	}
	return (&engine.Engine{Stack: stack, Types: catalogue}).Check()
}

func builtinTypes() (*types.Catalogue, error) {
	catalogue := types.NewCatalogue()
	for _, name := range sortedKeys(builtins) {
		if err := catalogue.Add(name, protocol.Describe(builtins[name](version))); err != nil {
			return nil, err
		}
	}
	return catalogue, nil
}

// clients is the plugin host as the engine sees it.
type clients struct{ host *pluginhost.Host }

// Client implements engine.Plugins.
func (c clients) Client(ctx context.Context, name string) (engine.Client, error) {
	return c.host.Client(ctx, name)
}

// newHost makes the host of the stack's plugins. With guard, the plugins' own children end with a
// davit that is killed: only who applies starts some. gitHost is what gitHostOf says.
func newHost(stack *config.Stack, locked lockFile, gitHost []string, guard bool) (*pluginhost.Host, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	plugins := map[string]pluginhost.Executable{}
	for name := range builtins {
		plugins[name] = pluginhost.Executable{Path: self, Args: []string{"plugin", "serve", name}, Env: environmentOf(name, stack)}
	}
	git := plugins["git"]
	git.Set = gitHost
	plugins["git"] = git
	reattach, err := pluginhost.ParseReattach(os.Getenv(pluginhost.ReattachVariable))
	if err != nil {
		return nil, err
	}
	for name, p := range stack.Settings.Plugins {
		if _, runs := reattach[name]; runs {
			continue // a person has started it
		}
		if plugins[name], err = executable(stack, p, locked, cache); err != nil {
			return nil, err
		}
	}
	options := pluginhost.Options{Version: version, CacheDir: cache, StackDir: stack.Dir, StackName: filepath.Base(stack.Dir), Plugins: plugins, Reattach: reattach}
	if guard {
		options.Guard = pluginhost.Executable{Path: self, Args: []string{"plugin", "guard"}}
	}
	return pluginhost.New(options), nil
}

// checksums are what the lock file pins the stack's plugins by: those that are fetched by the digest for all platforms, so that a plan
// may be applied on another one.
func checksums(stack *config.Stack, locked lockFile) map[string]string {
	out := map[string]string{}
	started, _ := pluginhost.ParseReattach(os.Getenv(pluginhost.ReattachVariable)) // an error was told by newHost
	for name := range stack.Settings.Plugins {
		_, byPerson := started[name]
		switch l := locked.plugin(name); {
		case l == nil || byPerson:
		case l.Digest != "":
			out[name] = l.Digest
		case l.SHA256 != "":
			out[name] = "sha256:" + l.SHA256
		}
	}
	return out
}

func absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func cacheDir() (string, error) {
	if dir := os.Getenv("DAVIT_CACHE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("there is no cache folder: set DAVIT_CACHE_DIR (%w)", err)
	}
	return filepath.Join(dir, "davit"), nil
}

// describe makes the catalogue of types. Built-in plugins describe themselves without being started.
func describe(ctx context.Context, stack *config.Stack, host *pluginhost.Host) (*types.Catalogue, error) {
	catalogue, err := builtinTypes()
	if err != nil {
		return nil, err
	}
	for _, name := range sortedKeys(stack.Settings.Plugins) {
		client, err := host.Client(ctx, name)
		if err != nil {
			return nil, err
		}
		d, err := client.Describe(ctx)
		if err != nil {
			return nil, err
		}
		if err := catalogue.Add(name, d); err != nil {
			return nil, err
		}
	}
	return catalogue, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// lock takes the lease on the state, waiting as long as -lock-timeout says.
func (s *session) lock(ctx context.Context, what string, wait time.Duration) (state.Lease, error) {
	who := state.Holder{Who: whoami(), PID: os.Getpid(), What: what}
	deadline := time.Now().Add(wait)
	var told time.Time
	for {
		lease, err := s.store.Lock(ctx, who)
		var locked *state.LockedError
		if err == nil || !errors.As(err, &locked) && !errors.Is(err, state.ErrBusy) {
			s.rememberBackend()
			return lease, err
		}
		if locked == nil && !time.Now().Before(deadline) {
			return nil, err
		}
		if !time.Now().Before(deadline) {
			return nil, fmt.Errorf("%w.\nWait for it with -lock-timeout=5m, or, if that process is gone for good, run davit force-unlock %s", err, locked.Holder.ID)
		}
		if time.Since(told) >= tellEvery {
			fmt.Fprintf(s.app.err, "Waiting for the lock, at most %s longer: %s.\n", time.Until(deadline).Round(time.Second), err)
			told = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// rememberBackend notes where the state is, so that it is not left behind unnoticed when the stack says something
// else. A stack that may only be read is used all the same.
func (s *session) rememberBackend() {
	if s.stack == nil {
		return
	}
	if b, diags := backendOf(s.stack); !diags.HasErrors() {
		_ = b.remember(s.stack.Dir)
	}
}

// tellEvery is how often somebody who waits for the lock hears how long it may still take.
const tellEvery = 10 * time.Second

// whoami is user@host, for locks and histories.
func whoami() string {
	host, _ := os.Hostname()
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return name + "@" + host
}
