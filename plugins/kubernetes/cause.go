package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/davit-sh/davit/plugins/kubernetes/diff"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// origin says where a change of the rendered objects comes from: the source's files, the block's arguments, or both.
type origin struct {
	causes  []sdk.Cause
	options []string // names of the changed arguments
}

// originOf compares the configuration with the one that was applied last. Where both the files and the arguments are others, the new
// files are rendered with the old arguments as well, so that each is blamed only for what it changes.
func (p *planning) originOf(ctx context.Context) origin {
	if p.prior == nil {
		return origin{causes: []sdk.Cause{sdk.CauseNew}}
	}
	was, is := p.prior.Config, p.config
	options := changedOptions(was.Config, is.Config)
	switch files := was.Source.Tree.Digest != is.Source.Tree.Digest; {
	case !files:
		return origin{[]sdk.Cause{sdk.CauseConfig}, options}
	case len(options) == 0:
		return origin{causes: []sdk.Cause{sdk.CauseSource}}
	}
	both := origin{[]sdk.Cause{sdk.CauseSource, sdk.CauseConfig}, options}
	was.Source, was.Images = is.Source, nil
	set, err := was.render(ctx, p.address, scope(p.cluster))
	switch {
	case err != nil:
		return both
	case set.Digest == p.inventory.Digest:
		return origin{[]sdk.Cause{sdk.CauseConfig}, options}
	case set.Digest == p.set.Digest:
		return origin{causes: []sdk.Cause{sdk.CauseSource}}
	}
	return both
}

// changedOptions names the arguments that change what is rendered of the same files, but for the images themselves.
func changedOptions(was, is render.Config) []string {
	var names []string
	for name, same := range map[string]bool{
		"path": was.Path == is.Path, "recursive": was.Recursive == is.Recursive, "namespace": was.Namespace == is.Namespace,
		"create_namespace": was.CreateNamespace == is.CreateNamespace, "values": was.Values == is.Values, "labels": maps.Equal(was.Labels, is.Labels),
		"images": reflect.DeepEqual(slices.Sorted(maps.Keys(was.Images)), slices.Sorted(maps.Keys(is.Images))),
	} {
		if !same {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// causesOf says why an object that is in the cluster changes.
func (p *planning) causesOf(s *seen, known *entry) []sdk.Cause {
	others := len(diff.Owners(s.live, s.changes)) > 0
	switch {
	case onlyMarks(s.changes) && len(s.changes) > 0:
		return []sdk.Cause{sdk.CauseConfig}
	case known == nil:
		return p.origin.causes
	case known.Hash == hashOf(s.Object):
		if (render.IsSecret(s.Unstructured) || s.Sensitive != nil) && !others && p.valuesMayDiffer() {
			return p.origin.causes // the hash has no values
		}
		return []sdk.Cause{sdk.CauseDrift}
	}
	var causes []sdk.Cause
	same := known.Base == p.baseOf(s.Object) || known.Base == "" && p.inventory.Digest == p.set.Digest
	if !same || p.namesImages(s) {
		causes = slices.Clone(p.origin.causes)
	}
	if same || p.choosesImages(s) {
		causes = append(causes, sdk.CauseImage)
	}
	if others || same && !onlyImages(s.changes) {
		causes = append(causes, sdk.CauseDrift)
	}
	return causes
}

// valuesMayDiffer tells whether something was changed that the values of rendered Secrets may come from.
func (p *planning) valuesMayDiffer() bool {
	return p.prior != nil && !p.prior.Config.SameInputs(p.config.Config)
}

// choosesImages tells whether the argument images has another reference now for an image of the object.
func (p *planning) choosesImages(s *seen) bool {
	return p.prior != nil && slices.ContainsFunc(render.Containers(s.Object.Object), func(c render.Container) bool {
		name, chosen := p.set.Chosen[c.Image]
		return chosen && p.prior.Config.Images[name].OrZero() != c.Image
	})
}

// namesImages tells whether an image that the argument images does not choose is another one than in the cluster.
func (p *planning) namesImages(s *seen) bool {
	before := map[string]string{}
	for _, c := range render.Containers(s.live.Object) {
		before[c.Name] = c.Image
	}
	return slices.ContainsFunc(render.Containers(s.Object.Object), func(c render.Container) bool {
		_, chosen := p.set.Chosen[c.Image]
		return !chosen && before[c.Name] != c.Image
	})
}

// hashOf is the digest of an object as it is applied, without a Secret's values and without the stack in its owner mark.
func hashOf(o render.Object) string {
	u := o.DeepCopy()
	annotations := u.GetAnnotations()
	delete(annotations, stackAnnotation)
	delete(annotations, lineageAnnotation)
	u.SetAnnotations(annotations)
	return render.Digest([]render.Object{{Unstructured: u, Sensitive: o.Sensitive}})
}

// baseOf is the same of the object without the tags and digests of its images. An image that the argument images
// chooses counts as its key.
func (p *planning) baseOf(o render.Object) string {
	u := o.DeepCopy()
	for _, c := range render.Containers(u.Object) {
		name, chosen := p.set.Chosen[c.Image]
		if !chosen {
			name = render.ImageName(c.Image)
		}
		c.Set(name)
	}
	return hashOf(render.Object{Unstructured: u, Sensitive: o.Sensitive})
}

// onlyMarks tells whether the changes are of the owner mark alone.
func onlyMarks(changes []diff.Change) bool {
	return !slices.ContainsFunc(changes, func(c diff.Change) bool { return !diff.IsMark(c.Path) })
}

// onlyImages tells whether the changes are of images and the owner mark.
func onlyImages(changes []diff.Change) bool {
	return !slices.ContainsFunc(changes, func(c diff.Change) bool { return !diff.IsMark(c.Path) && !strings.HasSuffix(c.Path, "].image") })
}

// explain gives an update the reasons that its causes stand for, before those of its objects.
func (p *planning) explainCauses(result *sdk.PlanResult[Outputs]) {
	var reasons []string
	if slices.Contains(result.Causes, sdk.CauseImage) {
		reasons = append(reasons, imageReasons(result.Images)...)
	}
	if slices.Contains(result.Causes, sdk.CauseSource) {
		reason := "the manifests changed"
		if from := p.prior.Outputs.Revision; from != p.config.Source.Revision {
			reason += fmt.Sprintf(" (%s -> %s)", short(from), short(p.config.Source.Revision))
		}
		reasons = append(reasons, reason)
	}
	switch {
	case slices.Contains(result.Causes, sdk.CauseConfig) && len(p.origin.options) > 0:
		reasons = append(reasons, "the block's "+strings.Join(p.origin.options, ", ")+" changed")
	case slices.Contains(result.Causes, sdk.CauseConfig) && p.marksOnly(result.Items):
		reasons = append(reasons, "the owner mark of the objects now names the stack")
	}
	result.Reasons = append(reasons, result.Reasons...)
	if len(result.Reasons) == 0 {
		result.Reasons = []string{"the cluster's defaults or davit's rendering changed"}
	}
}

// marksOnly tells whether some item changes nothing but its owner mark.
func (p *planning) marksOnly(items []sdk.Item) bool {
	return slices.ContainsFunc(items, func(i sdk.Item) bool {
		return len(i.Fields) > 0 && !slices.ContainsFunc(i.Fields, func(f sdk.Field) bool { return !diff.IsMark(f.Path) })
	})
}

// imageReasons says which images change: "image registry.example.com/acme/api 1.2.0 -> 1.3.0".
func imageReasons(uses []sdk.ImageUse) []string {
	var reasons []string
	for _, u := range uses {
		if u.Before == "" {
			continue
		}
		after, known := u.After.Get()
		if !known {
			after = u.After.Prefix()
		}
		reason := "image " + imageStep(u.Before, after, known)
		if !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}

func imageStep(before, after string, known bool) string {
	name := render.ImageName(before)
	switch {
	case !known && render.ImageName(after) == name:
		return fmt.Sprintf("%s %s -> (known after build)", name, version(before))
	case !known:
		return fmt.Sprintf("%s -> (known after build)", before)
	case render.ImageName(after) != name:
		return fmt.Sprintf("%s -> %s", before, after)
	case version(before) == version(after):
		return fmt.Sprintf("%s -> %s", before, after)
	}
	return fmt.Sprintf("%s %s -> %s", name, version(before), version(after))
}

// version is a reference's tag, its digest when it has none.
func version(ref string) string {
	rest, digest, _ := strings.Cut(ref, "@")
	if tag := strings.TrimPrefix(strings.TrimPrefix(rest, render.ImageName(ref)), ":"); tag != "" {
		return tag
	}
	if digest != "" {
		return "@" + digest
	}
	return "(no tag)"
}
