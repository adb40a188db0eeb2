package oci

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Digest asks what a reference names now, without fetching it. A reference by digest names itself.
func Digest(ctx context.Context, ref name.Reference) (string, error) {
	if d, ok := ref.(name.Digest); ok {
		return d.DigestStr(), nil
	}
	options := Options(ctx, ref.Context())
	if desc, err := remote.Head(ref, options...); err == nil {
		return desc.Digest.String(), nil
	}
	// Some registries answer a HEAD badly, and none can say in it what is wrong.
	desc, err := remote.Get(ref, options...)
	if err != nil {
		return "", Diagnose(err, "reading", ref.Name())
	}
	return desc.Digest.String(), nil
}

// Label is what a pushed build is found again by and told apart by.
type Label struct {
	Key, Tag, Revision string
	Created            time.Time // of the source; zero is left out
}

// Annotate puts the label's annotations on an index. The same index and label give the same digest.
func Annotate(index v1.ImageIndex, l Label) (v1.ImageIndex, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading an index: %w", err)
	}
	annotations := maps.Clone(m.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AnnotationKey], annotations[AnnotationTag] = l.Key, l.Tag
	annotations[AnnotationRevision] = l.Revision
	if !l.Created.IsZero() {
		annotations[AnnotationCreated] = l.Created.UTC().Format(time.RFC3339)
	} else if _, ok := annotations[AnnotationCreated]; ok {
		// One that is there cannot be taken away, only said to be unknown.
		annotations[AnnotationCreated] = ""
	}
	annotated, ok := mutate.Annotations(index, annotations).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("the annotated index is not an index")
	}
	return annotated, nil
}

// Relabel reads a pushed build and gives its index with another label: the same images under another
// tag, without building. Nothing is pushed yet; Push does that.
func Relabel(ctx context.Context, repo name.Repository, digest string, l Label) (v1.ImageIndex, error) {
	desc, err := Get(ctx, repo, digest)
	if err != nil {
		return nil, err
	}
	index, err := desc.ImageIndex()
	if err != nil {
		return nil, fmt.Errorf("reading the index %s: %w", digest, err)
	}
	return Annotate(index, l)
}

// Push pushes an index with all that it needs under a tag, and checks that the registry holds it
// under that tag then. It returns the digest. What is there already is not sent again.
func Push(ctx context.Context, repo name.Repository, tag string, index v1.ImageIndex) (string, error) {
	want, err := index.Digest()
	if err != nil {
		return "", fmt.Errorf("computing the digest of an index: %w", err)
	}
	what := repo.Name() + ":" + tag
	if err := remote.WriteIndex(repo.Tag(tag), index, Options(ctx, repo)...); err != nil {
		return "", Diagnose(err, "pushing", what)
	}
	got, err := Digest(ctx, repo.Tag(tag))
	if err != nil {
		return "", err
	}
	if got != want.String() {
		return "", fmt.Errorf("pushing %s: the tag points to %s, not to the pushed %s: another process pushes to it at the same time", what, got, want)
	}
	return got, nil
}

// Tag points a further tag to a pushed digest.
func Tag(ctx context.Context, repo name.Repository, digest, tag string) error {
	desc, err := Get(ctx, repo, digest)
	if err != nil {
		return err
	}
	if err := remote.Tag(repo.Tag(tag), desc, Options(ctx, repo)...); err != nil {
		return Diagnose(err, "tagging", repo.Name()+":"+tag)
	}
	return nil
}
