package oci

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// reAttached are the tags under which signatures, attestations and the like are kept beside the image that they are about: of cosign
// ("sha256-<hex>.sig") and of the referrers tag schema of the OCI distribution specification ("sha256-<hex>").
var reAttached = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^sha(256-[0-9a-f]{64}|512-[0-9a-f]{128})([.-]|$)|\.(sig|att|sbom)$`)
})

// IsAttached tells whether a tag is of something that belongs to an image, and not an image itself.
func IsAttached(tag string) bool { return reAttached().MatchString(tag) }

// DigestOf finds the digest that a tag holds by the smallest request that the registry answers.
func DigestOf(ctx context.Context, repo name.Repository, tag string) (string, error) {
	desc, err := remote.Head(Reference(repo, tag), Options(ctx, repo)...)
	if err == nil {
		return desc.Digest.String(), nil
	}
	if e, ok := errors.AsType[*transport.Error](err); !ok || e.StatusCode == http.StatusTooManyRequests || IsNotFound(err) {
		return "", Diagnose(busy(err), "reading", describe(repo, tag))
	}
	whole, err := Get(ctx, repo, tag) // not every registry gives the digest with an answer to HEAD
	if err != nil {
		return "", err
	}
	return whole.Digest.String(), nil
}

// Artifact says what a manifest holds if that is not an image that can run: "Helm chart", "signature". It is "" for an image.
func Artifact(desc *remote.Descriptor) (string, error) {
	switch {
	case desc.MediaType == types.DockerManifestSchema1 || desc.MediaType == types.DockerManifestSchema1Signed:
		return "Docker schema 1", nil
	case desc.MediaType.IsIndex():
		m, err := indexManifest(desc)
		if err != nil {
			return "", err
		}
		return artifactOfIndex(m), nil
	case desc.MediaType.IsImage():
		img, err := desc.Image()
		if err != nil {
			return "", err
		}
		m, err := img.Manifest()
		if err != nil {
			return "", err
		}
		return artifactOfManifest(m), nil
	}
	return "media type " + clean(string(desc.MediaType)), nil
}

func artifactOfIndex(m *v1.IndexManifest) string {
	for _, child := range m.Manifests {
		unknown := child.Platform != nil && (child.Platform.OS == "unknown" || child.Platform.OS == "")
		if (child.MediaType.IsImage() || child.MediaType.IsIndex()) && !unknown && isImageConfig(child.ArtifactType) {
			return ""
		}
	}
	if len(m.Manifests) == 0 {
		return "an empty index"
	}
	return "an index of attestations"
}

// isImageConfig tells whether this is the configuration of an image. A descriptor may repeat its media type as the type of artifact.
func isImageConfig(mediaType string) bool {
	return mediaType == "" || mediaType == string(types.DockerConfigJSON) || mediaType == string(types.OCIConfigJSON)
}

// What a manifest holds is said by its configuration, and by its layers where that is an image's.
var (
	byConfig = map[string]string{
		"application/vnd.cncf.helm.config.v1+json":    "Helm chart",
		"application/vnd.wasm.config.v0+json":         "WebAssembly module",
		"application/vnd.cncf.flux.config.v1+json":    "Flux artifact",
		"application/vnd.cncf.notary.signature":       "signature",
		"application/vnd.davit.plugin.config.v1+json": "davit plugin",
		"application/vnd.davit.folder.config.v1+json": "folder of files",
	}
	byLayer = map[string]string{
		"application/vnd.dev.cosign.simplesigning.v1+json": "signature",
		"application/vnd.in-toto+json":                     "attestation",
		"application/vnd.dsse.envelope.v1+json":            "attestation",
		"application/spdx+json":                            "SBOM",
		"application/vnd.cyclonedx+json":                   "SBOM",
		"text/spdx":                                        "SBOM",
		"text/spdx+json":                                   "SBOM",
	}
)

func artifactOfManifest(m *v1.Manifest) string {
	if isImageConfig(string(m.Config.MediaType)) {
		for _, layer := range m.Layers {
			if what := byLayer[string(layer.MediaType)]; what != "" {
				return what
			}
		}
		return ""
	}
	if what := byConfig[string(m.Config.MediaType)]; what != "" {
		return what
	}
	media := string(m.Config.MediaType)
	if m.Config.MediaType == "application/vnd.oci.empty.v1+json" && m.ArtifactType != "" {
		media = m.ArtifactType
	}
	return "artifact of type " + clean(media)
}
