package install

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// MirrorVariable names a folder that plugins are taken from, instead of registries.
const MirrorVariable = "DAVIT_PLUGIN_MIRROR"

// Mirror is an Origin that is a folder: HOST/REPOSITORY/VERSION/OS_ARCH/NAME. Beside each executable is its manifest, and
// beside the platforms the index and the signatures, so that the same digests hold as in the registry.
type Mirror struct{ Dir string }

const (
	indexFile      = "index.json"
	manifestFile   = "manifest.json"
	signaturesFile = "signatures.json"
	maxManifest    = 16 << 20 // bytes
)

func inMirror(repo name.Repository) string {
	return path.Join(repo.RegistryStr(), repo.RepositoryStr())
}

func platformFolder(platform string) string { return strings.ReplaceAll(platform, "/", "_") }

// Tags implements Origin.
func (m Mirror) Tags(_ context.Context, repo name.Repository) ([]string, error) {
	dir, err := m.open(inMirror(repo))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("reading the mirror %s: %w", m.Dir, err)
	}
	var tags []string
	for _, e := range entries {
		if e.IsDir() && rePlain().MatchString(e.Name()) {
			tags = append(tags, e.Name())
		}
	}
	return tags, nil
}

// Open implements Origin.
func (m Mirror) Open(ctx context.Context, repo name.Repository, reference string) (Copy, error) {
	versions := []string{reference}
	if reDigest().MatchString(reference) {
		var err error
		if versions, err = m.Tags(ctx, repo); err != nil {
			return nil, err
		}
		slices.Sort(versions)
	}
	for _, v := range versions {
		c := &mirrored{mirror: m, dir: path.Join(inMirror(repo), v), name: repo}
		var err error
		if c.index, err = m.read(path.Join(c.dir, indexFile)); errors.Is(err, ErrNotFound) {
			continue
		} else if err != nil {
			return nil, err
		}
		if v == reference || digestOf(c.index) == reference {
			return c, nil
		}
	}
	return nil, &refusal{err: ErrNotFound, problem: fmt.Sprintf("%s is not in the mirror %s (%s)", describe(repo, reference), m.Dir, MirrorVariable),
		hint: "Add it with davit plugin mirror, on a machine that reaches the registry. With a mirror, no registry is contacted."}
}

func describe(repo name.Repository, reference string) string {
	if reDigest().MatchString(reference) {
		return repo.Name() + "@" + reference
	}
	return repo.Name() + ":" + reference
}

// open opens a file or folder of the mirror. Nothing on the way to it may be a link: a mirror is files, and what one
// leads to is another's.
func (m Mirror) open(file string) (*os.File, error) {
	root, err := os.OpenRoot(m.Dir)
	if err != nil {
		return nil, fmt.Errorf("the mirror that %s names cannot be read: %w", MirrorVariable, err)
	}
	defer root.Close()
	steps := strings.Split(file, "/")
	for n := range steps {
		at := path.Join(steps[:n+1]...)
		info, err := root.Lstat(filepath.FromSlash(at))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &refusal{problem: fmt.Sprintf("%s is not in the mirror %s (%s)", at, m.Dir, MirrorVariable), err: ErrNotFound,
				hint: "Add it with davit plugin mirror, on a machine that reaches the registry. With a mirror, no registry is contacted."}
		}
		if err != nil {
			return nil, fmt.Errorf("reading the mirror: %w", err)
		}
		if !info.Mode().IsRegular() && !info.IsDir() {
			return nil, refuse("Copy the files themselves: cp -rL.", "%s in the mirror %s is neither a file nor a folder (%s)", at, m.Dir, info.Mode().Type())
		}
	}
	return root.Open(filepath.FromSlash(file))
}

func (m Mirror) read(file string) ([]byte, error) {
	f, err := m.open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(b) > maxManifest {
		err = fmt.Errorf("%s in the mirror is larger than %d MiB", file, maxManifest>>20)
	}
	return b, err
}

// mirrored is a release in a mirror.
type mirrored struct {
	mirror Mirror
	name   name.Repository
	dir    string
	index  []byte
}

func (c *mirrored) Index() []byte { return c.index }

func (c *mirrored) Manifest(_ context.Context, platform, _ string) ([]byte, error) {
	return c.mirror.read(path.Join(c.dir, platformFolder(platform), manifestFile))
}

func (c *mirrored) Executable(_ context.Context, platform, _ string) (io.ReadCloser, error) {
	return c.mirror.open(path.Join(c.dir, platformFolder(platform), fileName(c.name, platform)))
}

func (c *mirrored) Signatures(context.Context) ([]Signature, error) {
	b, err := c.mirror.read(path.Join(c.dir, signaturesFile))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Signature
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%s in the mirror: %w", path.Join(c.dir, signaturesFile), err)
	}
	return all, nil
}

// WriteMirror copies what a stack requires, for all platforms, into a folder that is then a Mirror. was is what is
// locked, nil if nothing is. Nothing is started. It returns what it has copied.
func (i *Installer) WriteMirror(ctx context.Context, r Requirement, was *Locked, dir string) (*Release, error) {
	release, err := i.writeMirror(ctx, r, was, dir)
	if err != nil {
		return nil, fmt.Errorf("plugin %q: %w", r.Name, err)
	}
	return release, nil
}

func (i *Installer) writeMirror(ctx context.Context, r Requirement, was *Locked, dir string) (*Release, error) {
	t, err := i.resolve(ctx, r, was)
	if err != nil {
		return nil, err
	}
	release, from, err := i.find(ctx, r, t, was)
	if err != nil {
		return nil, err
	}
	if err := i.readManifests(ctx, release, from, t.pin); err != nil {
		return nil, err
	}
	signatures, err := from.Signatures(ctx)
	if err != nil {
		return nil, err
	}
	folder := release.Claims.Version
	if t.tag != "" {
		folder = t.tag // who requires "edge" looks for that
	}
	to := filepath.Join(dir, filepath.FromSlash(inMirror(t.repo)), folder)
	if there, err := os.ReadFile(filepath.Join(to, indexFile)); err == nil && !bytes.Equal(there, release.index) {
		return nil, refuse("Remove the folder if it is out of date.", "%s contains another release of version %s (%s)", to, release.Claims.Version, digestOf(there))
	}
	for _, p := range release.platforms() {
		if err := i.copyExecutable(ctx, t, release, from, p, filepath.Join(to, platformFolder(p))); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
	}
	if len(signatures) > 0 {
		err = place(filepath.Join(to, signaturesFile), 0o644, func(w io.Writer) error { return json.NewEncoder(w).Encode(signatures) })
		if err != nil {
			return nil, err
		}
	}
	// The index comes last: with it, the release is there.
	return release, placeBytes(filepath.Join(to, indexFile), release.index)
}

func (i *Installer) copyExecutable(ctx context.Context, t target, release *Release, from Copy, platform, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	e := release.Platforms[platform]
	if err := placeBytes(filepath.Join(to, manifestFile), e.manifest); err != nil {
		return err
	}
	body, err := from.Executable(ctx, platform, e.Digest)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	return place(filepath.Join(to, fileName(t.repo, platform)), 0o755, verified(ctx, body, e))
}

func placeBytes(path string, b []byte) error {
	return place(path, 0o644, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}
