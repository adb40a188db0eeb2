package oci

import (
	"context"
	"fmt"
	"slices"
	"strings"

	registry "github.com/davit-sh/davit/plugins/internal/oci"
	"github.com/davit-sh/davit/sdk"
	"github.com/dustin/go-humanize"
	"github.com/google/go-containerregistry/pkg/name"
)

type (
	planRequest = sdk.PlanRequest[Config, Outputs]
	planResult  = sdk.PlanResult[Outputs]
)

// planning is one call of Plan.
type planning struct {
	planRequest
	repo   name.Repository
	in     *inputs
	now    *record
	before *record // of the prior result; nil when it has none
}

// Plan says whether there is something to build: not if the same inputs were built before, here or on another machine.
func (b build) Plan(ctx context.Context, r planRequest) (planResult, error) {
	if r.Destroy {
		return planDestroy(r), nil
	}
	if err := b.Validate(ctx, r.Config); err != nil {
		return planResult{}, err
	}
	p := planning{planRequest: r}
	var err error
	if p.repo, err = registry.Repository(r.Config.Repository, r.Config.Insecure); err != nil {
		return planResult{}, at(err, "repository")
	}
	pinned := ""
	if reviewed := decodeRecord(r.Private); reviewed != nil {
		pinned = reviewed.Base
	}
	if p.in, err = gather(ctx, r.Config, pinned); err != nil {
		return planResult{}, err
	}
	p.now = newRecord(r.Config, p.in)
	if r.Prior != nil {
		p.before = decodeRecord(r.Prior.Private)
	}
	return p.plan(ctx)
}

func (p *planning) plan(ctx context.Context) (planResult, error) {
	reasons := p.why()
	if p.unmoved() {
		there, err := p.stillThere(ctx)
		if err != nil {
			return planResult{}, err
		}
		if there {
			return planResult{Action: sdk.ActionNone, Outputs: p.Prior.Outputs, Private: p.Prior.Private}, nil
		}
		reasons = []string{fmt.Sprintf("%s:%s is not in the registry any more as it was pushed", p.Config.Repository, p.Prior.Outputs.Tag)}
	}
	found, err := p.find(ctx)
	if err != nil {
		return planResult{}, err
	}
	if found == nil {
		return p.build(ctx, reasons)
	}
	if p.isReturn(found) {
		return p.relabel(ctx, found)
	}
	return p.adopt(ctx, found)
}

// unmoved tells whether the prior result is of the same inputs and in the same place.
func (p *planning) unmoved() bool {
	return p.before != nil && p.before.Finished &&
		p.Prior.Outputs.Key == p.in.key && p.Prior.Outputs.Repository == p.Config.Repository
}

// stillThere tells whether the registry has the prior result under its tag.
func (p *planning) stillThere(ctx context.Context) (bool, error) {
	digest, err := registry.Digest(ctx, p.repo.Tag(p.Prior.Outputs.Tag))
	if registry.IsNotFound(err) {
		return false, nil
	}
	return err == nil && digest == p.Prior.Outputs.Digest.OrZero(), err
}

// find looks for a pushed build with the same key: by its key tag, or under the tag that an apply pushed
// before it was cut off and could not set the key tag.
func (p *planning) find(ctx context.Context) (*registry.Found, error) {
	found, err := registry.Find(ctx, p.repo, p.in.key)
	if err != nil || (found != nil && found.Tag != "") {
		return found, err
	}
	tags := []string{p.Config.Tag}
	if p.Prior != nil && p.Prior.Outputs.Key == p.in.key {
		tags = append(tags, p.Prior.Outputs.Tag)
	}
	for _, tag := range tags {
		found, err = registry.Look(ctx, p.repo, tag)
		if err != nil {
			return nil, err
		}
		if found != nil && found.Key == p.in.key {
			found.Tag = tag
			return found, nil
		}
	}
	return nil, nil
}

// isReturn tells whether the content went back to what an older build holds: a revert. Under
// the old tag, a policy that looks for the newest would go on choosing the version that was reverted.
func (p *planning) isReturn(found *registry.Found) bool {
	return p.before != nil && p.Prior.Outputs.Key != p.in.key && p.Prior.Outputs.Repository == p.Config.Repository &&
		found.Tag != p.Config.Tag && !found.Created.IsZero() && found.Created.Before(p.before.Time)
}

func (p *planning) relabel(ctx context.Context, found *registry.Found) (planResult, error) {
	if err := p.checkTag(ctx); err != nil {
		return planResult{}, err
	}
	index, err := registry.Relabel(ctx, p.repo, found.Digest, p.label())
	if err != nil {
		return planResult{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return planResult{}, fmt.Errorf("computing the digest of an index: %w", err)
	}
	p.now.Relabels = found.Digest
	return planResult{
		Action: sdk.ActionAdopt,
		Reasons: []string{fmt.Sprintf("the content went back to that of %s, which is older than %s: its images are pushed again as %s, without building",
			found.Tag, p.Prior.Outputs.Tag, p.Config.Tag)},
		Items:   p.items(sdk.ActionAdopt),
		Outputs: p.outputs(p.Config.Tag, digest.String(), p.Config.Source.Revision, found.Platforms),
		Private: p.now.encode(),
	}, nil
}

func (p *planning) label() registry.Label {
	return registry.Label{Key: p.in.key, Tag: p.Config.Tag, Revision: p.Config.Source.Revision, Created: sourceTime(p.Config)}
}

func (p *planning) adopt(ctx context.Context, found *registry.Found) (planResult, error) {
	reasons := []string{"already pushed as " + found.Tag + " by this content key"}
	there, err := registry.Look(ctx, p.repo, found.Tag)
	switch {
	case err != nil:
		return planResult{}, err
	case there == nil:
		reasons = append(reasons, "its tag "+found.Tag+" is gone and is put back")
	case there.Digest != found.Digest:
		if !p.Config.Overwrite {
			return planResult{}, movedTag(p.Config.Repository, found.Tag)
		}
		reasons = append(reasons, "its tag "+found.Tag+" was moved and is put back")
	}
	return planResult{
		Action: sdk.ActionAdopt, Reasons: reasons, Items: p.items(sdk.ActionAdopt),
		Outputs: p.outputs(found.Tag, found.Digest, found.Revision, found.Platforms),
		Private: p.now.encode(),
	}, nil
}

func movedTag(repository, tag string) error {
	return &sdk.Error{
		Summary: fmt.Sprintf("tag %s of %s does not hold the build any more that was pushed under it", tag, repository),
		Detail:  "The same content was built before and pushed under this tag. Since then the tag was moved to another image.",
		Hint:    "set overwrite = true to move it back, or delete the tag",
		Code:    "registry.tag_taken", Path: sdk.At("tag"),
	}
}

func (p *planning) build(ctx context.Context, reasons []string) (planResult, error) {
	if err := p.checkTag(ctx); err != nil {
		return planResult{}, err
	}
	if len(p.in.unmatched) > 0 {
		reasons = append(reasons, "no file matches the trigger "+strings.Join(p.in.unmatched, ", "))
	}
	return planResult{
		Action: sdk.ActionBuild, Reasons: reasons, Items: p.items(sdk.ActionBuild),
		Outputs: p.outputs(p.Config.Tag, "", p.Config.Source.Revision, p.in.platforms),
		Private: p.now.encode(),
	}, nil
}

// checkTag refuses to move a tag, unless that is wanted.
func (p *planning) checkTag(ctx context.Context) error {
	if p.Config.Overwrite {
		return nil
	}
	_, err := registry.TagFree(ctx, p.repo, p.Config.Tag, p.in.key)
	return err
}

// why says why the inputs are others than before.
func (p *planning) why() []string {
	if p.Prior == nil {
		return []string{"first build"}
	}
	was := p.Prior.Outputs
	var reasons []string
	if was.Repository != p.Config.Repository {
		reasons = append(reasons, fmt.Sprintf("the repository is %s, not %s any more", p.Config.Repository, was.Repository))
	}
	if !slices.Equal(was.Platforms, p.in.platforms) {
		reasons = append(reasons, fmt.Sprintf("platforms changed from %s to %s", strings.Join(was.Platforms, ", "), strings.Join(p.in.platforms, ", ")))
	}
	reasons = append(reasons, p.now.changes(p.before, p.Config.Base)...)
	switch {
	case len(reasons) > 0:
		return reasons
	case p.before != nil && !p.before.Finished:
		return []string{"the last build was not finished"}
	}
	return []string{"the inputs changed"}
}

// outputs are the outputs as they will be; an empty digest is not known yet.
func (p *planning) outputs(tag, digest, revision string, platforms []string) Outputs {
	o := newOutputs(p.Config.Repository, tag, digest, p.in.key, revision, platforms)
	if digest == "" {
		o.Digest = sdk.UnknownPrefix("sha256:")
		o.Ref = sdk.UnknownPrefix(p.Config.Repository + ":" + tag + "@sha256:")
	}
	return o
}

func newOutputs(repository, tag, digest, key, revision string, platforms []string) Outputs {
	return Outputs{sdk.BuildOutputs{
		Repository: repository, Tag: tag, Key: key, Revision: revision, Platforms: platforms,
		Digest: sdk.Known(digest), Ref: sdk.Known(repository + ":" + tag + "@" + digest),
	}}
}

func (p *planning) items(action sdk.Action) []sdk.Item {
	var items []sdk.Item
	for _, platform := range p.in.platforms {
		item := sdk.Item{Key: platform, Kind: "platform", Name: platform, Action: action}
		if action == sdk.ActionBuild {
			item.Note = p.in.describe(platform)
		}
		items = append(items, item)
	}
	return items
}

// describe says what a platform's image is made of: "14 files, 31 kB in 2 layers".
func (in *inputs) describe(platform string) string {
	layers, files, size := 0, 0, int64(0)
	for _, l := range in.layers {
		if len(l.platforms) > 0 && !slices.Contains(l.platforms, platform) {
			continue
		}
		layers++
		for _, f := range l.files {
			files++
			size += f.Size
		}
	}
	s := fmt.Sprintf("%s, %s", plural(files, "file"), humanize.Bytes(uint64(max(size, 0))))
	if layers != 1 {
		s += " in " + plural(layers, "layer")
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func planDestroy(r planRequest) planResult {
	var was Outputs
	config := r.Config
	if r.Prior != nil {
		was = r.Prior.Outputs
	}
	what := was.Repository + ":" + was.Tag
	item := sdk.Item{Key: what, Kind: "tag", Name: what, Action: sdk.ActionDelete}
	if !config.DeleteOnDestroy {
		item.Action = sdk.ActionNone
		item.Note = "stays in the registry, where others may run it (delete_on_destroy is not set)"
	}
	return planResult{Action: sdk.ActionDelete, Items: []sdk.Item{item}}
}
