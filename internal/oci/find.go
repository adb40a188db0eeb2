package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Found is what a tag of a repository names. What davit did not write is empty.
type Found struct {
	Tag, Digest, Revision string // Tag is what the build was pushed under (its annotation)
	Key                   string // content key, "sha256:<hex>"
	Platforms             []string
	Created               time.Time // of what the build was made from (its annotation); zero when it does not say
}

// Find looks for a pushed build with this key by its key tag. It returns nil if there is
// none: no such repository, no such tag, or an index whose annotation names another key.
func Find(ctx context.Context, repo name.Repository, key string) (*Found, error) {
	found, err := Look(ctx, repo, KeyTag(key))
	if err != nil || found == nil || found.Key != key {
		return nil, err
	}
	return found, nil
}

// Look reads what a tag (or a digest, "sha256:<hex>") names. It returns nil if the repository has no such tag.
func Look(ctx context.Context, repo name.Repository, tag string) (*Found, error) {
	desc, err := Get(ctx, repo, tag)
	if IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := &Found{Digest: desc.Digest.String()}
	annotations, err := annotationsOf(desc)
	if err != nil {
		return nil, err
	}
	found.Key = annotations[AnnotationKey]
	found.Tag = annotations[AnnotationTag]
	found.Revision = annotations[AnnotationRevision]
	if t, err := time.Parse(time.RFC3339, annotations[AnnotationCreated]); err == nil {
		found.Created = t.UTC()
	}
	if found.Platforms, err = Platforms(desc); err != nil {
		return nil, err
	}
	return found, nil
}

// TagFree looks whether a build with this key may be pushed under tag: nothing is there, or the same
// build. It returns what is there (nil: nothing). A tag that holds something else is an
// error, because moving a version's tag changes what others run.
func TagFree(ctx context.Context, repo name.Repository, tag, key string) (*Found, error) {
	found, err := Look(ctx, repo, tag)
	if err != nil || found == nil || found.Key == key {
		return found, err
	}
	holds := "an image that davit did not build (" + found.Digest + ")"
	if found.Key != "" {
		holds = "another build (key " + clean(found.Key) + ")"
	}
	return found, &sdk.Error{
		Summary: fmt.Sprintf("tag %s of %s already holds %s", tag, repo.Name(), holds),
		Detail:  "Pushing would move the tag, and change everything that runs from it.",
		Hint:    "choose another tag, or set overwrite = true to move this one",
		Code:    "registry.tag_taken",
		Path:    sdk.At("tag"),
	}
}

// Get fetches the manifest that a tag or digest names. Its error is one of Diagnose.
func Get(ctx context.Context, repo name.Repository, tag string) (*remote.Descriptor, error) {
	desc, err := remote.Get(Reference(repo, tag), Options(ctx, repo)...)
	if err != nil {
		return nil, Diagnose(err, "reading", describe(repo, tag))
	}
	return desc, nil
}

// Reference names a tag or, if it is written as one, a digest of repo.
func Reference(repo name.Repository, tag string) name.Reference {
	if _, err := v1.NewHash(tag); err == nil {
		return repo.Digest(tag)
	}
	return repo.Tag(tag)
}

func describe(repo name.Repository, tag string) string {
	if _, err := v1.NewHash(tag); err == nil {
		return repo.Name() + "@" + tag
	}
	return repo.Name() + ":" + tag
}

// IsNotFound tells whether a registry answered that a repository or tag is not there.
func IsNotFound(err error) bool {
	var answered *transport.Error
	return errors.As(err, &answered) && answered.StatusCode == http.StatusNotFound && isRegistryAnswer(answered)
}

// isRegistryAnswer tells a registry's 404 from that of a web server that is none: a
// registry explains itself in JSON or not at all; a web server sends a page.
func isRegistryAnswer(e *transport.Error) bool {
	if e.Request == nil || e.Request.URL.Path == "/v2/" {
		return false
	}
	silent := strings.HasSuffix(e.Error(), http.StatusText(e.StatusCode))
	return len(e.Errors) > 0 || silent || e.Request.Method == http.MethodHead
}

func annotationsOf(desc *remote.Descriptor) (map[string]string, error) {
	if desc.MediaType.IsIndex() {
		m, err := indexManifest(desc)
		if err != nil {
			return nil, err
		}
		return m.Annotations, nil
	}
	if desc.MediaType.IsImage() {
		img, err := desc.Image()
		if err != nil {
			return nil, fmt.Errorf("reading the manifest %s: %w", desc.Digest, err)
		}
		m, err := img.Manifest()
		if err != nil {
			return nil, fmt.Errorf("reading the manifest %s: %w", desc.Digest, err)
		}
		return m.Annotations, nil
	}
	return nil, nil
}

func indexManifest(desc *remote.Descriptor) (*v1.IndexManifest, error) {
	index, err := desc.ImageIndex()
	if err != nil {
		return nil, fmt.Errorf("reading the index %s: %w", desc.Digest, err)
	}
	m, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading the index %s: %w", desc.Digest, err)
	}
	return m, nil
}

// Platforms lists the platforms of an index or image, attestations left out, as "linux/arm/v7", sorted.
func Platforms(desc *remote.Descriptor) ([]string, error) {
	var found []string
	switch {
	case desc.MediaType.IsIndex():
		m, err := indexManifest(desc)
		if err != nil {
			return nil, err
		}
		for _, child := range m.Manifests {
			if p := child.Platform; p != nil && p.OS != "" && p.OS != "unknown" {
				found = append(found, PlatformString(*p))
			}
		}
	case desc.MediaType.IsImage():
		config, err := configOf(desc)
		if err != nil {
			return nil, err
		}
		if p := config.Platform(); p != nil && p.OS != "" && p.OS != "unknown" {
			found = append(found, PlatformString(*p))
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// PlatformString writes a platform as "os/architecture[/variant]".
func PlatformString(p v1.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

func configOf(desc *remote.Descriptor) (*v1.ConfigFile, error) {
	img, err := desc.Image()
	if err != nil {
		return nil, fmt.Errorf("reading the image %s: %w", desc.Digest, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration of the image %s: %w", desc.Digest, err)
	}
	return config, nil
}
