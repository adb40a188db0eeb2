package oci

import (
	"context"
	"fmt"
	"strings"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/build"
	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// baseReference parses the base image. Plain HTTP is allowed for it if it is for the registry that is pushed to, and both are the same.
func (c Config) baseReference() (name.Reference, error) {
	ref, err := registry.Parse(c.Base, false)
	if err != nil || !c.Insecure {
		return ref, err
	}
	repo, err := registry.Repository(c.Repository, true)
	if err != nil || repo.RegistryStr() != ref.Context().RegistryStr() {
		return ref, err
	}
	return registry.Parse(c.Base, true)
}

// baseImages gives the image that a platform's layers are put on.
type baseImages struct {
	desc *remote.Descriptor // nil: nothing
	what string
}

func openBase(ctx context.Context, c Config, digest string) (baseImages, error) {
	if digest == "" {
		return baseImages{}, nil
	}
	ref, err := c.baseReference()
	if err != nil {
		return baseImages{}, build.At(err, sdk.At("base"))
	}
	desc, err := registry.Get(ctx, ref.Context(), digest)
	if err != nil {
		return baseImages{}, build.At(err, sdk.At("base"))
	}
	return baseImages{desc: desc, what: c.Base}, nil
}

func (b baseImages) forPlatform(platform string) (v1.Image, error) {
	if b.desc == nil {
		img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
		return mutate.ConfigMediaType(img, types.OCIConfigJSON), nil
	}
	if !b.desc.MediaType.IsIndex() {
		has, err := registry.Platforms(b.desc)
		if err != nil {
			return nil, err
		}
		if len(has) != 1 || !samePlatform(has[0], platform) {
			return nil, b.lacks(platform, has)
		}
		return b.desc.Image()
	}
	index, err := b.desc.ImageIndex()
	if err != nil {
		return nil, fmt.Errorf("reading the base image: %w", err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading the base image: %w", err)
	}
	var has []string
	for _, d := range m.Manifests {
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue
		}
		p := registry.PlatformString(*d.Platform)
		if d.MediaType.IsImage() && samePlatform(p, platform) {
			return index.Image(d.Digest)
		}
		has = append(has, p)
	}
	return nil, b.lacks(platform, has)
}

func (b baseImages) lacks(platform string, has []string) error {
	return &sdk.Error{
		Summary: fmt.Sprintf("the base image %s does not support %s", b.what, platform),
		Detail:  "It supports " + strings.Join(has, ", ") + ".",
		Hint:    "remove the platform, or use a base image that supports it",
		Code:    "oci.base_platform", Path: sdk.At("base"),
	}
}

// samePlatform compares platforms with the variants that are meant when none is written.
func samePlatform(a, b string) bool { return fullPlatform(a) == fullPlatform(b) }

func fullPlatform(p string) string {
	switch p {
	case "linux/arm64":
		return "linux/arm64/v8"
	case "linux/arm":
		return "linux/arm/v7"
	}
	return p
}
