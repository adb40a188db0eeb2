package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	registry "github.com/davit-sh/davit/plugins/internal/oci"
	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

type (
	applyRequest   = sdk.ApplyRequest[Config, Outputs]
	destroyRequest = sdk.DestroyRequest[Config, Outputs]
	result         = sdk.Result[Outputs]
)

// Apply builds and pushes what was planned, or takes over what is pushed already. The key tag is set
// last: a build without it was cut off, and is found by its tag and finished.
func (build) Apply(ctx context.Context, r applyRequest) (result, error) {
	repo, err := registry.Repository(r.Config.Repository, r.Config.Insecure)
	if err != nil {
		return result{}, at(err, "repository")
	}
	reviewed := decodeRecord(r.Private)
	if reviewed == nil {
		return result{}, &sdk.Error{Summary: "the plan was made by another version of this plugin", Hint: "plan again"}
	}
	var digest string
	switch {
	case reviewed.Relabels != "":
		digest, err = pushAgain(ctx, r, repo, reviewed)
	case r.Action == sdk.ActionAdopt:
		digest, err = putBack(ctx, r, repo)
	default:
		digest, err = buildAndPush(ctx, r, repo, reviewed)
	}
	if err != nil {
		return result{}, err
	}
	o := r.Planned
	if want, known := o.Digest.Get(); known && want != digest {
		return result{}, fmt.Errorf("the registry has %s, and the plan says %s: plan again", digest, want)
	}
	done := newOutputs(o.Repository, o.Tag, digest, o.Key, o.Revision, o.Platforms)
	if err := sdk.Save(ctx, result{Outputs: done, Private: reviewed.encode()}); err != nil {
		return result{}, fmt.Errorf("saving what was pushed: %w", err)
	}
	if err := registry.Tag(ctx, repo, digest, registry.KeyTag(o.Key)); err != nil {
		return result{}, err
	}
	for _, p := range o.Platforms {
		sdk.ItemStatus(ctx, p, "applied", "")
	}
	reviewed.Finished, reviewed.Relabels = true, ""
	return result{Outputs: done, Private: reviewed.encode()}, nil
}

func buildAndPush(ctx context.Context, r applyRequest, repo name.Repository, reviewed *record) (string, error) {
	in, err := gather(ctx, r.Config, reviewed.Base)
	if err != nil {
		return "", err
	}
	if in.key != r.Planned.Key {
		return "", &sdk.Error{
			Summary: "the files or settings are not those of the plan any more",
			Hint:    "plan again", Code: "oci.stale",
		}
	}
	index, err := in.index(ctx, r.Config)
	if err != nil {
		return "", err
	}
	return push(ctx, r, repo, index)
}

func pushAgain(ctx context.Context, r applyRequest, repo name.Repository, reviewed *record) (string, error) {
	index, err := registry.Relabel(ctx, repo, reviewed.Relabels, registry.Label{
		Key: r.Planned.Key, Tag: r.Planned.Tag, Revision: r.Planned.Revision, Created: reviewed.Time,
	})
	if err != nil {
		return "", err
	}
	return push(ctx, r, repo, index)
}

// push looks at the tag once more: since the plan somebody may have pushed to it.
func push(ctx context.Context, r applyRequest, repo name.Repository, index v1.ImageIndex) (string, error) {
	if !r.Config.Overwrite {
		if _, err := registry.TagFree(ctx, repo, r.Planned.Tag, r.Planned.Key); err != nil {
			return "", err
		}
	}
	sdk.Log(ctx, "push", repo.Name()+":"+r.Planned.Tag)
	digest, err := registry.Push(ctx, repo, r.Planned.Tag, index)
	if err != nil {
		return "", err
	}
	sdk.Log(ctx, "push", "pushed "+digest)
	return digest, nil
}

// putBack makes sure that what is adopted is in the registry under its tag.
func putBack(ctx context.Context, r applyRequest, repo name.Repository) (string, error) {
	want, known := r.Planned.Digest.Get()
	if !known {
		return "", errors.New("the plan adopts an image without a digest: plan again")
	}
	there, err := registry.Look(ctx, repo, r.Planned.Tag)
	switch {
	case err != nil:
		return "", err
	case there != nil && there.Digest == want:
		return want, nil
	case there != nil && !r.Config.Overwrite:
		return "", movedTag(r.Planned.Repository, r.Planned.Tag)
	}
	return want, registry.Tag(ctx, repo, want, r.Planned.Tag)
}

// Destroy leaves the images in the registry unless delete_on_destroy is set. Then it deletes the tag, if it still
// holds this build, and the key tag.
func (build) Destroy(ctx context.Context, r destroyRequest) error {
	was := r.Prior.Outputs
	if !r.Config.DeleteOnDestroy {
		sdk.Log(ctx, "destroy", was.Repository+":"+was.Tag+" stays in the registry")
		return nil
	}
	repo, err := registry.Repository(was.Repository, r.Config.Insecure)
	if err != nil {
		return err
	}
	// The key tag goes first: a build that is found by its key but has no tag would be put back.
	for _, tag := range []string{registry.KeyTag(was.Key), was.Tag} {
		if err := deleteTag(ctx, repo, tag, was.Digest.OrZero()); err != nil {
			return err
		}
	}
	return nil
}

// deleteTag deletes a tag if it points to digest. Registries that delete no tags are asked to delete the
// digest, which is this build's alone: its annotations make it so.
func deleteTag(ctx context.Context, repo name.Repository, tag, digest string) error {
	there, err := registry.Digest(ctx, repo.Tag(tag))
	if registry.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if there != digest {
		sdk.Log(ctx, "destroy", tag+" holds another image and stays")
		return nil
	}
	options := registry.Options(ctx, repo)
	err = remote.Delete(repo.Tag(tag), options...)
	if unsupported(err) {
		err = remote.Delete(repo.Digest(digest), options...)
	}
	if err == nil || registry.IsNotFound(err) {
		return nil
	}
	if unsupported(err) {
		return &sdk.Error{
			Summary: fmt.Sprintf("the registry does not let %s:%s be deleted", repo.Name(), tag), Err: err,
			Hint: "allow deletion in the registry, or set delete_on_destroy = false", Code: "registry.no_delete",
		}
	}
	return registry.Diagnose(err, "deleting", repo.Name()+":"+tag)
}

func unsupported(err error) bool {
	var answered *transport.Error
	return errors.As(err, &answered) && (answered.StatusCode == http.StatusMethodNotAllowed || answered.StatusCode == http.StatusBadRequest)
}

// at puts the place in the configuration in front of an error's own.
func at(err error, path ...any) error {
	var e *sdk.Error
	if errors.As(err, &e) {
		e.Path = append(append([]any{}, path...), e.Path...)
	}
	return err
}
