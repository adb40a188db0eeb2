package oci

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Busy is an error of a registry that wants to be asked later.
type Busy struct {
	After time.Duration // what the registry says; 0 when it does not
	Err   error
}

// busyWait is how long a registry is left alone that has too much to do and does not say for how long.
const busyWait = time.Minute

// RetryAfter is how long the registry is to be left alone.
func (b *Busy) RetryAfter() time.Duration { return max(b.After, busyWait) }

func (b *Busy) Error() string { return b.Err.Error() }

// Unwrap returns the registry's error.
func (b *Busy) Unwrap() error { return b.Err }

// TagList lists the tags of a repository again and again. It keeps its credentials and, where the registry gives validators, asks only
// whether the list has changed. It is not for concurrent use.
type TagList struct {
	repo   name.Repository
	lister *lister
}

// NewTagList returns a list of a repository's tags that has not been read yet.
func NewTagList(repo name.Repository) *TagList { return &TagList{repo: repo} }

// Read returns all tags, as Tags does. The slice is not to be changed.
func (t *TagList) Read(ctx context.Context) ([]string, error) {
	if t.lister == nil {
		l, err := newLister(ctx, t.repo)
		if err != nil {
			return nil, listError(busy(err), t.repo)
		}
		t.lister = l
	}
	tags, err := t.lister.all(ctx)
	if err != nil {
		t.lister = nil // credentials may have changed
		return nil, listError(busy(err), t.repo)
	}
	return tags, nil
}

// TagDigest asks for the digest behind a tag, without its content. It is "" when there is no such tag.
func TagDigest(ctx context.Context, repo name.Repository, tag string) (string, error) {
	digest, err := DigestOf(ctx, repo, tag)
	if IsNotFound(err) {
		return "", nil
	}
	return digest, err
}

// busy marks the errors of a registry that has too much to do.
func busy(err error) error {
	var already *Busy
	var answered *transport.Error
	if !errors.As(err, &already) && errors.As(err, &answered) && answered.StatusCode == http.StatusTooManyRequests {
		return &Busy{Err: err}
	}
	return err
}
