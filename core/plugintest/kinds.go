package plugintest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
	"github.com/davit-sh/davit/sdk/wire"
)

// imports takes over an existing object.
func (t *trial) imports(ctx context.Context) outcome {
	const mend = "Import reads the object and returns its outputs for the state: all known, in the types that Describe gives."
	switch {
	case !t.typ.GetCanImport():
		return skip("the type does not support import")
	case t.example.id == "":
		return skip("the examples have no ID to import")
	}
	if o, ok := t.ready(ctx); !ok {
		return notYet(o)
	}
	c, err := t.rig.running(ctx)
	if err != nil {
		return fail(mend, "%v", err)
	}
	res, err := c.Import(ctx, &pluginv1.ImportRequest{
		Address: t.address(), Kind: t.typ.GetKind(), Type: t.typ.GetName(), Config: t.encode(t.example.config, t.configType), Id: t.example.id,
	})
	if err != nil {
		return fail(mend, "%v", err)
	}
	if e := firstError(res.GetDiagnostics()); e != "" {
		return fail(mend, "%s", e)
	}
	outputs, err := wire.Decode(res.GetRecord().GetOutputs(), t.outputType)
	switch {
	case err != nil:
		return fail(mend, "the outputs cannot be read: %v", err)
	case outputs.IsNull() || !outputs.IsWhollyKnown():
		return fail(mend, "the outputs are not known")
	}
	return pass()
}

var reDigest = regexp.MustCompile(`^[a-z0-9]+:[0-9a-f]{32,}$`)

// resolves looks at a tag that is there, and at one that is not.
func (t *trial) resolves(ctx context.Context) outcome {
	const mend = "Resolve returns the digest of a tag, such as sha256:..., and an error for a tag that does not exist."
	if o, ok := t.ready(ctx); !ok {
		return notYet(o)
	}
	if t.example.tag == "" {
		return skip("the examples have no tag that exists")
	}
	c, err := t.rig.running(ctx)
	if err != nil {
		return fail(mend, "%v", err)
	}
	ask := func(tag string) (*pluginv1.ResolveResponse, error) {
		return c.Resolve(ctx, &pluginv1.ResolveRequest{Address: t.address(), Type: t.typ.GetName(), Config: t.encode(t.example.config, t.configType), Tag: tag})
	}
	res, err := ask(t.example.tag)
	switch {
	case err != nil:
		return fail(mend, "%v", err)
	case hasError(res.GetDiagnostics()):
		return fail(mend, "the tag %q: %s", t.example.tag, firstError(res.GetDiagnostics()))
	case !reDigest.MatchString(res.GetDigest()):
		return fail(mend, "the digest of the tag %q is %q", t.example.tag, short(res.GetDigest()))
	}
	if res, err := ask("there-is-no-such-tag"); err == nil && !hasError(res.GetDiagnostics()) {
		return fail(mend, "a tag that does not exist has the digest %q", res.GetDigest())
	}
	return pass()
}

// factsOf makes the facts of a tag up: the same for the same tag.
func factsOf(tag string) *pluginv1.TagFacts {
	sum := sha256.Sum256([]byte(tag))
	return &pluginv1.TagFacts{
		Digest: "sha256:" + hex.EncodeToString(sum[:]), Platforms: []string{"linux/amd64", "linux/arm/v7", "linux/arm64"}, CreatedUnix: 1_700_000_000 + int64(sum[0]),
	}
}

// decides looks at a policy's decisions: each candidate is ranked or rejected, once, in whatever order they come.
func (t *trial) decides(ctx context.Context) outcome {
	const mend = "A policy is a pure function: rank or reject each candidate once with a reason, independently of their order. Without an acceptable tag, return an empty ranking, not an error."
	if o, ok := t.ready(ctx); !ok {
		return notYet(o)
	}
	decide := func(tags []string, current string) (*pluginv1.Decision, outcome) {
		facts := map[string]*pluginv1.TagFacts{}
		for {
			r := t.request(t.example.config)
			r.Candidates = &pluginv1.Candidates{Tags: tags, Current: current, Facts: facts}
			res, err := t.plan(ctx, r, nil)
			switch {
			case err != nil:
				return nil, fail(mend, "%v", err)
			case hasError(res.GetDiagnostics()):
				return nil, fail(mend, "choosing from %s: %s", count(len(tags), "tag"), firstError(res.GetDiagnostics()))
			case len(res.GetDecision().GetLookAt()) == 0:
				return res.GetDecision(), pass()
			}
			for _, tag := range res.GetDecision().GetLookAt() {
				if facts[tag] != nil || !slices.Contains(tags, tag) {
					return nil, fail(mend, "it wants to look at %q, whose facts it has or which is not a candidate", tag)
				}
				facts[tag] = factsOf(tag)
			}
		}
	}
	tags := t.example.tags
	d, o := decide(tags, "")
	if o.status != Passed {
		return o
	}
	all := slices.Clone(d.GetRanked())
	for _, r := range d.GetRejected() {
		if r.GetReason() == "" {
			return fail(mend, "the tag %q is rejected without a reason", r.GetTag())
		}
		all = append(all, r.GetTag())
	}
	if len(d.GetRanked()) > 0 && d.GetReason() == "" {
		return fail(mend, "the choice of %q has no reason", d.GetRanked()[0])
	}
	slices.Sort(all)
	if want := slices.Sorted(slices.Values(tags)); !slices.Equal(all, want) {
		return fail(mend, "of the tags %s, these were ranked or rejected: %s", strings.Join(want, ", "), strings.Join(all, ", "))
	}
	reversed := slices.Clone(tags)
	slices.Reverse(reversed)
	again, o := decide(reversed, "")
	if o.status != Passed {
		return o
	}
	if !slices.Equal(again.GetRanked(), d.GetRanked()) {
		return fail(mend, "the same tags in another order are ranked differently: %s instead of %s", strings.Join(again.GetRanked(), ", "), strings.Join(d.GetRanked(), ", "))
	}
	if none, o := decide(nil, ""); o.status != Passed {
		return o
	} else if len(none.GetRanked()) > 0 {
		return fail(mend, "from an empty list of tags, %q was chosen", none.GetRanked()[0])
	}
	return pass()
}
