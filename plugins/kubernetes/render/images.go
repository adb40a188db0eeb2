package render

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"

	"github.com/davit-sh/davit/sdk"
)

// Container is one container of an object's pod template.
type Container struct {
	Name  string
	Image string
	set   func(image string)
}

// templates are where kinds keep their pod specification.
var templates = map[string][]string{
	"Pod":     {"spec"},
	"CronJob": {"spec", "jobTemplate", "spec", "template", "spec"},
}

// Containers lists the containers of an object's pod template in their order: those that
// run, those that initialise, those for debugging. Any kind with spec.template.spec has one.
func Containers(object map[string]any) []Container {
	kind, _ := object["kind"].(string)
	at, known := templates[kind]
	if !known {
		at = []string{"spec", "template", "spec"}
	}
	spec := object
	for _, field := range at {
		next, ok := spec[field].(map[string]any)
		if !ok {
			return nil
		}
		spec = next
	}
	var containers []Container
	for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
		items, _ := spec[list].([]any)
		for _, item := range items {
			c, ok := item.(map[string]any)
			if !ok {
				continue
			}
			name, _ := c["name"].(string)
			image, _ := c["image"].(string)
			containers = append(containers, Container{Name: name, Image: image, set: func(image string) { c["image"] = image }})
		}
	}
	return containers
}

// Set writes another image into the object.
func (c Container) Set(image string) { c.set(image) }

// setImages writes the chosen references in place of the images that the manifests name. chosen says which name each stands for.
func setImages(objects []Object, images map[string]sdk.Value[string]) (unknown, chosen map[string]string, err error) {
	unknown, chosen = map[string]string{}, map[string]string{}
	used := map[string]bool{}
	var names []string
	for _, x := range objects {
		for _, c := range Containers(x.Object) {
			name := ImageName(c.Image)
			names = append(names, name)
			ref, wanted := images[name]
			if !wanted {
				continue
			}
			used[name] = true
			text, known := ref.Get()
			switch {
			case ref.IsUnknown():
				text = placeholder(name, ref.Prefix())
				unknown[text] = ref.Prefix()
			case !known || text == "":
				return nil, nil, &sdk.Error{Summary: fmt.Sprintf("images: the reference for %q is empty", name), Path: sdk.At("images").Key(name), Code: "kubernetes.image"}
			}
			chosen[text] = name
			c.set(text)
		}
	}
	return unknown, chosen, unusedImages(images, used, names)
}

func unusedImages(images map[string]sdk.Value[string], used map[string]bool, names []string) error {
	var errs sdk.Errors
	for name := range images {
		if used[name] {
			continue
		}
		e := &sdk.Error{Summary: fmt.Sprintf("images: no container uses %q", name), Path: sdk.At("images").Key(name), Code: "kubernetes.image",
			Hint: "The key is the image name in the manifests, without tag or digest."}
		if near := nearest(name, names); near != "" {
			e.Hint = fmt.Sprintf("Did you mean %q? The key is the image name in the manifests, without tag or digest.", near)
		}
		errs = append(errs, e)
	}
	if len(errs) == 0 {
		return nil
	}
	slices.SortFunc(errs, func(a, b *sdk.Error) int { return strings.Compare(a.Summary, b.Summary) })
	return errs
}

// nearest is the most similar name. With one candidate only, that is it.
func nearest(name string, candidates []string) string {
	slices.Sort(candidates)
	candidates = slices.Compact(candidates)
	if len(candidates) == 1 {
		return candidates[0]
	}
	best, score := "", 0.5
	for _, c := range candidates {
		if s := levenshtein.Similarity(name, c, nil); s > score {
			best, score = c, s
		}
	}
	return best
}

// ImageName is a reference without its tag and digest. A colon before a slash is a port's.
func ImageName(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if colon := strings.LastIndexByte(ref, ':'); colon > strings.LastIndexByte(ref, '/') {
		return ref[:colon]
	}
	return ref
}

// placeholder is a reference that servers accept in a dry run. It keeps what is known, so
// that rules about registries see the registry.
func placeholder(name, prefix string) string {
	zeros := strings.Repeat("0", 64)
	switch {
	case prefix == "":
		return name + "@sha256:" + zeros
	case strings.Contains(prefix, "@"):
		full := prefix[:strings.IndexByte(prefix, '@')] + "@sha256:" + zeros
		return full
	case strings.HasSuffix(prefix, ":") || strings.HasSuffix(prefix, "/"):
		return prefix + "unknown@sha256:" + zeros
	default:
		return prefix + "@sha256:" + zeros
	}
}
