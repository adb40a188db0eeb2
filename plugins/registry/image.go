package registry

import (
	"context"
	"errors"

	"github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/poll"
	"github.com/davit-sh/davit/sdk"
)

type imageConfig struct {
	Repository string `davit:"repository" doc:"The repository, without a tag: registry.example.com/team/name."`
	Insecure   bool   `davit:"insecure,optional" doc:"Allow plain HTTP to a registry on another machine."`
}

type imageOutputs struct {
	sdk.ImageOutputs
}

type image struct {
	hub     poll.Hub[listing]
	tracker tracker
}

// Validate checks the repository's name.
func (*image) Validate(_ context.Context, c imageConfig) error {
	_, err := oci.Repository(c.Repository, c.Insecure)
	return at(err, "repository")
}

// Observe lists all tags. A repository that does not exist has none: its first build will make it.
func (i *image) Observe(ctx context.Context, r sdk.ObserveRequest[imageConfig, imageOutputs]) (imageOutputs, error) {
	c := r.Config
	out := imageOutputs{sdk.ImageOutputs{Repository: c.Repository, Tags: []string{}}}
	repo, err := oci.Repository(c.Repository, c.Insecure)
	if err != nil {
		return out, at(err, "repository")
	}
	tags, err := oci.Tags(ctx, repo)
	if err != nil && !oci.IsNotFound(err) {
		return out, err
	}
	out.Tags = visible(tags)
	id := poll.ID(ctx, r.Address)
	i.hub.Note(id, i.tracker.listed(id, c.key(), digestOf(out.Tags)))
	return out, nil
}

// Resolve looks at one tag.
func (i *image) Resolve(ctx context.Context, r sdk.ResolveRequest[imageConfig]) (sdk.Resolved, error) {
	c, tag := r.Config, r.Tag
	repo, err := oci.Repository(c.Repository, c.Insecure)
	if err != nil {
		return sdk.Resolved{}, at(err, "repository")
	}
	if err := oci.CheckTag(tag); err != nil {
		return sdk.Resolved{}, err
	}
	desc, err := oci.Get(ctx, repo, tag)
	if err != nil {
		return sdk.Resolved{}, err
	}
	what := repo.Name() + ":" + tag
	platforms, err := oci.Platforms(desc)
	if err != nil {
		return sdk.Resolved{}, oci.Diagnose(err, "reading", what)
	}
	created, err := oci.Created(desc)
	if err != nil {
		return sdk.Resolved{}, oci.Diagnose(err, "reading", what)
	}
	id := poll.ID(ctx, r.Address)
	if part, ok := i.tracker.resolved(id, tag, desc.Digest.String()); ok {
		i.hub.Note(id, part)
	}
	return sdk.Resolved{Digest: desc.Digest.String(), Platforms: platforms, Created: created}, nil
}

// at puts the attribute to an error about it.
func at(err error, attribute string) error {
	var e *sdk.Error
	if errors.As(err, &e) && e.Path == nil {
		e.Path = sdk.At(attribute)
	}
	return err
}
