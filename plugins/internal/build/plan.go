// Package build is what the plugins that build images share: whether there is something to build,
// why, under which tag, and how what was built is found again by its content key.
package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
)

// Wish is what a configuration asks for.
type Wish struct {
	Repository, Tag     string
	Insecure, Overwrite bool
	Source              sdk.SourceRef
	Key                 string   // content key, "sha256:<hex>"
	Platforms           []string // sorted
	Inputs              Inputs
	Unmatched           []string                     // triggers that match nothing
	Describe            func(platform string) string // a note for people
}

// Prior is what state has of a build.
type Prior struct {
	Outputs sdk.BuildOutputs
	Private []byte
}

// Result is a plan of a build.
type Result = sdk.PlanResult[sdk.BuildOutputs]

// planning is one call of Plan.
type planning struct {
	Wish
	repo   name.Repository
	prior  *Prior
	now    *Record
	before *Record // of the prior result; nil when it has none
}

// Plan says whether there is something to build: not if the same inputs were built before, here or on another machine.
// prior is nil when state knows nothing of it.
func Plan(ctx context.Context, w Wish, prior *Prior) (Result, error) {
	p := planning{Wish: w, prior: prior, now: newRecord(w.Inputs, w.Source)}
	var err error
	if p.repo, err = registry.Repository(w.Repository, w.Insecure); err != nil {
		return Result{}, At(err, sdk.At("repository"))
	}
	if prior != nil {
		p.before = Decode(prior.Private, w.Inputs.Format)
	}
	return p.plan(ctx)
}

func (p *planning) plan(ctx context.Context) (Result, error) {
	why := p.why()
	if p.unmoved() {
		there, err := p.stillThere(ctx)
		if err != nil {
			return Result{}, err
		}
		if there {
			return Result{Action: sdk.ActionNone, Outputs: p.prior.Outputs, Private: p.prior.Private, Claims: p.claims(p.prior.Outputs.Tag, p.before.Shared)}, nil
		}
		why = because(sdk.CauseDrift, fmt.Sprintf("%s:%s was deleted or changed in the registry", p.Repository, p.prior.Outputs.Tag))
	}
	found, err := p.find(ctx)
	if err != nil {
		return Result{}, err
	}
	if found == nil {
		return p.build(ctx, why)
	}
	if p.isReturn(found) {
		return p.relabel(ctx, found, why)
	}
	return p.adopt(ctx, found, why)
}

// unmoved tells whether the prior result is of the same inputs and in the same place.
func (p *planning) unmoved() bool {
	return p.before != nil && p.before.Finished &&
		p.prior.Outputs.Key == p.Key && p.prior.Outputs.Repository == p.Repository
}

// stillThere tells whether the registry has the prior result under its tag.
func (p *planning) stillThere(ctx context.Context) (bool, error) {
	digest, err := registry.Digest(ctx, p.repo.Tag(p.prior.Outputs.Tag))
	if registry.IsNotFound(err) {
		return false, nil
	}
	return err == nil && digest == p.prior.Outputs.Digest.OrZero(), err
}

// find looks for a pushed build with the same key: by its key tag, or under the tag that an apply pushed
// before it was cut off and could not set the key tag.
func (p *planning) find(ctx context.Context) (*registry.Found, error) {
	found, err := registry.Find(ctx, p.repo, p.Key)
	if err != nil || (found != nil && found.Tag != "") {
		return found, err
	}
	tags := []string{p.Tag}
	if p.prior != nil && p.prior.Outputs.Key == p.Key {
		tags = append(tags, p.prior.Outputs.Tag)
	}
	for _, tag := range tags {
		found, err = registry.Look(ctx, p.repo, tag)
		if err != nil {
			return nil, err
		}
		if found != nil && found.Key == p.Key {
			found.Tag = tag
			return found, nil
		}
	}
	return nil, nil
}

// isReturn tells whether the content went back to what an older build holds: a revert. Under
// the old tag, a policy that looks for the newest would go on choosing the version that was reverted.
func (p *planning) isReturn(found *registry.Found) bool {
	return p.before != nil && p.prior.Outputs.Key != p.Key && p.prior.Outputs.Repository == p.Repository &&
		found.Tag != p.Tag && !found.Created.IsZero() && found.Created.Before(p.before.Time)
}

func (p *planning) relabel(ctx context.Context, found *registry.Found, why explanation) (Result, error) {
	if err := p.checkTag(ctx); err != nil {
		return Result{}, err
	}
	index, err := registry.Relabel(ctx, p.repo, found.Digest, p.label())
	if err != nil {
		return Result{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return Result{}, fmt.Errorf("computing the digest of an index: %w", err)
	}
	p.now.Relabels = found.Digest
	return Result{
		Action: sdk.ActionAdopt, Causes: why.causes, Claims: p.claims(p.Tag, false),
		Reasons: []string{fmt.Sprintf("the content is again that of %s, which is older than %s: its image is pushed as %s without a build",
			found.Tag, p.prior.Outputs.Tag, p.Tag)},
		Items:   p.items(sdk.ActionAdopt),
		Outputs: p.outputs(p.Tag, digest.String(), p.Source.Revision, found.Platforms),
		Private: p.now.encode(),
	}, nil
}

func (p *planning) label() registry.Label {
	return registry.Label{Key: p.Key, Tag: p.Tag, Revision: p.Source.Revision, Created: sourceTime(p.Source)}
}

// adopt takes over what is pushed already. Under another tag than the configured one, another build may have pushed it and
// own the tag: it is shared, and not claimed.
func (p *planning) adopt(ctx context.Context, found *registry.Found, why explanation) (Result, error) {
	reasons := []string{"already pushed as " + found.Tag + " with this content key"}
	there, err := registry.Look(ctx, p.repo, found.Tag)
	switch {
	case err != nil:
		return Result{}, err
	case there == nil:
		reasons = append(reasons, "its tag "+found.Tag+" was deleted and will be restored")
	case there.Digest != found.Digest:
		if !p.Overwrite {
			return Result{}, movedTag(p.Repository, found.Tag)
		}
		reasons = append(reasons, "its tag "+found.Tag+" was moved and will be moved back")
	}
	p.now.Shared = found.Tag != p.Tag && (p.prior == nil || found.Tag != p.prior.Outputs.Tag || p.before != nil && p.before.Shared)
	return Result{
		Action: sdk.ActionAdopt, Reasons: reasons, Causes: why.causes, Claims: p.claims(found.Tag, p.now.Shared), Items: p.items(sdk.ActionAdopt),
		Outputs: p.outputs(found.Tag, found.Digest, found.Revision, found.Platforms),
		Private: p.now.encode(),
	}, nil
}

func movedTag(repository, tag string) error {
	return &sdk.Error{
		Summary: fmt.Sprintf("tag %s of %s no longer points to the build that was pushed under it", tag, repository),
		Detail:  "The same content was built before and pushed under this tag. Later, the tag was moved to another image.",
		Hint:    "set overwrite = true to move it back, or delete the tag",
		Code:    "registry.tag_taken", Path: sdk.At("tag"),
	}
}

func (p *planning) build(ctx context.Context, why explanation) (Result, error) {
	if err := p.checkTag(ctx); err != nil {
		return Result{}, err
	}
	if len(p.Unmatched) > 0 {
		why.reasons = append(why.reasons, "no file matches the trigger "+strings.Join(p.Unmatched, ", "))
	}
	return Result{
		Action: sdk.ActionBuild, Reasons: why.reasons, Causes: why.causes, Claims: p.claims(p.Tag, false), Items: p.items(sdk.ActionBuild),
		Outputs: p.outputs(p.Tag, "", p.Source.Revision, p.Platforms),
		Private: p.now.encode(),
	}, nil
}

// checkTag refuses to move a tag, unless that is wanted.
func (p *planning) checkTag(ctx context.Context) error {
	if p.Overwrite {
		return nil
	}
	_, err := registry.TagFree(ctx, p.repo, p.Tag, p.Key)
	return err
}

// claims returns the claim of the tag that the build owns. A shared tag is another build's.
func (p *planning) claims(tag string, shared bool) []sdk.Claim {
	if shared {
		return nil
	}
	return []sdk.Claim{claim(p.repo, tag)}
}

func claim(repo name.Repository, tag string) sdk.Claim { return sdk.ImageClaim(repo.Name(), tag) }

// why explains why the inputs are others than before.
func (p *planning) why() explanation {
	if p.prior == nil {
		return because(sdk.CauseNew, "it has not been built before")
	}
	was := p.prior.Outputs
	var e explanation
	if was.Repository != p.Repository {
		e.add(sdk.CauseConfig, fmt.Sprintf("the repository is %s, not %s any more", p.Repository, was.Repository))
	}
	if !slices.Equal(was.Platforms, p.Platforms) {
		e.add(sdk.CauseConfig, fmt.Sprintf("platforms changed from %s to %s", strings.Join(was.Platforms, ", "), strings.Join(p.Platforms, ", ")))
	}
	p.now.changes(p.before, &e)
	switch {
	case len(e.reasons) > 0:
		return e
	case p.before != nil && !p.before.Finished:
		return because(sdk.CauseRetry, "the last build was not finished")
	}
	return because(sdk.CauseBuild, "the inputs changed")
}

// outputs are the outputs as they will be; an empty digest is not known yet.
func (p *planning) outputs(tag, digest, revision string, platforms []string) sdk.BuildOutputs {
	o := newOutputs(p.Repository, tag, digest, p.Key, revision, platforms)
	if digest == "" {
		o.Digest = sdk.UnknownPrefix("sha256:")
		o.Ref = sdk.UnknownPrefix(p.Repository + ":" + tag + "@sha256:")
	}
	return o
}

func newOutputs(repository, tag, digest, key, revision string, platforms []string) sdk.BuildOutputs {
	return sdk.BuildOutputs{
		Repository: repository, Tag: tag, Key: key, Revision: revision, Platforms: platforms,
		Digest: sdk.Known(digest), Ref: sdk.Known(repository + ":" + tag + "@" + digest),
	}
}

func (p *planning) items(action sdk.Action) []sdk.Item {
	var items []sdk.Item
	for _, platform := range p.Platforms {
		item := sdk.Item{Key: platform, Kind: "platform", Name: platform, Action: action}
		if action == sdk.ActionBuild {
			item.Note = p.Describe(platform)
		}
		items = append(items, item)
	}
	return items
}

// PlanDestroy says what destroying a build does to what was pushed: nothing, unless deleteTag is set. The record is
// forgotten then.
func PlanDestroy(was sdk.BuildOutputs, private []byte, format int, deleteTag bool) Result {
	what := was.Repository + ":" + was.Tag
	item := sdk.Item{Key: what, Kind: "tag", Name: what, Action: sdk.ActionNone}
	res := Result{Action: sdk.ActionForget, Causes: []sdk.Cause{sdk.CauseRemoved}}
	switch r := Decode(private, format); {
	case was.Repository == "":
		return Result{Action: sdk.ActionDelete, Causes: res.Causes}
	case !deleteTag:
		res.Reasons = []string{what + " stays in the registry: delete_on_destroy is not set"}
		item.Note = "stays in the registry, where others may use it"
	case r != nil && r.Shared:
		res.Reasons = []string{what + " stays in the registry: another build may own the tag"}
		item.Note = "stays in the registry: it was pushed under this tag before this build took it over"
	default:
		res.Action, item.Action, item.Causes = sdk.ActionDelete, sdk.ActionDelete, res.Causes
		if repo, err := registry.Repository(was.Repository, true); err == nil {
			item.Claim = claim(repo, was.Tag)
		}
	}
	res.Items = []sdk.Item{item}
	return res
}

// At puts the place in the configuration in front of an error's own.
func At(err error, path sdk.Path) error {
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		e.Path = path.Join(e.Path)
	}
	return err
}
