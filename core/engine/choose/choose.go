// Package choose has policies choose among the tags of images: it asks the policy, looks at what it wants to know of the tags, and refuses what
// is not a tag or not an image. It decides nothing itself.
package choose

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/davit-sh/davit/core/diag"
	"github.com/davit-sh/davit/core/engine/service"
	"github.com/davit-sh/davit/core/engine/types"
	"github.com/davit-sh/davit/core/engine/world"
	"github.com/davit-sh/davit/core/kinds"
	"github.com/davit-sh/davit/core/plan"
	ocitag "github.com/davit-sh/davit/internal/oci/tag"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// Policy is a policy that is to choose, and what state has of its last choice.
type Policy struct {
	*world.Instance
	Config  cty.Value // evaluated
	Current string    // the tag; "" at first
	Digest  string    // what the tag held; "" at first
	Trusted Held      // what is not asked of the registry, because the run takes state's word; empty if it does not
}

// Held is a tag and the digest that it holds.
type Held struct {
	Tag    string
	Digest cty.Value
}

// Image is the image that a policy chooses from.
type Image struct {
	*world.Instance
	Config cty.Value            // evaluated
	Builds map[string]cty.Value // the digests of what builds push, by tag; a planned one is not known
}

// Choice is what a policy has chosen.
type Choice struct {
	Tag, Reason string
	Digest      cty.Value
	Ranked      []string // the acceptable tags, best first
	Rejected    []plan.Rejection
}

// Chooser asks policies and images in one run.
type Chooser struct {
	Services *service.Services
	Looks    *Looks
}

// Digest returns the digest that a tag holds.
func (c *Chooser) Digest(ctx context.Context, p *Policy, image *Image, tag string) (cty.Value, hcl.Diagnostics) {
	digest, _, diags := c.behind(ctx, p, image, tag)
	return digest, diags
}

// Choose has a policy choose among tags, and looks what the chosen one holds. What is not an image is taken out, and the policy is asked again.
func (c *Chooser) Choose(ctx context.Context, p *Policy, image *Image, tags []string) (*Choice, hcl.Diagnostics) {
	current := p.Current
	older, _ := p.Config.GetAttr(kinds.AllowOlder).Unmark()
	withdrawn := current != "" && !slices.Contains(tags, current)
	candidates, notTags := onlyTags(tags)
	if withdrawn && older.False() {
		candidates = append(candidates, current)
	}
	d := &Choice{Rejected: notTags}
	for {
		answer, diags := c.ask(ctx, p, image, candidates, current, withdrawn)
		if diags.HasErrors() {
			return nil, diags
		}
		ranked := answer.GetRanked()
		if len(ranked) == 0 {
			for _, x := range answer.GetRejected() {
				d.Rejected = append(d.Rejected, plan.Rejection{Tag: x.GetTag(), Reason: x.GetReason()})
			}
			return nil, append(diags, noTag(p, image, d.Rejected))
		}
		if withdrawn && ranked[0] == current {
			return nil, append(diags, withdrawnTag(p, current, ranked))
		}
		if !slices.Contains(candidates, ranked[0]) {
			return nil, append(diags, c.Services.Failure(p.Instance, "choosing a tag", fmt.Errorf("plugin %q chose %q, which is not a candidate: this is a defect in the plugin", p.Node.Type.Plugin, ranked[0])))
		}
		digest, notImages, more := c.firstImage(ctx, p, image, ranked)
		if diags = append(diags, more...); diags.HasErrors() {
			return nil, diags
		}
		if len(notImages) == 0 {
			d.Tag, d.Ranked, d.Digest, d.Reason = ranked[0], ranked, digest, c.Services.Secrets.Mask(answer.GetReason())
			for _, x := range answer.GetRejected() {
				d.Rejected = append(d.Rejected, plan.Rejection{Tag: x.GetTag(), Reason: x.GetReason()})
			}
			return d, diags
		}
		d.Rejected = append(d.Rejected, notImages...)
		candidates = slices.DeleteFunc(candidates, func(t string) bool {
			return slices.ContainsFunc(notImages, func(x plan.Rejection) bool { return x.Tag == t })
		})
	}
}

// ask asks a policy, and looks at the tags that it wants to know more of.
func (c *Chooser) ask(ctx context.Context, p *Policy, image *Image, candidates []string, current string, withdrawn bool) (*pluginv1.Decision, hcl.Diagnostics) {
	facts := map[string]*pluginv1.TagFacts{}
	if withdrawn {
		facts[current] = &pluginv1.TagFacts{} // the registry has nothing to look at
	}
	var diags hcl.Diagnostics
	for {
		res, _, more := c.Services.Plan(ctx, p.Instance, &pluginv1.PlanRequest{Candidates: &pluginv1.Candidates{Tags: candidates, Current: current, Facts: facts}}, p.Node.Type.PluginConfig(p.Config))
		if diags = append(diags, more...); diags.HasErrors() {
			return nil, diags
		}
		wanted := res.GetDecision().GetLookAt()
		if len(wanted) == 0 {
			return res.GetDecision(), diags
		}
		for _, tag := range wanted {
			if _, known := facts[tag]; known || !slices.Contains(candidates, tag) {
				return nil, append(diags, c.Services.Failure(p.Instance, "choosing a tag", fmt.Errorf("plugin %q wants to look at %q, which it has seen or which is not a candidate: this is a defect in the plugin", p.Node.Type.Plugin, tag)))
			}
		}
		if len(facts)+len(wanted) > mostLooks {
			d := diag.Errorf(p.Node.Block.Range, p.Addr.String()+": too many tags to look at",
				"The policy needs the contents of %d tags of %s to decide. davit looks at %d at most.", len(facts)+len(wanted), image.Addr, mostLooks)
			d.Extra = diag.Info{Address: p.Addr.String(), Code: "policy.too_many_looks", Hint: "Narrow the tags down with a filter or exclude."}
			return nil, append(diags, d)
		}
		if diags = append(diags, c.factsOf(ctx, p, image, wanted, facts, pluginv1.ResolveRequest_LOOK_UNSPECIFIED)...); diags.HasErrors() {
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
func (c *Chooser) firstImage(ctx context.Context, p *Policy, image *Image, ranked []string) (cty.Value, []plan.Rejection, hcl.Diagnostics) {
	digest, artifact, diags := c.behind(ctx, p, image, ranked[0])
	if diags.HasErrors() || artifact == "" {
		return digest, nil, diags
	}
	refused := []plan.Rejection{notAnImage(ranked[0], artifact)}
	for rest := ranked[1:min(len(ranked), mostLooks)]; len(rest) > 0; {
		batch := rest[:min(len(rest), len(refused)+1)]
		facts := map[string]*pluginv1.TagFacts{}
		if diags = append(diags, c.factsOf(ctx, p, image, batch, facts, pluginv1.ResolveRequest_LOOK_ARTIFACT)...); diags.HasErrors() {
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
	CodeNoTag     = "policy.no_tag"
	CodeWithdrawn = "policy.withdrawn"
)

// withdrawnTag says that what runs is gone from the registry and everything else is older.
func withdrawnTag(p *Policy, current string, ranked []string) *hcl.Diagnostic {
	next := "and there is no other tag"
	if len(ranked) > 1 {
		next = "and the next best tag is the older " + ranked[1]
	}
	d := diag.Errorf(p.Node.Block.Range, p.Addr.String()+": the chosen tag no longer exists",
		"%s was chosen before but is no longer in the registry, %s. A policy does not choose an older tag by itself.", current, next)
	d.Extra = diag.Info{Address: p.Addr.String(), Code: CodeWithdrawn, Hint: "Push " + current + " again, or set allow_older = true."}
	return d
}

// exists tells whether the registry has the repository of an image. An image that does not say has one.
func exists(image *Image) bool {
	v := image.Output("exists")
	if v == cty.NilVal {
		return true
	}
	v, _ = v.Unmark()
	return !v.IsKnown() || v.IsNull() || v.Type() != cty.Bool || v.True()
}

// noTag says why there is nothing to run.
func noTag(p *Policy, image *Image, rejected []plan.Rejection) *hcl.Diagnostic {
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
	d := diag.Errorf(p.Node.Block.Range, p.Addr.String()+": no acceptable tag", "%s", b.String())
	d.Extra = diag.Info{Address: p.Addr.String(), Code: CodeNoTag}
	return d
}

// behind finds what a tag holds: its digest, and what it is if it is not an image. A build's own word comes before the registry's. What
// was found to be an image before is not fetched again as long as the tag holds the same digest.
func (c *Chooser) behind(ctx context.Context, p *Policy, image *Image, tag string) (digest cty.Value, artifact string, diags hcl.Diagnostics) {
	if p.Trusted.Tag == tag && tag != "" {
		return p.Trusted.Digest, "", nil
	}
	if digest, planned := image.Builds[tag]; planned {
		return digest, "", nil
	}
	known := p.Digest
	look := pluginv1.ResolveRequest_LOOK_DIGEST
	if known == "" {
		look = pluginv1.ResolveRequest_LOOK_ARTIFACT
	}
	for {
		res, more := c.lookAtTag(ctx, p, image, tag, look)
		if diags = append(diags, more...); diags.HasErrors() {
			return cty.NilVal, "", diags
		}
		if look == pluginv1.ResolveRequest_LOOK_ARTIFACT || res.GetDigest() == known {
			return cty.StringVal(res.GetDigest()), res.GetArtifact(), diags
		}
		look = pluginv1.ResolveRequest_LOOK_ARTIFACT
	}
}

// Outputs returns a choice as the outputs of a policy.
func (d *Choice) Outputs(t *types.Type, image *Image) cty.Value {
	digest := d.Digest
	repository, _ := image.Output("repository").Unmark()
	start := types.Text(repository) + ":" + d.Tag + "@"
	ref := cty.UnknownVal(cty.String).Refine().NotNull().StringPrefixFull(start + "sha256:").NewValue()
	if digest.IsKnown() && !digest.IsNull() {
		ref = cty.StringVal(start + digest.AsString())
	}
	all := map[string]cty.Value{
		"tag": cty.StringVal(d.Tag), "digest": digest, "ref": ref, "reason": cty.StringVal(d.Reason),
		"rejected": rejectedTags(d.Rejected),
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
