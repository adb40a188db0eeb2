package install

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/davit-sh/davit/internal/oci"
)

// Media types of a published plugin.
const (
	ConfigType     types.MediaType = "application/vnd.davit.plugin.config.v1+json"
	ExecutableType types.MediaType = "application/vnd.davit.plugin.executable.v1"
)

// Annotations of the index: what the plugin said of itself when it was pushed. They are compared with what it says
// here, before anything else is made of them.
const (
	annotationVersion = "org.opencontainers.image.version"
	annotationTitle   = "org.opencontainers.image.title"
	annotationName    = "sh.davit.plugin.name"
	annotationTypes   = "sh.davit.plugin.types"
)

const (
	maxExecutable = 1 << 30 // bytes
	maxPlatforms  = 64
)

// Release is one published version of a plugin.
type Release struct {
	Digest    string // of the index, "sha256:<hex>"
	Claims    Description
	Platforms map[string]Executable

	index     []byte
	manifests map[string]v1.Descriptor // by platform
}

// Executable is a plugin's program for one platform.
type Executable struct {
	Digest   string // "sha256:<hex>"
	Size     int64
	manifest []byte
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// readIndex reads an index: which platforms there are, and what is claimed of the plugin.
func readIndex(index []byte) (*Release, error) {
	r := &Release{Digest: digestOf(index), Platforms: map[string]Executable{}, index: index, manifests: map[string]v1.Descriptor{}}
	m, err := v1.ParseIndexManifest(bytes.NewReader(index))
	if err != nil || !m.MediaType.IsIndex() {
		return nil, refuse("Plugins are published by davit plugin push.", "%s is not a plugin: it is not an OCI index", r.Digest)
	}
	if r.Claims, err = claims(m.Annotations); err != nil {
		return nil, err
	}
	for _, d := range m.Manifests {
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue // an attestation
		}
		platform, err := ParsePlatform(oci.PlatformString(*d.Platform))
		if err != nil {
			return nil, err
		}
		if _, twice := r.manifests[platform]; twice || len(r.manifests) == maxPlatforms {
			return nil, refuse("", "its index names %s twice, or has more than %d platforms", platform, maxPlatforms)
		}
		r.manifests[platform] = d
	}
	if len(r.manifests) == 0 {
		return nil, refuse("Plugins are published by davit plugin push.", "%s is not a plugin: its index has no platforms", r.Digest)
	}
	return r, nil
}

// readManifests reads the manifests of all platforms, each of which must have the digest that the index says.
func (r *Release) readManifests(ctx context.Context, from Copy) error {
	for _, platform := range r.platforms() {
		e, err := readManifest(ctx, from, platform, r.manifests[platform])
		if err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
		r.Platforms[platform] = e
	}
	return nil
}

func claims(annotations map[string]string) (Description, error) {
	d := Description{Name: annotations[annotationName], Version: annotations[annotationVersion], Types: strings.Fields(annotations[annotationTypes])}
	for _, text := range append([]string{d.Name, d.Version}, d.Types...) {
		if text != "" && !rePlain().MatchString(text) {
			return d, refuse("It was not pushed by davit plugin push. Do not use it before you know who pushed it.", "its index has an invalid annotation: %q", shown(text))
		}
	}
	return d, nil
}

func readManifest(ctx context.Context, from Copy, platform string, d v1.Descriptor) (Executable, error) {
	raw, err := from.Manifest(ctx, platform, d.Digest.String())
	if err != nil {
		return Executable{}, err
	}
	if got := digestOf(raw); got != d.Digest.String() {
		return Executable{}, tampered("its manifest", got, d.Digest.String())
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil || m.Config.MediaType != ConfigType || len(m.Layers) != 1 || m.Layers[0].MediaType != ExecutableType {
		return Executable{}, refuse("Plugins are published by davit plugin push.", "it is not a plugin: its manifest %s does not have exactly one executable", d.Digest)
	}
	layer := m.Layers[0]
	if title := layer.Annotations[annotationTitle]; title != "" && !rePlain().MatchString(title) {
		return Executable{}, refuse("It was not pushed by davit plugin push. Do not use it before you know who pushed it.", "its executable is called %q, which is not a plain file name", shown(title))
	}
	e := Executable{Digest: layer.Digest.String(), Size: layer.Size, manifest: raw}
	if !reDigest().MatchString(e.Digest) || e.Size < 1 || e.Size > maxExecutable {
		return Executable{}, refuse("", "its executable has an invalid size (%d bytes) or digest (%q)", e.Size, shown(e.Digest))
	}
	return e, nil
}

// tampered is the error of bytes that are not what their digest says.
func tampered(what, got, want string) error {
	return refuse("It was changed, or damaged by a disk or network. It is not used. Find out why before you try again.",
		"%s was changed: its digest is %s, expected %s", what, got, want)
}

// shown is text from afar, not endless. It is printed quoted.
func shown(s string) string {
	if len(s) > 100 {
		return s[:100] + "..."
	}
	return s
}

func (r *Release) platforms() []string { return slices.Sorted(maps.Keys(r.manifests)) }

func (r *Release) sums() map[string]string {
	out := map[string]string{}
	for p, e := range r.Platforms {
		out[p] = e.Digest
	}
	return out
}
