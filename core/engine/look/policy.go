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
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	ocitag "github.com/davit-sh/davit/internal/oci/tag"
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
		decision, diags = r.decide(ctx, in, image, types.Texts(tags))
	} else {
		decision.reason, decision.rejected = strings.Join(pinned.Reasons, "; "), pinned.Rejected
		decision.digest, _, diags = r.behind(ctx, in, image, decision.tag)
	}
	if diags.HasErrors() {
		return cty.NilVal, diags
	}
	in.Observation.Reasons, in.Observation.Rejected = []string{decision.reason}, decision.rejected
	return r.policyOutputs(t, image, decision), diags
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
	digest      cty.Value
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

// decide has a policy choose among tags, and looks what the chosen one holds. What is not an image is taken out, and the policy is asked again.
func (r *Planner) decide(ctx context.Context, in, image *Finding, tags []string) (*decision, hcl.Diagnostics) {
	current := r.chosenBefore(in)
	older, _ := in.Config.GetAttr(kinds.AllowOlder).Unmark()
	withdrawn := current != "" && !slices.Contains(tags, current)
	candidates, notTags := onlyTags(tags)
	if withdrawn && older.False() {
		candidates = append(candidates, current)
	}
	d := &decision{rejected: notTags}
	for {
		answer, diags := r.askForDecision(ctx, in, image, candidates, current, withdrawn)
		if diags.HasErrors() {
			return nil, diags
		}
		ranked := answer.GetRanked()
		if len(ranked) == 0 {
			for _, x := range answer.GetRejected() {
				d.rejected = append(d.rejected, plan.Rejection{Tag: x.GetTag(), Reason: x.GetReason()})
			}
			return nil, append(diags, noTag(in, image, d.rejected))
		}
		if withdrawn && ranked[0] == current {
			return nil, append(diags, withdrawnTag(in, current, ranked))
		}
		if !slices.Contains(candidates, ranked[0]) {
			return nil, append(diags, r.Services.Failure(in.Instance, "choosing a tag", fmt.Errorf("plugin %q chose %q, which is not a candidate: this is a defect in the plugin", in.Node.Type.Plugin, ranked[0])))
		}
		digest, notImages, more := r.firstImage(ctx, in, image, ranked)
		if diags = append(diags, more...); diags.HasErrors() {
			return nil, diags
		}
		if len(notImages) == 0 {
			d.tag, d.ranked, d.digest, d.reason = ranked[0], ranked, digest, r.Services.Secrets.Mask(answer.GetReason())
			for _, x := range answer.GetRejected() {
				d.rejected = append(d.rejected, plan.Rejection{Tag: x.GetTag(), Reason: x.GetReason()})
			}
			return d, diags
		}
		d.rejected = append(d.rejected, notImages...)
		candidates = slices.DeleteFunc(candidates, func(t string) bool {
			return slices.ContainsFunc(notImages, func(x plan.Rejection) bool { return x.Tag == t })
		})
	}
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

// askForDecision asks a policy, and looks at the tags that it wants to know more of.
func (r *Planner) askForDecision(ctx context.Context, in, image *Finding, candidates []string, current string, withdrawn bool) (*pluginv1.Decision, hcl.Diagnostics) {
	facts := map[string]*pluginv1.TagFacts{}
	if withdrawn {
		facts[current] = &pluginv1.TagFacts{} // the registry has nothing to look at
	}
	var diags hcl.Diagnostics
	for {
		res, _, more := r.Services.Plan(ctx, in.Instance, &pluginv1.PlanRequest{Candidates: &pluginv1.Candidates{Tags: candidates, Current: current, Facts: facts}}, in.Node.Type.PluginConfig(in.Config))
		if diags = append(diags, more...); diags.HasErrors() {
			return nil, diags
		}
		wanted := res.GetDecision().GetLookAt()
		if len(wanted) == 0 {
			return res.GetDecision(), diags
		}
		for _, tag := range wanted {
			if _, known := facts[tag]; known || !slices.Contains(candidates, tag) {
				return nil, append(diags, r.Services.Failure(in.Instance, "choosing a tag", fmt.Errorf("plugin %q wants to look at %q, which it has seen or which is not a candidate: this is a defect in the plugin", in.Node.Type.Plugin, tag)))
			}
		}
		if len(facts)+len(wanted) > mostLooks {
			d := diag.Errorf(in.Node.Block.Range, in.Addr.String()+": too many tags to look at",
				"The policy needs the contents of %d tags of %s to decide. davit looks at %d at most.", len(facts)+len(wanted), image.Addr, mostLooks)
			d.Extra = diag.Info{Address: in.Addr.String(), Code: "policy.too_many_looks", Hint: "Narrow the tags down with a filter or exclude."}
			return nil, append(diags, d)
		}
		if diags = append(diags, r.factsOf(ctx, in, image, wanted, facts, pluginv1.ResolveRequest_LOOK_UNSPECIFIED)...); diags.HasErrors() {
			return nil, diags
		}
	}
}

// onlyTags separates names that a registry lists but would not take from those that can be used.
func onlyTags(names []string) (tags []string, refused []plan.Rejection) {
	for _, name := range names {
		if ocitag.Valid(name) {
			tags = append(tags, name)
		} else {
			refused = append(refused, plan.Rejection{Tag: name, Reason: "not a tag"})
		}
	}
	return tags, refused
}

// firstImage looks what the first of the ranked tags holds. If that is not an image, it returns all that are not images before the first one
// that is: more and more tags are looked at together until one is found.
func (r *Planner) firstImage(ctx context.Context, in, image *Finding, ranked []string) (cty.Value, []plan.Rejection, hcl.Diagnostics) {
	digest, artifact, diags := r.behind(ctx, in, image, ranked[0])
	if diags.HasErrors() || artifact == "" {
		return digest, nil, diags
	}
	refused := []plan.Rejection{notAnImage(ranked[0], artifact)}
	for rest := ranked[1:min(len(ranked), mostLooks)]; len(rest) > 0; {
		batch := rest[:min(len(rest), len(refused)+1)]
		facts := map[string]*pluginv1.TagFacts{}
		if diags = append(diags, r.factsOf(ctx, in, image, batch, facts, pluginv1.ResolveRequest_LOOK_ARTIFACT)...); diags.HasErrors() {
			return cty.NilVal, nil, diags
		}
		for _, t := range batch {
			if facts[t].GetArtifact() == "" {
				return cty.NilVal, refused, diags
			}
			refused = append(refused, notAnImage(t, facts[t].GetArtifact()))
		}
		rest = rest[len(batch):]
	}
	return cty.NilVal, refused, diags
}

func notAnImage(tag, artifact string) plan.Rejection {
	return plan.Rejection{Tag: tag, Reason: "not an image (" + artifact + ")"}
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

// exists tells whether the registry has the repository of an image. An image that does not say has one.
func exists(image *Finding) bool {
	v := image.Output("exists")
	if v == cty.NilVal {
		return true
	}
	v, _ = v.Unmark()
	return !v.IsKnown() || v.IsNull() || v.Type() != cty.Bool || v.True()
}

// noTag says why there is nothing to run.
func noTag(in, image *Finding, rejected []plan.Rejection) *hcl.Diagnostic {
	var b strings.Builder
	if !exists(image) {
		repository, _ := image.Output("repository").Unmark()
		fmt.Fprintf(&b, "The repository %s does not exist. Push an image first, or list the build that makes it in builds.", types.Text(repository))
	} else if len(rejected) == 0 {
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

// behind finds what a tag holds: its digest, and what it is if it is not an image. A build's own word comes before the registry's. What
// was found to be an image before is not fetched again as long as the tag holds the same digest.
func (r *Planner) behind(ctx context.Context, in, image *Finding, tag string) (digest cty.Value, artifact string, diags hcl.Diagnostics) {
	if digest := r.recallDigest(in, tag); digest != cty.NilVal {
		return digest, "", nil
	}
	builds, diags := r.builds(image)
	if diags.HasErrors() {
		return cty.NilVal, "", diags
	}
	for _, b := range builds {
		if b.tag == tag {
			return b.digest, "", diags
		}
	}
	known := r.digestBefore(in)
	look := pluginv1.ResolveRequest_LOOK_DIGEST
	if known == "" {
		look = pluginv1.ResolveRequest_LOOK_ARTIFACT
	}
	for {
		res, more := r.lookAtTag(ctx, in, image, tag, look)
		if diags = append(diags, more...); diags.HasErrors() {
			return cty.NilVal, "", diags
		}
		if look == pluginv1.ResolveRequest_LOOK_ARTIFACT || res.GetDigest() == known {
			return cty.StringVal(res.GetDigest()), res.GetArtifact(), diags
		}
		look = pluginv1.ResolveRequest_LOOK_ARTIFACT
	}
}

// digestBefore is the digest that state has of a policy's choice, "" if there is none.
func (r *Planner) digestBefore(in *Finding) string {
	if in.Observation == nil {
		return ""
	}
	before, ok := types.Whole(in.Observation.Before, in.Node.Type)
	if !ok {
		return ""
	}
	return types.Text(before.GetAttr("digest"))
}

func (r *Planner) policyOutputs(t *types.Type, image *Finding, d *decision) cty.Value {
	digest := d.digest
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
