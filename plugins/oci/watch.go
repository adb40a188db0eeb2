package oci

import (
	"context"
	"fmt"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/build"
	"github.com/davit-sh/davit/plugins/internal/poll"
	"github.com/davit-sh/davit/sdk"
)

// sight is what a configuration means in a registry at a moment.
type sight struct {
	position
	list *registry.TagList // of a range of versions
}

// describe returns the position in words: "1.2.0@sha256:...".
func (p position) describe() string { return p.tag + "@" + p.digest }

var _ sdk.Watcher[ArtifactConfig, ArtifactOutputs] = (*artifact)(nil)

// Watch asks for the digest of the tag from time to time, once for all sources that follow the same one, without its content. It tells when
// that is another. A digest does not change.
func (a *artifact) Watch(ctx context.Context, r sdk.WatchRequest[ArtifactConfig, ArtifactOutputs], notice func(sdk.Notice)) error {
	c := r.Config
	if err := a.Validate(ctx, c); err != nil {
		return err
	}
	if c.Digest != "" {
		<-ctx.Done()
		return ctx.Err()
	}
	w := poll.Watch[sight]{
		ID: poll.ID(ctx, r.Address), Interval: r.Interval, Key: fmt.Sprintf("%s %t %q %q", c.Repository, c.Insecure, c.Tag, c.Semver),
		Look: func(ctx context.Context, last sight) (sight, error) { return lookAt(ctx, c, last) },
		Part: func(s sight) (string, error) { return s.describe(), nil },
	}
	if r.Prior != nil {
		w.Prior = position{r.Prior.Outputs.Tag, r.Prior.Outputs.Digest}.describe()
	}
	return a.hub.Run(ctx, w, func(part string) {
		notice(sdk.Notice{Reason: fmt.Sprintf("%s is at %s", c.Repository, part)})
	})
}

// lookAt asks what the tag, or the highest one of a range, names.
func lookAt(ctx context.Context, c ArtifactConfig, last sight) (sight, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout.Duration())
	defer cancel()
	repo, err := registry.Repository(c.Repository, c.Insecure)
	if err != nil {
		return sight{}, build.At(err, sdk.At("repository"))
	}
	now := sight{position: position{tag: c.Tag}, list: last.list}
	switch {
	case c.Semver != "":
		if now.list == nil {
			now.list = registry.NewTagList(repo)
		}
		tags, err := now.list.Read(ctx)
		if err != nil {
			return sight{}, err
		}
		if now.tag, err = highest(c.Semver, tags); err != nil {
			return now, nil // there is none; who looks gets the error
		}
	case c.Tag == "":
		now.tag = "latest"
	}
	now.digest, err = registry.TagDigest(ctx, repo, now.tag)
	return now, err
}
