package look

import (
	"context"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/choose"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/plan"
)

// failedBuild is a build that failed in this run. Its dependants go on without what it was to make.
type failedBuild struct {
	tag  string // that it was to push
	kept bool   // others see the result of an earlier run
}

// FailBuild gives a build that failed while it was applied the values that others see from now on: those of its last result. It returns
// false if there is none: then others see what was planned, and an image does not count its tag. It is called before a dependant begins.
func (r *Planner) FailBuild(ctx context.Context, in *Finding, planned *plan.Change) bool {
	address := in.Addr.String()
	failed := failedBuild{}
	after, err := in.Node.Type.StoredOutputs.Cty(planned.After)
	if err == nil && after.IsKnown() && !after.IsNull() {
		failed.tag = types.Text(types.Fit(after, in.Node.Type.OutputType).GetAttr("tag"))
	}
	failed.kept = r.keepsResult(ctx, in)
	if !failed.kept {
		outputs := in.Node.Type.UnknownOutputs()
		if err == nil {
			outputs = types.Fit(after, in.Node.Type.OutputType)
		}
		in.Seen = in.Node.Type.See(cty.NilVal, outputs)
	}
	r.failedBuilds.Store(address, failed)
	return failed.kept
}

// failedBuild returns what is known of a build that failed in this run, false if it did not.
func (r *Planner) failedBuild(address string) (failedBuild, bool) {
	v, ok := r.failedBuilds.Load(address)
	if !ok {
		return failedBuild{}, false
	}
	return v.(failedBuild), true
}

// withoutFailed returns the outputs of an image as they were reviewed, without the tags that its failed builds were to push. A tag that a
// build had pushed before it failed now stays.
func (r *Planner) withoutFailed(in *Finding, reviewed cty.Value) (cty.Value, hcl.Diagnostics) {
	all, diags := r.allBuilds(in)
	if diags.HasErrors() || !slices.ContainsFunc(all, func(b plannedBuild) bool { _, is := r.failedBuild(b.address); return is }) {
		return reviewed, diags
	}
	attrs := reviewed.AsValueMap()
	tags := types.Texts(attrs["tags"])
	for _, b := range all {
		if failed, is := r.failedBuild(b.address); is {
			tags = slices.DeleteFunc(tags, func(t string) bool { return t == failed.tag })
		}
	}
	for _, b := range all {
		failed, is := r.failedBuild(b.address)
		if is && failed.kept && b.tag != "" && !slices.Contains(tags, b.tag) {
			tags = append(tags, b.tag)
		}
	}
	attrs["tags"] = types.TextList(tags)
	return cty.ObjectVal(attrs), diags
}

// fallsBack returns the address of the failed build that was to push the tag that a policy chose, "" if there is none.
func (r *Planner) fallsBack(image *Finding, tag string) (string, hcl.Diagnostics) {
	all, diags := r.allBuilds(image)
	if diags.HasErrors() {
		return "", diags
	}
	for _, b := range all {
		if failed, is := r.failedBuild(b.address); is && failed.tag == tag {
			return b.address, diags
		}
	}
	return "", diags
}

// withoutBuild has a policy choose again, because the build of the tag that it had chosen failed. The running tag stays as long as the
// policy accepts it, with the digest that it runs with: nothing else was reviewed.
func (r *Planner) withoutBuild(ctx context.Context, in *Finding, image *choose.Image, build string, tags []string) (cty.Value, hcl.Diagnostics) {
	t := in.Node.Type
	d, diags := r.chooser().Choose(ctx, r.chooses(in), image, tags)
	if diags.HasErrors() {
		return cty.NilVal, withoutResult(in, build, diags)
	}
	if running, digest := r.running(in); running != "" && slices.Contains(d.Ranked, running) {
		d.Tag, d.Digest = running, digest
	}
	d.Reason = fmt.Sprintf("%s is what remains, because %s failed", d.Tag, build)
	in.Observation.Reasons, in.Observation.Rejected, in.fellBack = []string{d.Reason}, d.Rejected, true
	return d.Outputs(t, image), diags
}

// running returns the tag and the digest that state has of a policy; "" if there is none.
func (r *Planner) running(in *Finding) (string, cty.Value) {
	v, ok := types.Whole(in.Observation.Before, in.Node.Type)
	if !ok {
		return "", cty.NilVal
	}
	return types.Text(v.GetAttr("tag")), v.GetAttr("digest")
}

// CodeWithoutBuild marks the error of a policy that has no tag to choose because a build failed.
const CodeWithoutBuild = "policy.build_failed"

// withoutResult says that a policy has nothing to choose without a build that failed.
func withoutResult(in *Finding, build string, why hcl.Diagnostics) hcl.Diagnostics {
	d := diag.Errorf(in.Node.Block.Range, in.Addr.String()+": no tag remains", "%s failed, and there is no other tag to go on with.", build)
	d.Extra = diag.Info{Address: in.Addr.String(), Code: CodeWithoutBuild}
	for _, cause := range why {
		if code := diag.InfoOf(cause).Code; code != choose.CodeNoTag && code != choose.CodeWithdrawn {
			return why
		}
	}
	return hcl.Diagnostics{d}
}
