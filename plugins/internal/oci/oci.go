// Package oci is what the plugins that talk to registries share: names, credentials,
// transport, clear errors, and how a build is found again by its content key.
package oci

import (
	"context"

	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Annotations (of the index, and as labels of each image's configuration) that davit puts on what it builds.
const (
	AnnotationKey      = "sh.davit.build.key"
	AnnotationTag      = "sh.davit.build.tag"
	AnnotationRevision = "org.opencontainers.image.revision"
)

// Repository parses a repository's name. Plain HTTP is used for loopback hosts, and for others only if insecure is set.
func Repository(repository string, insecure bool) (name.Repository, error) {
	return name.Repository{}, nil
}

// Options are the options of every call to a registry: docker-config credentials,
// retries of what may pass, a user agent, ctx.
func Options(ctx context.Context) []remote.Option { return nil }

// KeyTag is the tag that an index is found again by: "davit-" and 40 hex digits of its content key ("sha256:<hex>").
func KeyTag(key string) string { return "" }

// IsKeyTag tells whether a tag is davit's own and hidden from images' tag lists.
func IsKeyTag(tag string) bool { return false }

// Found is a build that was pushed before.
type Found struct {
	Tag, Digest, Revision string
	Platforms             []string
}

// Find looks for a pushed build with this key by its key tag. It returns nil if there is
// none: no such repository, no such tag, or an index whose annotation names another key.
func Find(ctx context.Context, repo name.Repository, key string) (*Found, error) { return nil, nil }

// Platforms lists the platforms of an index or image, attestations left out, as "linux/arm/v7", sorted.
func Platforms(desc *remote.Descriptor) ([]string, error) { return nil, nil }

// Diagnose turns an error of a registry (unauthorized, not found, too many requests, server errors, no connection,
// certificate) into one that says what happened to what and what to do.
func Diagnose(err error, doing, what string) *sdk.Error { return nil }
