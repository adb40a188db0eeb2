package look

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/choose"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
)

// policy is the contract of policies: a choice among the tags of an image. It looks at nothing, but for the digest of what it chose.
type policy struct{ observing }

// outputs implements observed.
func (policy) outputs(ctx context.Context, r *Planner, in *Finding, pinned *plan.Observation) (cty.Value, hcl.Diagnostics) {
	return r.askPolicy(ctx, in, pinned)
}

// askPolicy has a policy choose a tag and finds the digest behind it.
func (r *Planner) askPolicy(ctx context.Context, in *Finding, pinned *plan.Observation) (cty.Value, hcl.Diagnostics) {
	t := in.Node.Type
	image, diags := r.imageOf(in)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	failed, diags := r.fallsBack(image, pinnedTag(pinned))
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	if v, ok := types.Whole(outputsIn(pinned), t); ok && failed == "" {
		in.Observation.Reasons, in.Observation.Rejected = pinned.Reasons, pinned.Rejected
		return v, nil
	}
	tags := image.Output("tags")
	if tags, _ = tags.Unmark(); !tags.IsWhollyKnown() || !in.known() {
		in.Observation.Reasons = []string{"the tags of " + image.Addr.String() + " are not known yet"}
		return t.UnknownOutputs(), nil
	}
	from, diags := r.choosesFrom(image)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	if failed != "" {
		return r.withoutBuild(ctx, in, from, failed, types.Texts(tags))
	}
	chooser, p := r.chooser(), r.chooses(in)
	choice := &choose.Choice{Tag: pinnedTag(pinned)}
	if choice.Tag == "" {
		choice, diags = chooser.Choose(ctx, p, from, types.Texts(tags))
	} else {
		choice.Reason, choice.Rejected = strings.Join(pinned.Reasons, "; "), pinned.Rejected
		choice.Digest, diags = chooser.Digest(ctx, p, from, choice.Tag)
	}
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	in.Observation.Reasons, in.Observation.Rejected = []string{choice.Reason}, choice.Rejected
	return choice.Outputs(t, from), diags
}

// chooser asks the plugins of this run.
func (r *Planner) chooser() *choose.Chooser {
	return &choose.Chooser{Services: r.Services, Looks: &r.Found.tags}
}

// chooses returns a policy with what state has of its choice.
func (r *Planner) chooses(in *Finding) *choose.Policy {
	p := &choose.Policy{Instance: in.Instance, Config: in.Config, Current: r.chosenBefore(in)}
	if in.Observation == nil {
		return p
	}
	if before, ok := types.Whole(in.Observation.Before, in.Node.Type); ok {
		p.Digest = types.Text(before.GetAttr("digest"))
		if r.recalls(in) {
			p.Trusted = choose.Held{Tag: types.Text(before.GetAttr("tag")), Digest: before.GetAttr("digest")}
		}
	}
	return p
}

// choosesFrom returns an image with what its builds push.
func (r *Planner) choosesFrom(image *Finding) (*choose.Image, hcl.Diagnostics) {
	builds, diags := r.builds(image)
	from := &choose.Image{Instance: image.Instance, Config: image.Config, Builds: map[string]cty.Value{}}
	for _, b := range slices.Backward(builds) { // the first of two counts
		from.Builds[b.tag] = b.digest
	}
	return from, diags
}

// pinnedTag is the tag that the reviewed plan chose, if it was known.
func pinnedTag(pinned *plan.Observation) string {
	if pinned == nil {
		return ""
	}
	v, err := pinned.Outputs.Cty()
	if err != nil {
		return ""
	}
	return types.Text(v.GetAttr("tag"))
}

// imageOf finds the image that a policy chooses from.
func (r *Planner) imageOf(in *Finding) (*Finding, hcl.Diagnostics) {
	arg, _ := in.Config.GetAttr(kinds.ImageOf).UnmarkDeep()
	at := in.Node.RangeOf(kinds.ImageOf)
	if arg.IsKnown() && !arg.IsNull() && arg.Type().IsObjectType() && arg.Type().HasAttribute(kinds.Address) {
		if a, err := addr.Parse(types.Text(arg.GetAttr(kinds.Address))); err == nil && a.Kind == kinds.Image {
			if image := r.Finding(a); image != nil {
				return image, nil
			}
		}
	}
	in.misused = true
	return nil, hcl.Diagnostics{diag.Errorf(at, "Not an image", "image of %s must be a whole image, such as image.registry.api.", in.Addr)}
}

// chosenBefore is the tag that state has as a policy's choice, "" if there is none.
func (r *Planner) chosenBefore(in *Finding) string {
	rec, ok := r.Records.Snapshot().Records[in.Addr.String()]
	if !ok {
		return ""
	}
	v, err := types.Decode(rec.Outputs)
	if err != nil || v == cty.NilVal || !v.Type().HasAttribute("tag") {
		return ""
	}
	return types.Text(v.GetAttr("tag"))
}
