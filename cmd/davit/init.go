package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	goversion "github.com/hashicorp/go-version"
	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/pluginhost"
)

func (a *app) initCmd() *cobra.Command {
	var upgrade, migrate, reconfigure bool
	cmd := &cobra.Command{
		Use: "init", Short: "Find and verify plugins and modules, and write the lock file", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.init(cmd, upgrade, migrate, reconfigure) },
	}
	cmd.Flags().BoolVar(&upgrade, "upgrade", false, "take what there is now of plugins and modules, whatever the lock file says")
	cmd.Flags().BoolVar(&migrate, "migrate-state", false, "copy the state to where the stack says now that it is, and compare")
	cmd.Flags().BoolVar(&reconfigure, "reconfigure", false, "take the state that is where the stack says now, and leave the old one behind")
	cmd.MarkFlagsMutuallyExclusive("migrate-state", "reconfigure")
	return cmd
}

func (a *app) init(cmd *cobra.Command, upgrade, migrate, reconfigure bool) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	old, err := readLock(dir)
	if err != nil {
		return err
	}
	finder, err := newFinder(old)
	if err != nil {
		return err
	}
	fetcher := &fetcher{app: a, ctx: cmd.Context(), dir: dir, cache: finder.CacheDir}
	finder.Fetch, finder.Upgrade = fetcher.fetch, upgrade
	stack, diags := config.LoadTree(dir, finder)
	if diags.HasErrors() {
		return a.show(stack, diags)
	}
	if d := checkVersion(stack); d != nil {
		return a.show(stack, append(diags, d))
	}
	types, err := builtinTypes()
	if err != nil {
		return err
	}
	lock := lockFile{Modules: finder.Used()}
	for _, name := range sortedKeys(stack.Settings.Plugins) {
		p := stack.Settings.Plugins[name]
		if builtins[name] != nil {
			return fmt.Errorf("required_plugins names %q, which is a built-in plugin: give yours another name", name)
		}
		sum, err := fileSum(absolute(stack.Dir, p.Source))
		if err != nil {
			return fmt.Errorf("plugin %q: %w", name, err)
		}
		// What has changed is not even started before a person wants it.
		if was, ok := old.plugin(name); ok && was.SHA256 != sum && !upgrade {
			return fmt.Errorf("plugin %q has changed: %s has sha256 %s, and %s says %s. If that is what you want, run davit init -upgrade", name, p.Source, sum, config.LockFile, was.SHA256)
		}
		l, err := probe(cmd, stack, p, sum, types)
		if err != nil {
			return err
		}
		lock.Plugins = append(lock.Plugins, l)
		fmt.Fprintf(a.out, "Plugin %s %s from %s\n", name, l.Version, l.Source)
	}
	if err := writeLock(dir, lock); err != nil {
		return err
	}
	if err := a.initState(cmd.Context(), stack, migrate, reconfigure); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "Ready: %d built-in plugins, %d others. Next: davit plan\n", len(builtins), len(lock.Plugins))
	return nil
}

// probe starts a plugin once and asks what it is.
func probe(cmd *cobra.Command, stack *config.Stack, p *config.RequiredPlugin, sum string, types *engine.Types) (lockedPlugin, error) {
	l := lockedPlugin{Name: p.Name, Source: p.Source, SHA256: sum}
	path := absolute(stack.Dir, p.Source)
	host := pluginhost.New(pluginhost.Options{Version: version, StackDir: stack.Dir,
		Plugins: map[string]pluginhost.Executable{p.Name: {Path: path, SHA256: l.SHA256, Env: p.Env}}})
	defer host.Close()
	client, err := host.Client(cmd.Context(), p.Name)
	if err != nil {
		return l, err
	}
	d, err := client.Describe(cmd.Context())
	if err != nil {
		return l, err
	}
	l.Version = d.GetVersion()
	if p.Version != "" {
		if err := checkPluginVersion(p, l.Version); err != nil {
			return l, err
		}
	}
	return l, types.Add(p.Name, d)
}

func checkPluginVersion(p *config.RequiredPlugin, got string) error {
	c, err := goversion.NewConstraint(p.Version)
	if err != nil {
		return fmt.Errorf("plugin %q: version %q is no constraint: %w", p.Name, p.Version, err)
	}
	v, err := goversion.NewVersion(got)
	if err != nil {
		return fmt.Errorf("plugin %q says that its version is %q, which is no version: %w", p.Name, got, err)
	}
	if !c.Check(v) {
		return fmt.Errorf("plugin %q has version %s, and the stack wants %s", p.Name, got, p.Version)
	}
	return nil
}

func fileSum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
