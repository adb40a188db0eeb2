// Package oci is what all that talks to registries shares, the plugins and the installing of plugins: names,
// credentials, transport, clear errors, and how a build is found again by its content key.
package oci

import (
	"net"
	"regexp"
	"strings"
	"sync"

	ocitag "github.com/davit-sh/davit/internal/oci/tag"
	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
)

// Annotations of the index that davit puts on what it builds.
const (
	AnnotationKey      = "sh.davit.build.key"
	AnnotationTag      = "sh.davit.build.tag"
	AnnotationRevision = "org.opencontainers.image.revision"
	// AnnotationCreated tells when the source was made, RFC 3339. A reproducible build's images have no time of their own.
	AnnotationCreated = "org.opencontainers.image.created"
)

const (
	keyTagPrefix = "davit-"
	keyTagDigits = 40
)

var reDigest = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9+._-]+:[0-9a-fA-F]+$`) })

var reKeyTag = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^davit-[0-9a-f]{40}$`) })

// Repository parses a repository's name. Plain HTTP is used for loopback hosts, and for others only if insecure is set.
func Repository(repository string, insecure bool) (name.Repository, error) {
	if strings.Contains(repository, "@") {
		// Not echoed: it may be user:password@host.
		return name.Repository{}, repositoryError("a repository is given without a digest and without credentials", nil)
	}
	if scheme, _, ok := strings.Cut(repository, "://"); ok {
		return name.Repository{}, repositoryError("leave out "+scheme+"://", nil)
	}
	last := repository[strings.LastIndex(repository, "/")+1:]
	if strings.Contains(repository, "/") && strings.Contains(last, ":") {
		return name.Repository{}, repositoryError(quote(repository)+" has a tag", nil)
	}
	r, err := name.NewRepository(repository)
	if err != nil {
		return name.Repository{}, repositoryError(quote(repository), err)
	}
	if !insecure && !isLoopback(r.RegistryStr()) {
		return r, nil
	}
	r, err = name.NewRepository(repository, name.Insecure)
	if err != nil {
		return name.Repository{}, repositoryError(quote(repository), err)
	}
	return r, nil
}

// Parse parses a reference to an image ("debian:12", "registry.example.com/base@sha256:..."),
// with the rule of Repository for plain HTTP.
func Parse(reference string, insecure bool) (name.Reference, error) {
	if _, digest, ok := strings.Cut(reference, "@"); ok && !reDigest().MatchString(digest) {
		// Not echoed: it may be user:password@host.
		return nil, &sdk.Error{Summary: "this is not a reference to an image", Detail: "the text after @ is not a digest", Code: "registry.reference",
			Hint: "write it as registry.example.com/team/name:tag or name@sha256:..., without a user; credentials \"registry\" and docker login are for those"}
	}
	ref, err := name.ParseReference(reference, name.WeakValidation)
	if err == nil && (insecure || isLoopback(ref.Context().RegistryStr())) {
		ref, err = name.ParseReference(reference, name.WeakValidation, name.Insecure)
	}
	if err != nil {
		return nil, &sdk.Error{
			Summary: "this is not an image reference",
			Detail:  clean(err.Error()),
			Hint:    "write it as registry.example.com/team/name:tag",
			Code:    "registry.reference",
			Err:     err,
		}
	}
	return ref, nil
}

func repositoryError(detail string, err error) *sdk.Error {
	return &sdk.Error{
		Summary: "this is not a repository name",
		Detail:  joinCause(detail, err),
		Hint:    "write it as registry.example.com/team/name, in lower case and without a tag",
		Code:    "registry.name",
		Err:     err,
	}
}

// CheckTag refuses a tag that no registry takes.
func CheckTag(name string) error {
	if ocitag.Valid(name) {
		return nil
	}
	return &sdk.Error{
		Summary: quote(name) + " is not a tag",
		Hint:    "a tag has 1 to 128 letters, digits, '.', '_' or '-', and does not begin with '.' or '-'",
		Code:    "registry.tag",
	}
}

// KeyTag is the tag that an index is found again by: "davit-" and 40 hex digits of its content key ("sha256:<hex>").
func KeyTag(key string) string {
	hex := key[strings.LastIndex(key, ":")+1:]
	return keyTagPrefix + hex[:min(len(hex), keyTagDigits)]
}

// IsKeyTag tells whether a tag is davit's own and hidden from images' tag lists.
func IsKeyTag(tag string) bool { return reKeyTag().MatchString(tag) }

// isLoopback tells whether a host, with or without a port, is this machine.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
