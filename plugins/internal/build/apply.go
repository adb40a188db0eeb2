package build

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Order is a planned build to carry out.
type Order struct {
	Action     sdk.Action
	Planned    sdk.BuildOutputs
	Private    []byte // Result.Private
	Repository string
	Insecure   bool
	Overwrite  bool
	Format     int // Inputs.Format
	// Save keeps the result so far: see sdk.Save.
	Save func(outputs sdk.BuildOutputs, private []byte) error
	// Make builds and returns the index, labelled. Nothing of it needs to be in the registry yet.
	// reviewed has the bases that the plan pinned.
	Make func(ctx context.Context, repo name.Repository, reviewed *Record, label registry.Label) (v1.ImageIndex, error)
}

// Apply builds and pushes what was planned, or takes over what is pushed already. The key tag is set
// last: a build without it was cut off, and is found by its tag and finished.
func Apply(ctx context.Context, o Order) (sdk.Result[sdk.BuildOutputs], error) {
	none := sdk.Result[sdk.BuildOutputs]{}
	repo, err := registry.Repository(o.Repository, o.Insecure)
	if err != nil {
		return none, At(err, sdk.At("repository"))
	}
	reviewed := Decode(o.Private, o.Format)
	if reviewed == nil {
		return none, &sdk.Error{Summary: "the plan was made by another version of this plugin", Hint: "plan again"}
	}
	digest, err := o.carryOut(ctx, repo, reviewed)
	if err != nil {
		return none, err
	}
	p := o.Planned
	if want, known := p.Digest.Get(); known && want != digest {
		return none, fmt.Errorf("the registry contains %s, but the plan expects %s: plan again", digest, want)
	}
	done := newOutputs(p.Repository, p.Tag, digest, p.Key, p.Revision, p.Platforms)
	if err := o.Save(done, reviewed.encode()); err != nil {
		return none, fmt.Errorf("saving the pushed image in state: %w", err)
	}
	if err := registry.Tag(ctx, repo, digest, registry.KeyTag(p.Key)); err != nil {
		return none, err
	}
	for _, platform := range p.Platforms {
		sdk.ItemStatus(ctx, platform, "applied", "")
	}
	reviewed.Finished, reviewed.Relabels = true, ""
	return sdk.Result[sdk.BuildOutputs]{Outputs: done, Private: reviewed.encode()}, nil
}

func (o Order) carryOut(ctx context.Context, repo name.Repository, reviewed *Record) (string, error) {
	label := registry.Label{Key: o.Planned.Key, Tag: o.Planned.Tag, Revision: o.Planned.Revision, Created: reviewed.Time}
	var index v1.ImageIndex
	var err error
	switch {
	case reviewed.Relabels != "":
		index, err = registry.Relabel(ctx, repo, reviewed.Relabels, label)
	case o.Action == sdk.ActionAdopt:
		return o.putBack(ctx, repo)
	default:
		index, err = o.Make(ctx, repo, reviewed, label)
	}
	if err != nil {
		return "", err
	}
	return o.push(ctx, repo, index)
}

// push looks at the tag once more: since the plan somebody may have pushed to it.
func (o Order) push(ctx context.Context, repo name.Repository, index v1.ImageIndex) (string, error) {
	if !o.Overwrite {
		if _, err := registry.TagFree(ctx, repo, o.Planned.Tag, o.Planned.Key); err != nil {
			return "", err
		}
	}
	sdk.Log(ctx, "push", repo.Name()+":"+o.Planned.Tag)
	digest, err := registry.Push(ctx, repo, o.Planned.Tag, index)
	if err != nil {
		return "", err
	}
	sdk.Log(ctx, "push", "pushed "+digest)
	return digest, nil
}

// putBack makes sure that what is adopted is in the registry under its tag.
func (o Order) putBack(ctx context.Context, repo name.Repository) (string, error) {
	want, known := o.Planned.Digest.Get()
	if !known {
		return "", errors.New("the plan adopts an image without a digest: plan again")
	}
	there, err := registry.Look(ctx, repo, o.Planned.Tag)
	switch {
	case err != nil:
		return "", err
	case there != nil && there.Digest == want:
		return want, nil
	case there != nil && !o.Overwrite:
		return "", movedTag(o.Planned.Repository, o.Planned.Tag)
	}
	return want, registry.Tag(ctx, repo, want, o.Planned.Tag)
}

// Removal is a planned deletion to carry out.
type Removal struct {
	Outputs     sdk.BuildOutputs // of the record
	Private     []byte           // of the record
	Format      int              // Inputs.Format
	Insecure    bool
	DeleteTags  bool
	Transferred []sdk.Claim
}

// Destroy leaves the images in the registry unless DeleteTags is set. Then it deletes the tag, if it still
// holds this build, and the key tag. A tag that another build owns or takes over stays.
func Destroy(ctx context.Context, r Removal) error {
	was := r.Outputs
	repo, err := registry.Repository(was.Repository, r.Insecure)
	if err != nil {
		return err
	}
	shared := false
	if rec := Decode(r.Private, r.Format); rec != nil {
		shared = rec.Shared
	}
	if !r.DeleteTags || shared || slices.Contains(r.Transferred, claim(repo, was.Tag)) {
		sdk.Log(ctx, "destroy", was.Repository+":"+was.Tag+" stays in the registry")
		return nil
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
		sdk.Log(ctx, "destroy", tag+" points to another image, so it stays")
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
			Summary: fmt.Sprintf("the registry does not allow deletion of %s:%s", repo.Name(), tag), Err: err,
			Hint: "allow deletion in the registry, or set delete_on_destroy = false", Code: "registry.no_delete",
		}
	}
	return registry.Diagnose(err, "deleting", repo.Name()+":"+tag)
}

func unsupported(err error) bool {
	var answered *transport.Error
	return errors.As(err, &answered) && (answered.StatusCode == http.StatusMethodNotAllowed || answered.StatusCode == http.StatusBadRequest)
}
