package modules

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/davit-sh/davit/core/config"
	"github.com/davit-sh/davit/sdk/tree"
)

// Locked is a package that was fetched: what the lock file says of it.
type Locked struct {
	Source   string `hcl:"source,label"`     // Package.Source
	Version  string `hcl:"version,optional"` // the constraint of the call
	Resolved string `hcl:"resolved"`         // the commit, or the artifact's digest
	Tag      string `hcl:"tag,optional"`     // the tag that the constraint or the source chose
	Tree     string `hcl:"tree"`             // digest of its files
}

// Fetch gets a package. With a pin it gets exactly that, else what the source and the version constraint name now.
type Fetch func(p Package, version string, pin *Locked) (Locked, error)

// Finder is the config.Resolver of a stack.
type Finder struct {
	CacheDir string
	Locked   []Locked
	Fetch    Fetch // nil: nothing is fetched
	// Upgrade resolves every package anew, whatever the lock says.
	Upgrade bool

	used map[[2]string]Locked
}

// Find implements config.Resolver.
func (f *Finder) Find(parent config.Location, source, version string) (config.Location, error) {
	if IsLocal(source) {
		return local(parent, source, version)
	}
	p, folder, err := Parse(source)
	if err != nil {
		return config.Location{}, err
	}
	if version != "" && (p.Ref != "" || p.Tag != "" || p.Digest != "") {
		return config.Location{}, errors.New("it has a version, and a ref, tag or digest in source as well. Keep one")
	}
	l, err := f.find(p, version)
	if err != nil {
		return config.Location{}, err
	}
	whole, ok := tree.Lookup(f.CacheDir, l.Tree)
	if !ok {
		return config.Location{}, notInstalled(source)
	}
	t, err := tree.Open(whole)
	if err != nil {
		return config.Location{}, err
	}
	sub, err := t.Sub(folder)
	if err != nil {
		return config.Location{}, fmt.Errorf("%s: %w", p.Source, err)
	}
	return config.Location{Dir: sub.Path(), Root: t.Path(), Name: path.Join(nameOf(l), folder)}, nil
}

// nameOf is how a package's files are called: the same on every machine, and another for another content.
func nameOf(l Locked) string {
	short := l.Resolved[strings.LastIndex(l.Resolved, ":")+1:]
	base, _, _ := strings.Cut(l.Source, "?")
	if _, rest, ok := strings.Cut(base, "://"); ok {
		base = rest
	}
	return strings.TrimPrefix(base, gitPrefix) + "@" + short[:min(12, len(short))]
}

func notInstalled(source string) error {
	return fmt.Errorf("%s is not installed: run davit init", source)
}

// find tells what a package is resolved to, and sees to it that it is in the cache if it may.
func (f *Finder) find(p Package, version string) (Locked, error) {
	key := [2]string{p.Source, version}
	if l, ok := f.used[key]; ok {
		return l, nil
	}
	var pin *Locked
	if i := slices.IndexFunc(f.Locked, func(l Locked) bool { return l.Source == p.Source && l.Version == version }); i >= 0 && !f.Upgrade {
		pin = &f.Locked[i]
	}
	l, err := f.fetched(p, version, pin)
	if err != nil {
		return l, err
	}
	if f.used == nil {
		f.used = map[[2]string]Locked{}
	}
	f.used[key] = l
	return l, nil
}

func (f *Finder) fetched(p Package, version string, pin *Locked) (Locked, error) {
	if pin != nil {
		if _, ok := tree.Lookup(f.CacheDir, pin.Tree); ok {
			return *pin, nil
		}
	}
	if f.Fetch == nil {
		return Locked{}, notInstalled(p.Source)
	}
	l, err := f.Fetch(p, version, pin)
	if err != nil {
		return l, err
	}
	l.Source, l.Version = p.Source, version
	if pin != nil && l.Tree != pin.Tree {
		return l, fmt.Errorf("%s at %s has changed: its files have the digest %[4]s, but %[3]s has %[5]s. To accept the change, run davit init -upgrade",
			p.Source, pin.Resolved, config.LockFile, l.Tree, pin.Tree)
	}
	return l, nil
}

// Used returns the packages that were asked for, by source and version.
func (f *Finder) Used() []Locked {
	out := make([]Locked, 0, len(f.used))
	for _, l := range f.used {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Locked) int {
		return strings.Compare(a.Source+"\x00"+a.Version, b.Source+"\x00"+b.Version)
	})
	return out
}

// local finds a module that is called by a path. In a package the path may not lead out of it.
func local(parent config.Location, source, version string) (config.Location, error) {
	if version != "" {
		return config.Location{}, errors.New("version is only for modules that are fetched, but the source is a path. Remove version")
	}
	out := config.Location{Dir: filepath.Join(parent.Dir, filepath.FromSlash(source)), Root: parent.Root, Name: path.Join(parent.Name, source)}
	if parent.Root == "" {
		return out, nil
	}
	if leaves(parent.Root, out.Dir) {
		return out, fmt.Errorf("the path %s leads out of the fetched files", source)
	}
	real, err := filepath.EvalSymlinks(out.Dir)
	if err != nil {
		return out, fmt.Errorf("the fetched files have no folder %s", source)
	}
	root, err := filepath.EvalSymlinks(parent.Root)
	if err != nil {
		return out, err
	}
	if leaves(root, real) {
		return out, fmt.Errorf("the path %s leads out of the fetched files", source)
	}
	return out, nil
}

// leaves tells whether a folder is not in root.
func leaves(root, dir string) bool {
	rel, err := filepath.Rel(root, dir)
	return err != nil || !filepath.IsLocal(rel)
}
