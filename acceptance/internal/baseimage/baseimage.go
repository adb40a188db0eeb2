// Package baseimage makes the images that the lab's builds and pods stand on,
// from Debian packages, for three platforms, with no container engine and no
// other registry: base/busybox:1, base/python:3.11 (with the standard library
// and busybox as its shell) and base/pause:1. They are made once and kept in
// the cache as an OCI layout.
package baseimage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/davit-sh/davit/acceptance/internal/cache"
	"github.com/davit-sh/davit/acceptance/internal/host"
)

// The images, named below the registry.
const (
	Busybox = "base/busybox:1"
	Python  = "base/python:3.11"
	Pause   = "base/pause:1" // sleeps forever, as the first container of a pod
)

// Needs are the system packages that making the images uses.
func Needs() []host.Need { return []host.Need{host.Apt, host.Dpkg, host.Busybox} }

// generation is part of the cache's key: count it up when an image changes in
// a way that its spec does not show.
const generation = 2

type platform struct {
	debian string // Debian's name of the architecture
	oci    v1.Platform
}

var platforms = []platform{
	{"amd64", v1.Platform{OS: "linux", Architecture: "amd64"}},
	{"arm64", v1.Platform{OS: "linux", Architecture: "arm64"}},
	{"armhf", v1.Platform{OS: "linux", Architecture: "arm", Variant: "v7"}},
}

type spec struct {
	Ref      string
	Packages []string
	Config   v1.Config
}

const pathEnv = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

var specs = []spec{
	{
		Ref:      Busybox,
		Packages: []string{"busybox-static"},
		Config:   v1.Config{Env: []string{pathEnv}, Cmd: []string{"/bin/sh"}},
	},
	{
		Ref:      Pause,
		Packages: []string{"busybox-static"},
		Config:   v1.Config{Env: []string{pathEnv}, Entrypoint: []string{"/bin/sleep", "2147483647"}},
	},
	{
		Ref: Python,
		Packages: []string{
			"busybox-static",
			"python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib",
			"libc6", "libgcc-s1", "libexpat1", "zlib1g", "libssl3", "libffi8",
			"libbz2-1.0", "liblzma5", "libsqlite3-0", "libuuid1",
		},
		Config: v1.Config{Env: []string{pathEnv, "LANG=C.UTF-8"}, Cmd: []string{"python3"}},
	},
}

// Build returns the folder of the OCI layout with all images, making it when
// the cache does not have it. The packages come from the machine's own apt
// sources, through an apt state of its own.
func Build(ctx context.Context, progress io.Writer) (string, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %+v %+v %q", generation, specs, platforms, dropped))
	entry := "images/" + hex.EncodeToString(sum[:])[:16]
	return cache.Once(entry, func(dir string) error {
		_, _ = fmt.Fprintln(progress, "lab: making the base images (once)")
		if err := build(ctx, dir); err != nil {
			return fmt.Errorf("make the base images: %w", err)
		}
		return nil
	})
}

func build(ctx context.Context, dir string) error {
	images, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	debs, err := download(ctx, work)
	if err != nil {
		return err
	}
	applets, err := busyboxApplets(ctx)
	if err != nil {
		return err
	}
	compiled, err := compilePython(ctx, work, debs)
	if err != nil {
		return err
	}
	for i, s := range specs {
		var index v1.ImageIndex = mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		for _, p := range platforms {
			file := filepath.Join(work, fmt.Sprintf("%d-%s.tar", i, p.debian))
			if err := writeLayer(ctx, file, debs[p.debian], s.Packages, applets, compiled); err != nil {
				return fmt.Errorf("%s for %s: %w", s.Ref, p.oci, err)
			}
			img, err := image(file, s.Config, p.oci)
			if err != nil {
				return fmt.Errorf("%s for %s: %w", s.Ref, p.oci, err)
			}
			index = mutate.AppendManifests(index, mutate.IndexAddendum{
				Add:        img,
				Descriptor: v1.Descriptor{Platform: &p.oci},
			})
		}
		named := layout.WithAnnotations(map[string]string{refAnnotation: s.Ref})
		if err := images.AppendIndex(index, named); err != nil {
			return fmt.Errorf("%s: %w", s.Ref, err)
		}
	}
	return os.RemoveAll(work)
}

const refAnnotation = "org.opencontainers.image.ref.name"

func image(layerFile string, config v1.Config, p v1.Platform) (v1.Image, error) {
	layer, err := tarball.LayerFromFile(layerFile, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	base := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	base = mutate.ConfigMediaType(base, types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, layer)
	if err != nil {
		return nil, err
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant = p.OS, p.Architecture, p.Variant
	file.Config = config
	return mutate.ConfigFile(img, file)
}

// Push uploads images of a layout that Build made to a registry (host:port).
func Push(ctx context.Context, dir, registry string, refs ...string) error {
	images, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return fmt.Errorf("read the base images: %w", err)
	}
	manifest, err := images.IndexManifest()
	if err != nil {
		return fmt.Errorf("read the base images: %w", err)
	}
	opts := []remote.Option{remote.WithContext(ctx), remote.WithJobs(8)}
	for _, desc := range manifest.Manifests {
		ref := desc.Annotations[refAnnotation]
		if !slices.Contains(refs, ref) {
			continue
		}
		target, err := name.ParseReference(registry+"/"+ref, name.Insecure)
		if err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
		index, err := images.ImageIndex(desc.Digest)
		if err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
		if err := remote.WriteIndex(target, index, opts...); err != nil {
			return fmt.Errorf("push %s: %w", ref, err)
		}
	}
	return nil
}
