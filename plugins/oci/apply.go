package oci

import (
	"context"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/internal/build"
	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

type (
	applyRequest   = sdk.ApplyRequest[Config, Outputs]
	destroyRequest = sdk.DestroyRequest[Config, Outputs]
	result         = sdk.Result[Outputs]
)

// Apply packs and pushes what was planned, or takes over what is pushed already.
func (builder) Apply(ctx context.Context, r applyRequest) (result, error) {
	res, err := build.Apply(ctx, build.Order{
		Action: r.Action, Planned: r.Planned.BuildOutputs, Private: r.Private, Format: format,
		Repository: r.Config.Repository, Insecure: r.Config.Insecure, Overwrite: r.Config.Overwrite,
		Save: func(o sdk.BuildOutputs, private []byte) error {
			return sdk.Save(ctx, result{Outputs: Outputs{o}, Private: private})
		},
		Make: func(ctx context.Context, _ name.Repository, reviewed *build.Record, label registry.Label) (v1.ImageIndex, error) {
			return pack(ctx, r, reviewed, label)
		},
	})
	return result{Outputs: Outputs{res.Outputs}, Private: res.Private}, err
}

func pack(ctx context.Context, r applyRequest, reviewed *build.Record, label registry.Label) (v1.ImageIndex, error) {
	in, err := gather(ctx, r.Config, reviewed.Bases[r.Config.Base])
	if err != nil {
		return nil, err
	}
	if in.key != r.Planned.Key {
		return nil, &sdk.Error{
			Summary: "the files or settings have changed since the plan was made",
			Hint:    "plan again", Code: "oci.stale",
		}
	}
	return in.index(ctx, r.Config, label)
}

// Destroy leaves the images in the registry unless delete_on_destroy is set.
func (builder) Destroy(ctx context.Context, r destroyRequest) error {
	return build.Destroy(ctx, build.Removal{
		Outputs: r.Prior.Outputs.BuildOutputs, Private: r.Prior.Private, Format: format,
		Insecure: r.Config.Insecure, DeleteTags: r.Config.DeleteOnDestroy, Transferred: r.Transferred,
	})
}
