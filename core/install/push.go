package install

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/hashicorp/go-version"

	"github.com/davit-sh/davit/internal/oci"
)

// Publication is a plugin to push.
type Publication struct {
	To          string            // oci://REPOSITORY:VERSION
	Executables map[string]string // platform, as ParsePlatform writes it, to the path of a file
	Platform    string            // of this machine: Platform()
	Insecure    bool              // plain HTTP to a registry on another machine
	Force       bool              // move a tag that has other content, and take a version that is not the tag
	// Describe starts this machine's executable and asks what it is.
	Describe func(ctx context.Context, name, path, sum string) (Description, error)
}

// Pushed is what was pushed.
type Pushed struct {
	Repository, Digest string
	Description        Description // empty if none of the executables runs here
	Warnings           []string
}

// The names of goreleaser and of most Makefiles: telegram_linux_amd64, telegram_linux_arm_v7, telegram_windows_amd64.exe.
var reBuilt = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*?)[_-](linux|darwin|windows|freebsd|netbsd|openbsd)[_-]([a-z0-9]+)(?:[_-](v[0-9]+))?(?:\.exe)?$`)

// Built finds the executables in a folder, by their names: NAME_OS_ARCH[_VARIANT]. Other files are left alone.
func Built(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	var name string
	for _, e := range entries {
		m := reBuilt.FindStringSubmatch(e.Name())
		if e.IsDir() || m == nil {
			continue
		}
		platform, err := ParsePlatform(strings.TrimSuffix(m[2]+"/"+m[3]+"/"+m[4], "/"))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		if other, twice := found[platform]; twice {
			return nil, refuse("Name the files with -platform.", "%s and %s are both for %s", filepath.Base(other), e.Name(), platform)
		}
		if name != "" && name != m[1] {
			return nil, refuse("Name the files of one with -platform.", "%s has executables of several plugins: %s and %s", dir, name, m[1])
		}
		name, found[platform] = m[1], filepath.Join(dir, e.Name())
	}
	if len(found) == 0 {
		return nil, refuse("Files are called NAME_OS_ARCH: telegram_linux_amd64, telegram_linux_arm_v7. Or name them with -platform linux/amd64=FILE.", "%s contains no executables", dir)
	}
	return found, nil
}

// Push checks a plugin as far as it can be checked here, and pushes it. The same executables have the same digest.
func Push(ctx context.Context, p Publication) (Pushed, error) {
	src, err := ParseSource(p.To)
	if err != nil || src.Tag == "" || src.Digest != "" {
		return Pushed{}, refuse("Use the form oci://registry.example.com/davit/telegram:1.2.0.", "a plugin cannot be pushed to %s", p.To)
	}
	repo, err := oci.Repository(src.Repository.Name(), p.Insecure)
	if err != nil {
		return Pushed{}, registryError(err)
	}
	out := Pushed{Repository: repo.Name()}
	for platform, path := range p.Executables {
		if err := checkProgram(path, platform); err != nil {
			return out, err
		}
	}
	if err := p.describe(ctx, src.Tag, &out); err != nil {
		return out, err
	}
	index, err := p.index(src, out.Description)
	if err != nil {
		return out, err
	}
	want, err := index.Digest()
	if err != nil {
		return out, err
	}
	out.Digest = want.String()
	there, err := oci.Digest(ctx, repo.Tag(src.Tag))
	switch {
	case err != nil && !oci.IsNotFound(err):
		return out, registryError(err)
	case err == nil && there == out.Digest:
		return out, nil
	case err == nil && !p.Force:
		return out, refuse("Push another version, or move this tag with -force. Stacks that locked the old release keep it and are told that the tag moved.",
			"%s already exists with other content (%s)", p.To, there)
	}
	if _, err := oci.Push(ctx, repo, src.Tag, index); err != nil {
		return out, registryError(err)
	}
	return out, nil
}

// describe starts the executable for this machine, if there is one, and compares its version with the tag.
func (p Publication) describe(ctx context.Context, tag string, out *Pushed) error {
	platform, err := choose("", "", p.Platform, slices.Collect(maps.Keys(p.Executables)))
	if err != nil {
		if !reVersion.MatchString(tag) {
			return refuse("Push under a version, such as 1.2.0.", "the tag %s is not a version, and no executable can run on this machine to report its version", tag)
		}
		out.Description.Version = tag
		out.Warnings = append(out.Warnings, "None of the executables is for "+p.Platform+": the version and the types of the plugin were not checked.")
		return nil
	}
	path, err := filepath.Abs(p.Executables[platform])
	if err != nil {
		return err
	}
	sum, err := sumOf(path)
	if err != nil {
		return err
	}
	if out.Description, err = p.Describe(ctx, "pushed", path, strings.TrimPrefix(sum.String(), "sha256:")); err != nil {
		return err
	}
	said := out.Description.Version
	if _, err := version.NewVersion(said); err != nil || !rePlain().MatchString(said) {
		return refuse("Give it a version such as 1.2.0 in sdk.New(name, version, ...).", "the plugin reports the version %q, which is not a version", said)
	}
	if reVersion.MatchString(tag) && sameVersion(tag, said) {
		return nil
	}
	if !p.Force {
		return refuse("Push it under its own version, or build it with the version of the tag.", "the plugin reports the version %s, but the tag is %s", said, tag)
	}
	if reVersion.MatchString(tag) {
		out.Warnings = append(out.Warnings, fmt.Sprintf("The plugin reports the version %s, but the tag is %s: davit init will refuse it.", said, tag))
	}
	return nil
}

// index makes the artifact: an index of one manifest for each platform, of which the only layer is the executable as it is.
func (p Publication) index(src Source, d Description) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, platform := range slices.Sorted(maps.Keys(p.Executables)) {
		at, err := v1.ParsePlatform(platform)
		if err != nil {
			return nil, err
		}
		layer, err := newFileLayer(p.Executables[platform])
		if err != nil {
			return nil, err
		}
		img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: at.OS, Architecture: at.Architecture, Variant: at.Variant})
		if err != nil {
			return nil, err
		}
		img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), ConfigType)
		title := map[string]string{annotationTitle: fileName(src.Repository, platform)}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: ExecutableType, Annotations: title}); err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: at}})
	}
	annotations := map[string]string{annotationVersion: d.Version}
	if d.Name != "" {
		annotations[annotationName], annotations[annotationTypes] = d.Name, strings.Join(d.Types, " ")
	}
	out, ok := mutate.Annotations(index, annotations).(v1.ImageIndex)
	if !ok {
		return nil, errors.New("the annotated index is not an index")
	}
	return out, nil
}

// fileLayer is a file as a layer: neither packed nor compressed, so that its digest is the layer's.
type fileLayer struct {
	path string
	hash v1.Hash
	size int64
}

func newFileLayer(path string) (*fileLayer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxExecutable {
		return nil, refuse("Strip it: go build -ldflags='-s -w'.", "%s is larger than %d MiB", path, maxExecutable>>20)
	}
	sum, err := sumOf(path)
	return &fileLayer{path: path, hash: sum, size: info.Size()}, err
}

func (l *fileLayer) Digest() (v1.Hash, error)             { return l.hash, nil }
func (l *fileLayer) DiffID() (v1.Hash, error)             { return l.hash, nil }
func (l *fileLayer) Compressed() (io.ReadCloser, error)   { return os.Open(l.path) }
func (l *fileLayer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.path) }
func (l *fileLayer) Size() (int64, error)                 { return l.size, nil }
func (l *fileLayer) MediaType() (types.MediaType, error)  { return ExecutableType, nil }

func sumOf(path string) (v1.Hash, error) {
	f, err := os.Open(path)
	if err != nil {
		return v1.Hash{}, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}, err
}
