package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	goversion "github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsimple"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/spf13/cobra"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/pluginhost"
)

// lockedPlugin is an entry of the lock file.
type lockedPlugin struct {
	Name    string `hcl:"name,label"`
	Source  string `hcl:"source"`
	Version string `hcl:"version"`
	SHA256  string `hcl:"sha256"`
}

type lockFile struct {
	Plugins []lockedPlugin `hcl:"plugin,block"`
}

// readLock reads the lock file by plugin name. None is an empty one.
func readLock(dir string) (map[string]lockedPlugin, error) {
	src, err := os.ReadFile(filepath.Join(dir, config.LockFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var l lockFile
	if err := hclsimple.Decode(config.LockFile, src, nil, &l); err != nil {
		return nil, fmt.Errorf("%s cannot be read; remove it and run davit init: %w", config.LockFile, err)
	}
	out := map[string]lockedPlugin{}
	for _, p := range l.Plugins {
		out[p.Name] = p
	}
	return out, nil
}

func (a *app) initCmd() *cobra.Command {
	var upgrade bool
	cmd := &cobra.Command{
		Use: "init", Short: "Find and verify the plugins, and write the lock file", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.init(cmd, upgrade) },
	}
	cmd.Flags().BoolVar(&upgrade, "upgrade", false, "accept plugins that have changed since the lock file was written")
	return cmd
}

func (a *app) init(cmd *cobra.Command, upgrade bool) error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	stack, diags := config.Load(dir)
	if diags.HasErrors() {
		return a.show(stack, diags)
	}
	if d := checkVersion(stack); d != nil {
		return a.show(stack, append(diags, d))
	}
	old, err := readLock(dir)
	if err != nil {
		return err
	}
	types, err := builtinTypes()
	if err != nil {
		return err
	}
	var lock lockFile
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
		if was, ok := old[name]; ok && was.SHA256 != sum && !upgrade {
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

func writeLock(dir string, l lockFile) error {
	f := hclwrite.NewEmptyFile()
	gohcl.EncodeIntoBody(&l, f.Body())
	text := "# Written by davit init. Commit it with the stack.\n" + string(f.Bytes())
	path := filepath.Join(dir, config.LockFile)
	if old, err := os.ReadFile(path); err == nil && string(old) == text {
		return nil
	}
	return replaceFile(path, []byte(text), 0o600)
}
