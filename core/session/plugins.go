package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/core/engine"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/install"
	"github.com/davit-sh/davit/core/pluginhost"
)

// plugins are those of one stack: a host of its own, or the stack's part of one that several stacks share.
type plugins interface {
	Client(ctx context.Context, name string) (*pluginhost.Client, error)
	SetLineage(ctx context.Context, lineage string) error
	AnyEnded() bool
	Close() error
}

// pluginsOf returns the plugins of a stack on a shared host; on one of its own if there is none, and if a person has started some of the
// plugins, which serve one stack.
func pluginsOf(shared *pluginhost.Host, o pluginhost.Options) plugins {
	if shared == nil || len(o.Reattach) > 0 {
		return pluginhost.New(o)
	}
	return shared.Open(pluginhost.StackOptions{Dir: o.StackDir, Name: o.StackName, Plugins: o.Plugins, Credentials: o.Credentials})
}

// NewHost returns a host for the plugins of several stacks: those with the same plugin share its process. The plugins' own children end
// with a process that is killed.
func (p *Process) NewHost() *pluginhost.Host {
	return pluginhost.New(pluginhost.Options{Version: p.Version, CacheDir: p.CacheDir, Guard: p.guard()})
}

// guard is the command that ends what plugins have started when this process is killed.
func (p *Process) guard() pluginhost.Executable {
	return pluginhost.Executable{Path: p.Self, Args: []string{"plugin", "guard"}}
}

// checkAsWell finds the other mistakes of a stack that has some already, so that all are shown
// in one go. Types of plugins from outside cannot be told then, so those stacks are left alone.
func (p *Process) checkAsWell(ctx context.Context, stack *config.Stack) hcl.Diagnostics {
	if len(stack.Settings.Plugins) > 0 {
		return nil
	}
	catalogue, err := p.BuiltinTypes()
	if err != nil {
		return nil
	}
	return (&engine.Engine{Stack: stack, Types: catalogue}).Check(ctx)
}

// BuiltinTypes returns the catalogue of the built-in plugins.
func (p *Process) BuiltinTypes() (*types.Catalogue, error) {
	catalogue := types.NewCatalogue()
	for _, name := range slices.Sorted(maps.Keys(p.Builtins)) {
		if err := catalogue.Add(name, p.Builtins[name].Describe()); err != nil {
			return nil, err
		}
	}
	return catalogue, nil
}

// Clients returns a plugin host as the engine sees it.
func Clients(h *pluginhost.Host) engine.Plugins { return clients{h} }

type clients struct{ plugins plugins }

// Client implements engine.Plugins.
func (c clients) Client(ctx context.Context, name string) (engine.Client, error) {
	return c.plugins.Client(ctx, name)
}

// HostOptions says how the plugins of a stack are started. With guard, the plugins' own children end with a davit that is killed: only who
// applies starts some. gitHost is what gitHostOf says.
func (p *Process) HostOptions(stack *config.Stack, locked LockFile, gitHost []string, guard bool) (pluginhost.Options, error) {
	plugins := map[string]pluginhost.Executable{}
	for name := range p.Builtins {
		plugins[name] = pluginhost.Executable{Path: p.Self, Args: []string{"plugin", "serve", name}, Env: environmentOf(name, p.Builtins[name].Env, stack)}
	}
	git := plugins["git"]
	git.Set = gitHost
	plugins["git"] = git
	reattach, err := pluginhost.ParseReattach(p.getenv(pluginhost.ReattachVariable))
	if err != nil {
		return pluginhost.Options{}, err
	}
	for name, required := range stack.Settings.Plugins {
		if _, runs := reattach[name]; runs {
			continue // a person has started it
		}
		if plugins[name], err = executable(stack, required, locked, p.CacheDir); err != nil {
			return pluginhost.Options{}, err
		}
	}
	options := pluginhost.Options{Version: p.Version, CacheDir: p.CacheDir, StackDir: stack.Dir, StackName: filepath.Base(stack.Dir), Plugins: plugins, Reattach: reattach}
	if guard {
		options.Guard = p.guard()
	}
	return options, nil
}

// checksums are what the lock file pins the stack's plugins by: those that are fetched by the digest for all platforms, so that a plan
// may be applied on another one.
func (p *Process) checksums(stack *config.Stack, locked LockFile) map[string]string {
	out := map[string]string{}
	started, _ := pluginhost.ParseReattach(p.getenv(pluginhost.ReattachVariable)) // an error was told by hostOptions
	for name := range stack.Settings.Plugins {
		_, byPerson := started[name]
		switch l := locked.Plugin(name); {
		case l == nil || byPerson:
		case l.Digest != "":
			out[name] = l.Digest
		case l.SHA256 != "":
			out[name] = "sha256:" + l.SHA256
		}
	}
	return out
}

// Absolute returns a path that is relative to a folder as an absolute one.
func Absolute(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// describe makes the catalogue of types. Built-in plugins describe themselves without being started.
func (p *Process) describe(ctx context.Context, stack *config.Stack, plugins plugins) (*types.Catalogue, error) {
	catalogue, err := p.BuiltinTypes()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(stack.Settings.Plugins)) {
		client, err := plugins.Client(ctx, name)
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

// Requirement is what a stack requires of a plugin that is fetched, with the key that it names.
func Requirement(stack *config.Stack, p *config.RequiredPlugin) (install.Requirement, error) {
	r := install.Requirement{Name: p.Name, Source: p.Source, Constraint: p.Version}
	if p.PublicKey == "" {
		return r, nil
	}
	text, where := p.PublicKey, "public_key"
	if !strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN") {
		where = p.PublicKey
		b, err := os.ReadFile(Absolute(stack.Dir, p.PublicKey))
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
func executable(stack *config.Stack, p *config.RequiredPlugin, locked LockFile, cache string) (pluginhost.Executable, error) {
	l := locked.Plugin(p.Name)
	if l == nil || l.Source != p.Source {
		return pluginhost.Executable{}, fmt.Errorf("plugin %q is not in %s: run davit init", p.Name, config.LockFile)
	}
	if !install.Fetched(p.Source) {
		return pluginhost.Executable{Path: Absolute(stack.Dir, p.Source), SHA256: l.SHA256, Env: p.Env}, nil
	}
	r, err := Requirement(stack, p)
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
		return pluginhost.Executable{}, fmt.Errorf("plugin %q %s is not installed on this machine: run davit init", p.Name, l.Version)
	}
	const mend = "Somebody, or a broken disk, has changed it in the cache. Run davit init, which fetches it again as it is locked."
	return pluginhost.Executable{Path: path, SHA256: sum, Env: p.Env, Mend: mend}, nil
}
