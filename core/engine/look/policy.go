package look

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/addr"
	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/eval"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
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
	if failed != "" {
		return r.withoutBuild(ctx, in, image, failed, types.Texts(tags))
	}
	decision := &decision{tag: pinnedTag(pinned)}
	if decision.tag == "" {
		var more hcl.Diagnostics
		if decision, more = r.decide(ctx, in, image, types.Texts(tags)); more.HasErrors() {
			return cty.NilVal, append(diags, more...)
		}
	} else {
		decision.reason, decision.rejected = strings.Join(pinned.Reasons, "; "), pinned.Rejected
	}
	digest, more := r.recallDigest(in, decision.tag), hcl.Diagnostics(nil)
	if digest == cty.NilVal {
		digest, more = r.digest(ctx, in, image, decision.tag)
	}
	diags = append(diags, more...)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	in.Observation.Reasons, in.Observation.Rejected = []string{decision.reason}, decision.rejected
	return r.policyOutputs(t, image, decision, digest), diags
}

// recallDigest is the digest that state has for a tag, NilVal if the registry is to be asked.
func (r *Planner) recallDigest(in *Finding, tag string) cty.Value {
	if !r.recalls(in) {
		return cty.NilVal
	}
	before, _ := types.Whole(in.Observation.Before, in.Node.Type)
	if types.Text(before.GetAttr("tag")) != tag {
		return cty.NilVal
	}
	return before.GetAttr("digest")
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

type decision struct {
	tag, reason string
	ranked      []string // the acceptable tags, best first
	rejected    []plan.Rejection
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

func (r *Planner) decide(ctx context.Context, in, image *Finding, tags []string) (*decision, hcl.Diagnostics) {
	current := ""
	if rec, ok := r.Records.Snapshot().Records[in.Addr.String()]; ok {
		if v, err := types.Decode(rec.Outputs); err == nil && v != cty.NilVal && v.Type().HasAttribute("tag") {
			current = types.Text(v.GetAttr("tag"))
		}
	}
	older, _ := in.Config.GetAttr(kinds.AllowOlder).Unmark()
	withdrawn := current != "" && !slices.Contains(tags, current)
	candidates := slices.Clone(tags)
	if withdrawn && older.False() {
		candidates = append(candidates, current)
	}
	res, _, diags := r.Services.Plan(ctx, in.Instance, &pluginv1.PlanRequest{Candidates: &pluginv1.Candidates{Tags: candidates, Current: current}}, in.Node.Type.PluginConfig(in.Config))
	if diags.HasErrors() {
		return nil, diags
	}
	d := &decision{reason: r.Services.Secrets.Mask(res.GetDecision().GetReason())}
	for _, x := range res.GetDecision().GetRejected() {
		d.rejected = append(d.rejected, plan.Rejection{Tag: x.GetTag(), Reason: x.GetReason()})
	}
	ranked := res.GetDecision().GetRanked()
	if len(ranked) == 0 {
		return nil, append(diags, noTag(in, image, d.rejected))
	}
	d.tag, d.ranked = ranked[0], ranked
	if withdrawn && d.tag == current {
		return nil, append(diags, withdrawnTag(in, current, ranked))
	}
	if !slices.Contains(candidates, d.tag) {
		return nil, append(diags, r.Services.Failure(in.Instance, "choosing a tag", fmt.Errorf("plugin %q chose %q, which is not a candidate: this is a defect in the plugin", in.Node.Type.Plugin, d.tag)))
	}
	return d, diags
}

// The codes of policies that have nothing to choose.
const (
	codeNoTag     = "policy.no_tag"
	codeWithdrawn = "policy.withdrawn"
)

// withdrawnTag says that what runs is gone from the registry and everything else is older.
func withdrawnTag(in *Finding, current string, ranked []string) *hcl.Diagnostic {
	next := "and there is no other tag"
	if len(ranked) > 1 {
		next = "and the next best tag is the older " + ranked[1]
	}
	d := diag.Errorf(in.Node.Block.Range, in.Addr.String()+": the chosen tag no longer exists",
		"%s was chosen before but is no longer in the registry, %s. A policy does not choose an older tag by itself.", current, next)
	d.Extra = diag.Info{Address: in.Addr.String(), Code: codeWithdrawn, Hint: "Push " + current + " again, or set allow_older = true."}
	return d
}

// noTag says why there is nothing to run.
func noTag(in, image *Finding, rejected []plan.Rejection) *hcl.Diagnostic {
	var b strings.Builder
	if len(rejected) == 0 {
		fmt.Fprintf(&b, "%s has no tags. Push one first, or list the build that makes it in builds.", image.Addr)
	} else {
		fmt.Fprintf(&b, "None of the %d tags of %s is acceptable:", len(rejected), image.Addr)
		for i, x := range rejected {
			if i == 10 {
				fmt.Fprintf(&b, "\n  and %d more", len(rejected)-i)
				break
			}
			fmt.Fprintf(&b, "\n  %s: %s", x.Tag, x.Reason)
		}
	}
	d := diag.Errorf(in.Node.Block.Range, in.Addr.String()+": no acceptable tag", "%s", b.String())
	d.Extra = diag.Info{Address: in.Addr.String(), Code: codeNoTag}
	return d
}

// digest finds what is behind a tag: a build's own word before the registry's.
func (r *Planner) digest(ctx context.Context, in, image *Finding, tag string) (cty.Value, hcl.Diagnostics) {
	builds, diags := r.builds(image)
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	for _, b := range builds {
		if b.tag == tag {
			return b.digest, diags
		}
	}
	t := image.Node.Type
	plain, _ := t.PluginConfig(image.Config).UnmarkDeep()
	config, err := eval.EncodeValue(plain)
	if err != nil {
		return cty.NilVal, append(diags, r.Services.Failure(in.Instance, "resolving "+tag, err))
	}
	client, err := r.Services.Plugins.Client(ctx, t.Plugin)
	if err != nil {
		return cty.NilVal, append(diags, r.Services.Failure(in.Instance, "resolving "+tag, err))
	}
	res, err := client.Resolve(ctx, &pluginv1.ResolveRequest{Address: image.Addr.String(), Type: t.Name, Config: config, Tag: tag})
	if err != nil {
		return cty.NilVal, append(diags, r.Services.Failure(in.Instance, "resolving "+tag, err))
	}
	diags = append(diags, r.Services.Diagnostics(image.Instance, res.GetDiagnostics())...)
	return cty.StringVal(res.GetDigest()), diags
}

func (r *Planner) policyOutputs(t *types.Type, image *Finding, d *decision, digest cty.Value) cty.Value {
	repository, _ := image.Output("repository").Unmark()
	start := types.Text(repository) + ":" + d.tag + "@"
	ref := cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull(start + "sha256:").NewValue()
	if digest.IsKnown() && !digest.IsNull() {
		ref = cty.StringVal(start + digest.AsString())
	}
	all := map[string]cty.Value{
		"tag": cty.StringVal(d.tag), "digest": digest, "ref": ref, "reason": cty.StringVal(d.reason),
		"rejected": rejectedTags(d.rejected),
	}
	return types.Fit(cty.ObjectVal(all), t.OutputType)
}

// rejectedTags returns the refused tags as an output of a policy. They are a list from the start: converting a tuple compares the types of its
// elements pairwise, which takes seconds for the tags of a large repository.
func rejectedTags(list []plan.Rejection) cty.Value {
	tags := make([]cty.Value, len(list))
	for i, x := range list {
		tags[i] = cty.ObjectVal(map[string]cty.Value{"tag": cty.StringVal(x.Tag), "reason": cty.StringVal(x.Reason)})
	}
	if len(tags) == 0 {
		return cty.ListValEmpty(rejectedTag)
	}
	return cty.ListVal(tags)
}

var rejectedTag = cty.Object(map[string]cty.Type{"tag": cty.String, "reason": cty.String})
