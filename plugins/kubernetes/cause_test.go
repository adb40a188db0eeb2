package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/diff"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// web is a Deployment with one container.
func web(image, mode string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
			map[string]any{"name": "api", "image": image, "env": []any{map[string]any{"name": "MODE", "value": mode}}},
		}}}}}}
}

// Causes come from comparing what was applied last, what is rendered now and what the cluster has.
func TestCausesOfAnObject(t *testing.T) {
	const one, two = "registry.example.com/api:1", "registry.example.com/api:2"
	source, config := []sdk.Cause{sdk.CauseSource}, []sdk.Cause{sdk.CauseConfig}
	tests := map[string]struct {
		applied, live, rendered *unstructured.Unstructured
		chosen                  bool // by the argument images
		origin                  []sdk.Cause
		want                    string
	}{
		"a chosen image":                 {web(one, "a"), web(one, "a"), web(two, "a"), true, config, "image"},
		"an image, and somebody's hand":  {web(one, "a"), web(one, "b"), web(two, "a"), true, config, "image drift"},
		"the files":                      {web(one, "a"), web(one, "a"), web(one, "b"), true, source, "source"},
		"the arguments":                  {web(one, "a"), web(one, "a"), web(one, "b"), true, config, "config"},
		"the files and a chosen image":   {web(one, "a"), web(one, "a"), web(two, "b"), true, source, "source image"},
		"a tag that the files name":      {web(one, "a"), web(one, "a"), web(two, "a"), false, source, "source image"},
		"a tag that the values name":     {web(one, "a"), web(one, "a"), web(two, "a"), false, config, "config image"},
		"somebody's hand":                {web(one, "a"), web(one, "b"), web(one, "a"), true, source, "drift"},
		"somebody's hand, at the image":  {web(one, "a"), web(two, "a"), web(one, "a"), true, source, "drift"},
		"files that changed elsewhere":   {web(one, "a"), web(one, "b"), web(one, "a"), false, source, "drift"},
		"the arguments, source the same": {web(one, "a"), web(one, "b"), web(one, "b"), true, config, "config"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			planned := func(u *unstructured.Unstructured) *planning {
				p := &planning{set: &render.Set{Chosen: map[string]string{}}, prior: &sdk.Record[Config, Outputs]{}, origin: origin{causes: test.origin}}
				image := render.Containers(u.Object)[0].Image
				if test.chosen {
					p.set.Chosen[image] = "api"
				}
				p.prior.Config.Images = map[string]sdk.Value[string]{"api": sdk.Known(render.Containers(test.applied.Object)[0].Image)}
				return p
			}
			applied, rendered := render.Object{Unstructured: test.applied}, render.Object{Unstructured: test.rendered}
			known := &entry{Hash: hashOf(applied), Base: planned(test.applied).baseOf(applied)}
			s := &seen{Object: rendered, ref: cluster.RefOf(test.rendered), live: test.live, changes: diff.Compare(test.live.Object, test.rendered.Object, diff.Options{})}
			if got := strings.Trim(fmt.Sprint(planned(test.rendered).causesOf(s, known)), "[]"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestImageReasons(t *testing.T) {
	uses := []sdk.ImageUse{
		{Before: "nginx:1.2", After: sdk.Known("nginx:1.3")}, {Before: "nginx:1.2", After: sdk.Known("nginx:1.3")}, {After: sdk.Known("new:1")},
		{Before: "h:5000/a:1@sha256:aa", After: sdk.Known("h:5000/a:2@sha256:bb")}, {Before: "a:1", After: sdk.Known("b:1")},
		{Before: "a:1@sha256:aa", After: sdk.Known("a:1@sha256:bb")}, {Before: "a:1", After: sdk.UnknownPrefix("a:")},
	}
	want := []string{"image nginx 1.2 -> 1.3", "image h:5000/a 1 -> 2", "image a:1 -> b:1", "image a:1@sha256:aa -> a:1@sha256:bb", "image a 1 -> (known after build)"}
	if got := imageReasons(uses); !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestContentsAreSaidAndProtected(t *testing.T) {
	me := owner{mark{"application.kubernetes.web", "shop", here}, nil}
	found := func(kind, name string, annotations ...string) cluster.Found {
		f := cluster.Found{Ref: cluster.Ref{Name: name}, Meta: metav1.ObjectMeta{Annotations: object("", annotations...).GetAnnotations()}}
		f.Kind = kind
		return f
	}
	of := func(application, lineage string) []string {
		return []string{render.Annotation, application, lineageAnnotation, lineage, stackAnnotation, "blue"}
	}
	namespace := entry{APIVersion: "v1", Kind: "Namespace", Name: "shop"}
	added := namespace
	added.Added = true
	tests := map[string]struct {
		entry    entry
		inside   []cluster.Found
		unlisted []string
		says     string // what goes with it
		keep     string // "": it may be deleted
	}{
		"nothing": {entry: namespace},
		"objects of nobody": {entry: namespace, inside: []cluster.Found{found("Role", "a"), found("NetworkPolicy", "b"), found("NetworkPolicy", "c"), found("Ingress", "d"), found("Ingress", "e")},
			says: "with everything in it: 2 Ingresses, 2 NetworkPolicies, 1 Role"},
		"an object of another application": {entry: namespace, inside: []cluster.Found{found("Role", "a", of("application.kubernetes.other", here)...), found("Role", "b")},
			says: "with everything in it: 2 Roles (1 of application.kubernetes.other)"},
		"an object of another stack": {entry: namespace, inside: []cluster.Found{found("Role", "a", of("application.kubernetes.web", there)...)},
			says: "1 Role", keep: `it contains Role/a of application.kubernetes.web of stack "blue"`},
		"an object that is never to be deleted": {entry: namespace, inside: []cluster.Found{found("Role", "a", append(of("application.kubernetes.web", here), pruneAnnotation, "disabled")...)},
			says: "1 Role", keep: "it contains Role/a, which has davit.sh/prune: disabled"},
		"a kind that cannot be listed":               {entry: namespace, unlisted: []string{"secrets (not allowed)"}, keep: "cannot list secrets (not allowed)"},
		"a namespace of create_namespace":            {entry: added},
		"a namespace of create_namespace, with more": {entry: added, inside: []cluster.Found{found("Role", "a")}, says: "1 Role", keep: "it contains objects of others: Role/a"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := &contents{kinds: map[string]int{}, siblings: map[string]int{}, unlisted: test.unlisted}
			for _, f := range test.inside {
				c.add(me, f)
			}
			if got := c.String(); (got == "") != (test.says == "") || !strings.Contains(got, test.says) {
				t.Errorf("it says %q, want %q", got, test.says)
			}
			if got := c.keep(test.entry); (got == "") != (test.keep == "") || !strings.Contains(got, test.keep) {
				t.Errorf("it is kept because %q, want %q", got, test.keep)
			}
		})
	}
}
