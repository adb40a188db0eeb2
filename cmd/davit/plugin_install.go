package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	goversion "github.com/hashicorp/go-version"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/install"
	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/core/session"
	"github.com/davit-sh/davit/internal/oci"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// initPlugin finds one plugin, sees that it may be used, starts it once, and tells what to write into the lock file.
func (a *app) initPlugin(ctx context.Context, credentials func() (session.Credentials, error), stack *config.Stack, p *config.RequiredPlugin, old session.LockFile, types *types.Catalogue, upgrade bool) (install.Locked, error) {
	if !install.Fetched(p.Source) {
		return initLocal(ctx, stack, p, old, types, upgrade)
	}
	r, err := session.Requirement(stack, p)
	if err != nil {
		return install.Locked{}, err
	}
	i, err := a.installer()
	if err != nil {
		return install.Locked{}, err
	}
	i.Upgrade = upgrade
	given, err := credentials()
	if err != nil {
		return install.Locked{}, err
	}
	ctx = oci.WithCredentials(ctx, given.Of("oci"))
	var described *pluginv1.DescribeResponse
	i.Describe = func(ctx context.Context, name, path, sum string) (d install.Description, err error) {
		described, err = ask(ctx, stack.Dir, name, pluginhost.Executable{Path: path, SHA256: sum, Env: p.Env})
		return descriptionOf(described), err
	}
	l, err := i.Install(ctx, r, old.Plugin(p.Name))
	if err != nil {
		return l, err
	}
	return l, types.Add(p.Name, described)
}

// initLocal takes a plugin that is a path.
func initLocal(ctx context.Context, stack *config.Stack, p *config.RequiredPlugin, old session.LockFile, types *types.Catalogue, upgrade bool) (install.Locked, error) {
	l := install.Locked{Name: p.Name, Source: p.Source, Constraint: p.Version}
	if p.PublicKey != "" {
		return l, fmt.Errorf("plugin %q: public_key is only for plugins that are fetched, but the source is a path. Remove public_key", p.Name)
	}
	path := session.Absolute(stack.Dir, p.Source)
	var err error
	if l.SHA256, err = fileSum(path); err != nil {
		return l, fmt.Errorf("plugin %q: %w", p.Name, err)
	}
	// What has changed is not even started before a person wants it.
	if was := old.Plugin(p.Name); was != nil && was.SHA256 != "" && was.SHA256 != l.SHA256 && !upgrade {
		return l, fmt.Errorf("plugin %q has changed: %s has sha256 %s, but %s has %s. To accept the change: davit init -upgrade", p.Name, p.Source, l.SHA256, config.LockFile, was.SHA256)
	}
	d, err := ask(ctx, stack.Dir, p.Name, pluginhost.Executable{Path: path, SHA256: l.SHA256, Env: p.Env})
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

// installer is what gets plugins: from registries, or from the mirror that the environment names.
func (a *app) installer() (*install.Installer, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	i := &install.Installer{
		Origin: install.Registries{}, Cache: install.Cache{Dir: cache}, Platform: install.Platform(),
		Tell: func(text string) { fmt.Fprintln(a.out, text) },
	}
	if mirror := os.Getenv(install.MirrorVariable); mirror != "" {
		if mirror, err = filepath.Abs(mirror); err != nil {
			return nil, err
		}
		i.Origin = install.Mirror{Dir: mirror}
	}
	return i, nil
}

// ask starts a plugin once and asks what it is.
func ask(ctx context.Context, dir, name string, exe pluginhost.Executable) (*pluginv1.DescribeResponse, error) {
	host := pluginhost.New(pluginhost.Options{Version: version, StackDir: dir, Plugins: map[string]pluginhost.Executable{name: exe}})
	defer host.Close()
	client, err := host.Client(ctx, name)
	if err != nil {
		return nil, err
	}
	return client.Describe(ctx)
}

func descriptionOf(d *pluginv1.DescribeResponse) install.Description {
	out := install.Description{Name: d.GetName(), Version: d.GetVersion()}
	for _, t := range d.GetTypes() {
		out.Types = append(out.Types, t.GetKind()+"."+t.GetName())
	}
	slices.Sort(out.Types)
	return out
}

func checkPluginVersion(p *config.RequiredPlugin, got string) error {
	c, err := goversion.NewConstraint(p.Version)
	if err != nil {
		return fmt.Errorf("plugin %q: version %q is not a version constraint: %w", p.Name, p.Version, err)
	}
	v, err := goversion.NewVersion(got)
	if err != nil {
		return fmt.Errorf("plugin %q reports the version %q, which is not a version: %w", p.Name, got, err)
	}
	if !c.Check(v) {
		return fmt.Errorf("plugin %q has version %s, but the stack requires %s", p.Name, got, p.Version)
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
