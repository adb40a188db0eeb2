package main

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/internal/text"
)

func (a *app) initCmd() *cobra.Command {
	var upgrade, migrate, reconfigure bool
	var f stackFlags
	cmd := &cobra.Command{
		Use: "init", Short: "Install plugins and modules, and write the lock file", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.init(cmd, &f, upgrade, migrate, reconfigure) },
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&upgrade, "upgrade", false, "install the newest allowed versions and update the lock file")
	cmd.Flags().BoolVar(&migrate, "migrate-state", false, "copy the state to the place that the stack's settings name now, and compare")
	cmd.Flags().BoolVar(&reconfigure, "reconfigure", false, "use the state at the place that the settings name now, without the old one")
	cmd.MarkFlagsMutuallyExclusive("migrate-state", "reconfigure")
	return cmd
}

func (a *app) init(cmd *cobra.Command, f *stackFlags, upgrade, migrate, reconfigure bool) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	old, err := session.ReadLockFile(dir)
	if err != nil {
		return err
	}
	finder, err := newFinder(old)
	if err != nil {
		return err
	}
	process, err := a.process()
	if err != nil {
		return err
	}
	// Who fetches nothing needs no credentials.
	credentials := sync.OnceValues(func() (session.Credentials, error) {
		c, err := process.EarlyCredentials(a.soft, &session.Options{Dir: dir, Vars: f.vars, VarFiles: f.varFiles})
		if p, ok := errors.AsType[*session.Problem](err); ok {
			err = plainly(p.Diags)
		}
		return c, err
	})
	fetcher := &fetcher{app: a, ctx: cmd.Context(), dir: dir, cache: finder.CacheDir, credentials: credentials}
	finder.Fetch, finder.Upgrade = fetcher.fetch, upgrade
	stack, diags := config.LoadTree(dir, finder)
	if diags.HasErrors() {
		return a.show(stack, diags)
	}
	if d := session.CheckVersion(stack, version); d != nil {
		return a.show(stack, append(diags, d))
	}
	if more := process.CheckPlugins(stack); more.HasErrors() {
		return a.show(stack, append(diags, more...))
	}
	types, err := process.BuiltinTypes()
	if err != nil {
		return err
	}
	lock := session.LockFile{Modules: finder.Used()}
	for _, name := range sortedKeys(stack.Settings.Plugins) {
		p := stack.Settings.Plugins[name]
		if builtins[name] != nil {
			return fmt.Errorf("required_plugins names %q, which is a built-in plugin: use another name", name)
		}
		l, err := a.initPlugin(cmd.Context(), credentials, stack, p, old, types, upgrade)
		if err != nil {
			return err
		}
		lock.Plugins = append(lock.Plugins, l)
		fmt.Fprintf(a.out, "Plugin %s %s from %s\n", name, l.Version, l.Source)
	}
	if err := session.WriteLockFile(dir, lock); err != nil {
		return err
	}
	if err := a.initState(cmd.Context(), stack, migrate, reconfigure); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "Ready: %s, %s. Next: davit plan\n", text.Count(len(builtins), "built-in plugin"), text.Count(len(lock.Plugins), "installed plugin"))
	return nil
}
