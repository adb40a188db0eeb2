package registry

import (
	"context"
	"errors"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/poll"
	"github.com/davit-sh/davit/sdk"
)

type imageConfig struct {
	Repository string   `davit:"repository" doc:"The repository, without a tag: registry.example.com/team/name."`
	Exclude    []string `davit:"exclude,optional" doc:"Regular expressions (RE2) of tags that are left out. They are not anchored: write ^ and $."`
	Insecure   bool     `davit:"insecure,optional" doc:"Allow plain HTTP to a registry on another machine."`
}

type imageOutputs struct {
	sdk.ImageOutputs
	Exists bool `davit:"exists" doc:"Whether the registry has this repository. One that a build is yet to push to does not exist."`
}

type image struct {
	hub     poll.Hub[listing]
	tracker tracker
}

// Validate checks the repository's name and the patterns.
func (*image) Validate(_ context.Context, c imageConfig) error {
	_, err := oci.Repository(c.Repository, c.Insecure)
	_, bad := compileExclude(c.Exclude)
	return findings(at(err, "repository"), bad)
}

// Observe lists the tags: all but those of davit's own, of signatures and the like, and those that are excluded. A repository that does
// not exist has none: its first build will make it.
func (i *image) Observe(ctx context.Context, r sdk.ObserveRequest[imageConfig, imageOutputs]) (imageOutputs, error) {
	c := r.Config
	out := imageOutputs{ImageOutputs: sdk.ImageOutputs{Repository: c.Repository, Tags: []string{}}}
	repo, err := oci.Repository(c.Repository, c.Insecure)
	if err != nil {
		return out, at(err, "repository")
	}
	excluded, err := compileExclude(c.Exclude)
	if err != nil {
		return out, err
	}
	tags, err := oci.Tags(ctx, repo)
	if err != nil && !oci.IsNotFound(err) {
		return out, err
	}
	out.Exists = err == nil
	shown := visible(tags)
	id := poll.ID(ctx, r.Address)
	i.hub.Note(id, i.tracker.listed(id, c.key(), digestOf(shown)))
	out.Tags = slices.DeleteFunc(shown, func(t string) bool { return excluded.by(t) != "" })
	return out, nil
}

// Resolve looks at one tag, as far as it is asked to.
func (i *image) Resolve(ctx context.Context, r sdk.ResolveRequest[imageConfig]) (sdk.Resolved, error) {
	c, tag := r.Config, r.Tag
	repo, err := oci.Repository(c.Repository, c.Insecure)
	if err != nil {
		return sdk.Resolved{}, at(err, "repository")
	}
	if err := oci.CheckTag(tag); err != nil {
		return sdk.Resolved{}, err
	}
	out, err := lookAt(ctx, repo, tag, r.Look)
	if err != nil {
		return sdk.Resolved{}, err
	}
	id := poll.ID(ctx, r.Address)
	if part, ok := i.tracker.resolved(id, tag, out.Digest); ok {
		i.hub.Note(id, part)
	}
	return out, nil
}

// lookAt asks a registry about a tag, as far as look says.
func lookAt(ctx context.Context, repo name.Repository, tag string, look sdk.Look) (sdk.Resolved, error) {
	if look == sdk.LookDigest {
		digest, err := oci.DigestOf(ctx, repo, tag)
		return sdk.Resolved{Digest: digest}, err
	}
	desc, err := oci.Get(ctx, repo, tag)
	if err != nil {
		return sdk.Resolved{}, err
	}
	what := repo.Name() + ":" + tag
	out := sdk.Resolved{Digest: desc.Digest.String()}
	if out.Artifact, err = oci.Artifact(desc); err != nil {
		return sdk.Resolved{}, oci.Diagnose(err, "reading", what)
	}
	if look == sdk.LookArtifact || out.Artifact != "" {
		return out, nil
	}
	if out.Platforms, err = oci.Platforms(desc); err != nil {
		return sdk.Resolved{}, oci.Diagnose(err, "reading", what)
	}
	if out.Created, err = oci.Created(desc); err != nil {
		return sdk.Resolved{}, oci.Diagnose(err, "reading", what)
	}
	return out, nil
}

// at puts the attribute to an error about it.
func at(err error, attribute string) error {
	var e *sdk.Error
	if errors.As(err, &e) && e.Path == nil {
		e.Path = sdk.At(attribute)
	}
	return err
}
