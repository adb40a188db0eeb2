package look

import (
	"context"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// image is the contract of images: the tags of a repository.
type image struct{ observing }

// outputs implements observed. It lists the tags; those of planned builds count as tags already.
func (image) outputs(ctx context.Context, r *Planner, in *Finding, pinned *plan.Observation) (cty.Value, hcl.Diagnostics) {
	return r.observeImage(ctx, in, pinned)
}

func (r *Planner) observeImage(ctx context.Context, in *Finding, pinned *plan.Observation) (cty.Value, hcl.Diagnostics) {
	t := in.Node.Type
	if v, ok := types.Whole(outputsIn(pinned), t); ok {
		return r.withoutFailed(in, v)
	}
	if !in.known() {
		return t.UnknownOutputs(), nil
	}
	var diags hcl.Diagnostics
	var outputs cty.Value
	if r.recalls(in) {
		outputs, _ = types.Whole(in.Observation.Before, t)
		in.Observation.Reasons = []string{"as observed at the last apply"}
	} else if outputs, diags = r.askPlugin(ctx, in, &pluginv1.PlanRequest{}); diags.HasErrors() {
		return cty.NilVal, diags
	}
	attrs := outputs.AsValueMap()
	builds, more := r.builds(in)
	diags = append(diags, more...)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	tags := types.Texts(attrs["tags"])
	for _, b := range builds {
		if b.tag == "" {
			attrs["tags"] = cty.UnknownVal(cty.List(cty.String))
			return cty.ObjectVal(attrs), diags
		}
		if repo := types.Text(attrs["repository"]); b.repository != "" && repo != "" && b.repository != repo {
			return cty.NilVal, append(diags, diag.Errorf(in.Node.Block.Range, "Wrong repository",
				"%s observes %s, but %s pushes to %s. Give both the same repository.", in.Addr, repo, b.address, b.repository))
		}
		if !slices.Contains(tags, b.tag) {
			tags = append(tags, b.tag)
		}
	}
	attrs["tags"] = types.TextList(tags)
	return cty.ObjectVal(attrs), diags
}

// plannedBuild is what an image knows of a build.
type plannedBuild struct {
	address, repository, tag string // tag is empty while unknown
	digest                   cty.Value
}

// builds reads the builds argument of an image. Those that failed and have no earlier result are not among them.
func (r *Planner) builds(in *Finding) ([]plannedBuild, hcl.Diagnostics) {
	list, diags := r.allBuilds(in)
	return slices.DeleteFunc(list, func(b plannedBuild) bool {
		failed, is := r.failedBuild(b.address)
		return is && !failed.kept
	}), diags
}

// allBuilds reads the builds argument of an image.
func (r *Planner) allBuilds(in *Finding) ([]plannedBuild, hcl.Diagnostics) {
	arg := in.Config.GetAttr(kinds.Builds)
	arg, _ = arg.UnmarkDeep()
	if arg.IsNull() {
		return nil, nil
	}
	fail := func() ([]plannedBuild, hcl.Diagnostics) {
		in.misused = true
		return nil, hcl.Diagnostics{diag.Errorf(in.Node.RangeOf(kinds.Builds),
			"Not builds", "builds of %s must be a list of whole builds, such as [build.buildx.api].", in.Addr)}
	}
	if !arg.IsKnown() || !arg.CanIterateElements() {
		return fail()
	}
	var list []plannedBuild
	for it := arg.ElementIterator(); it.Next(); {
		_, v := it.Element()
		t := v.Type()
		if !v.IsKnown() || v.IsNull() || !t.IsObjectType() || !t.HasAttribute(kinds.Address) || !t.HasAttribute("tag") || !t.HasAttribute("digest") || !t.HasAttribute("repository") {
			return fail()
		}
		list = append(list, plannedBuild{
			address: types.Text(v.GetAttr(kinds.Address)), repository: types.Text(v.GetAttr("repository")),
			tag: types.Text(v.GetAttr("tag")), digest: v.GetAttr("digest"),
		})
	}
	return list, nil
}
