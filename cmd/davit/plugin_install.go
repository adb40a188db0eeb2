package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	goversion "github.com/hashicorp/go-version"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/install"
	"github.com/davit-sh/davit/core/pluginhost"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// initPlugin finds one plugin, sees that it may be used, starts it once, and tells what to write into the lock file.
func (a *app) initPlugin(ctx context.Context, stack *config.Stack, p *config.RequiredPlugin, old lockFile, types *types.Catalogue, upgrade bool) (install.Locked, error) {
	if !install.Fetched(p.Source) {
		return initLocal(ctx, stack, p, old, types, upgrade)
	}
	r, err := requirement(stack, p)
	if err != nil {
		return install.Locked{}, err
	}
	i, err := a.installer()
	if err != nil {
		return install.Locked{}, err
	}
	i.Upgrade = upgrade
	var described *pluginv1.DescribeResponse
	i.Describe = func(ctx context.Context, name, path, sum string) (d install.Description, err error) {
		described, err = ask(ctx, stack.Dir, name, pluginhost.Executable{Path: path, SHA256: sum, Env: p.Env})
		return descriptionOf(described), err
	}
	l, err := i.Install(ctx, r, old.plugin(p.Name))
	if err != nil {
		return l, err
	}
	return l, types.Add(p.Name, described)
}

// initLocal takes a plugin that is a path.
func initLocal(ctx context.Context, stack *config.Stack, p *config.RequiredPlugin, old lockFile, types *types.Catalogue, upgrade bool) (install.Locked, error) {
	l := install.Locked{Name: p.Name, Source: p.Source, Constraint: p.Version}
	if p.PublicKey != "" {
		return l, fmt.Errorf("plugin %q: public_key is for plugins that are fetched, and this one is a path. Remove public_key", p.Name)
	}
	path := absolute(stack.Dir, p.Source)
	var err error
	if l.SHA256, err = fileSum(path); err != nil {
		return l, fmt.Errorf("plugin %q: %w", p.Name, err)
	}
	// What has changed is not even started before a person wants it.
	if was := old.plugin(p.Name); was != nil && was.SHA256 != "" && was.SHA256 != l.SHA256 && !upgrade {
		return l, fmt.Errorf("plugin %q has changed: %s has sha256 %s, and %s says %s. If that is what you want, run davit init -upgrade", p.Name, p.Source, l.SHA256, config.LockFile, was.SHA256)
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

// requirement is what a stack requires of a plugin that is fetched, with the key that it names.
func requirement(stack *config.Stack, p *config.RequiredPlugin) (install.Requirement, error) {
	r := install.Requirement{Name: p.Name, Source: p.Source, Constraint: p.Version}
	if p.PublicKey == "" {
		return r, nil
	}
	text, where := p.PublicKey, "public_key"
	if !strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN") {
		where = p.PublicKey
		b, err := os.ReadFile(absolute(stack.Dir, p.PublicKey))
		if err != nil {
			return r, fmt.Errorf("plugin %q: the public key cannot be read: %w", p.Name, err)
		}
		text = string(b)
	}
	var err error
	if r.Key, err = install.ParseKey(text); err != nil {
		return r, fmt.Errorf("plugin %q: %s: %w", p.Name, where, err)
	}
	return r, nil
}

// executable is a locked plugin as it is started. It is looked for on this machine only.
func executable(stack *config.Stack, p *config.RequiredPlugin, locked lockFile, cache string) (pluginhost.Executable, error) {
	l := locked.plugin(p.Name)
	if l == nil || l.Source != p.Source {
		return pluginhost.Executable{}, fmt.Errorf("plugin %q is not in %s yet: run davit init", p.Name, config.LockFile)
	}
	if !install.Fetched(p.Source) {
		return pluginhost.Executable{Path: absolute(stack.Dir, p.Source), SHA256: l.SHA256, Env: p.Env}, nil
	}
	r, err := requirement(stack, p)
	if err != nil {
		return pluginhost.Executable{}, err
	}
	if err := l.Fits(r); err != nil {
		return pluginhost.Executable{}, err
	}
	name, sum, err := l.Executable(install.Platform())
	if err != nil {
		return pluginhost.Executable{}, err
	}
	path := install.Cache{Dir: cache}.Path(sum, name)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return pluginhost.Executable{}, fmt.Errorf("plugin %q %s is not on this machine yet: run davit init", p.Name, l.Version)
	}
	const mend = "Somebody, or a broken disk, has changed it in the cache. Run davit init, which fetches it again as it is locked."
	return pluginhost.Executable{Path: path, SHA256: sum, Env: p.Env, Mend: mend}, nil
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
