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

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/event"
	"github.com/davit-sh/davit/core/plan"
	"github.com/davit-sh/davit/core/session"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/protocol"
	"github.com/davit-sh/davit/sdk/trim"
	"github.com/davit-sh/davit/state"
)

// stackFlags are the flags of every verb that looks at a stack, and whether it changes something.
type stackFlags struct {
	vars, varFiles []string
	lockTimeout    time.Duration
	parallel       int
	guard          bool
	run            string     // id of the run, in its events
	reviewed       *plan.Plan // a saved plan that is carried out: it has the values of variables
	unset          bool       // variables may be without a value
	noState        bool       // the state is not opened
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
	cmd.Flags().StringArrayVar(&f.replace, "replace", nil, "replace the instance at this `address`")
	_ = cmd.RegisterFlagCompletionFunc("replace", a.completePlace) // it was added above
	cmd.Flags().BoolVar(&f.refreshOnly, "refresh-only", false, "compare the real objects with the last apply, and update only the state")
	refresh := cmd.Flags().VarPF(inverted{&f.noRefresh}, "refresh", "", "read the real objects; -refresh=false uses the state for unchanged blocks")
	refresh.NoOptDefVal = "true"
}

// addParts adds the flags of verbs that can be about a part of the stack.
func (f *planFlags) addParts(a *app, cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.targets, "target", nil, "only this `address` and its dependencies (of a destroy: its dependents)")
	cmd.Flags().StringArrayVar(&f.excludes, "exclude", nil, "leave out this `address` and its dependents (of a destroy: its dependencies)")
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
	cmd.Flags().IntVar(&f.parallel, "parallelism", 0, "the number of operations at the same time (10)")
}

// process is what all stacks of this process share.
func (a *app) process() (*session.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	return newProcess(self, cache), nil
}

// newProcess describes this process: its version, its plugins and its environment.
func newProcess(self, cache string) *session.Process {
	p := &session.Process{Version: version, Self: self, CacheDir: cache, Environ: os.Environ(), Builtins: map[string]session.Builtin{}}
	for name := range builtins {
		p.Builtins[name] = session.Builtin{Describe: func() *pluginv1.DescribeResponse { return protocol.Describe(builtins[name](version)) }, Env: builtinEnv[name]}
	}
	return p
}

// open reads the stack of the working directory and makes its plugins ready to start.
func (a *app) open(ctx context.Context, f *stackFlags, emit event.Sink) (*session.Session, error) {
	trim.Startup()
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	p, err := a.process()
	if err != nil {
		return nil, err
	}
	s, err := p.Open(ctx, &session.Options{
		Dir: dir, Vars: f.vars, VarFiles: f.varFiles, Reviewed: f.reviewed, Unset: f.unset, NoState: f.noState, Guard: f.guard, Parallel: f.parallel, Emit: emit, Run: f.run,
		Started: a.tellReattached,
	})
	return s, a.problem(err)
}

// problem shows what is wrong with a stack, if an error says so. Other errors stay as they are.
func (a *app) problem(err error) error {
	if p, ok := errors.AsType[*session.Problem](err); ok {
		return a.show(p.Stack, p.Diags)
	}
	return err
}

// lock takes the lease on the state, and says so while it waits.
func (a *app) lock(ctx context.Context, s *session.Session, what string, wait time.Duration) (state.Lease, error) {
	return s.Lock(ctx, state.Holder{Who: whoami(), PID: os.Getpid(), What: what}, wait, func(left time.Duration, why error) {
		fmt.Fprintf(a.err, "Waiting for the lock, at most %s longer: %s.\n", left.Round(time.Second), why)
	})
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

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// whoami is user@host, for locks and histories.
func whoami() string {
	host, _ := os.Hostname()
	name := "somebody"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return name + "@" + host
}
