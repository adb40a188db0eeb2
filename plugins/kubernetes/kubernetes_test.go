package kubernetes

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// What is tested against a real API server is in acceptance/kubernetes.

func TestThePluginsSchemaIsSound(t *testing.T) {
	if Plugin("1.0.0") == nil {
		t.Error("no plugin")
	}
}

func TestDeletable(t *testing.T) {
	const mine, other = "application.kubernetes.mine", "application.kubernetes.other"
	live := func(uid, owner, prune string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetUID(types.UID(uid))
		u.SetAnnotations(map[string]string{})
		if owner != "" {
			u.SetAnnotations(map[string]string{render.Annotation: owner, pruneAnnotation: prune})
		}
		return u
	}
	tests := map[string]struct {
		entry entry
		live  *unstructured.Unstructured
		want  bool
	}{
		"its own object": {entry{UID: "1"}, live("1", mine, ""), true},
		"its own object, whose annotation somebody removed":   {entry{UID: "1"}, live("1", "", ""), true},
		"its own object under the address that it had before": {entry{UID: "1"}, live("1", "application.kubernetes.old", ""), true},
		"another object of the same name":                     {entry{UID: "1"}, live("2", mine, ""), false},
		"an object that is another application's now":         {entry{UID: "1"}, live("1", other, ""), false},
		"an object that is to be kept":                        {entry{UID: "1"}, live("1", mine, "disabled"), false},
		"an object that was about to be made, and was":        {entry{}, live("1", mine, ""), true},
		"an object that was about to be made, by another":     {entry{}, live("1", other, ""), false},
		"an object that was about to be made, and was there":  {entry{}, live("1", "", ""), false},
		"a namespace that davit made":                         {entry{Kind: "Namespace", UID: "1"}, live("1", mine, ""), true},
		"a namespace that was there before":                   {entry{Kind: "Namespace", UID: "1", Adopted: true}, live("1", mine, ""), false},
		"an object that was there before":                     {entry{Kind: "ConfigMap", UID: "1", Adopted: true}, live("1", mine, ""), true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := deletable(test.entry, test.live, []string{mine, "application.kubernetes.old"}); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}

func TestOrderOfKinds(t *testing.T) {
	kinds := []schema.GroupKind{
		{Group: "acme.io", Kind: "Zone"}, {Group: "apps", Kind: "Deployment"}, {Kind: "Service"}, {Kind: "Secret"}, {Kind: "Namespace"},
		{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}, {Group: "rbac.authorization.k8s.io", Kind: "ClusterRole"},
		{Group: "admissionregistration.k8s.io", Kind: "ValidatingWebhookConfiguration"}, {Group: "node.k8s.io", Kind: "RuntimeClass"}, {Group: "acme.io", Kind: "ZoneClass"},
	}
	slices.SortFunc(kinds, later)
	var names []string
	for _, k := range kinds {
		names = append(names, k.Kind)
	}
	want := "CustomResourceDefinition Namespace RuntimeClass ClusterRole Secret Service Deployment Zone ZoneClass ValidatingWebhookConfiguration"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestTwoApplicationsMustNotShareAnObject(t *testing.T) {
	object := func(name string) render.Object {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetAPIVersion("v1")
		u.SetKind("ConfigMap")
		u.SetName(name)
		return render.Object{Unstructured: u}
	}
	c := claims{byAddress: map[string]claim{}}
	c.set("a", "server", []render.Object{object("x")})
	if other, shared := c.set("b", "server", []render.Object{object("x")}); other != "a" || shared == nil {
		t.Errorf("two on one server: %q %v", other, shared)
	}
	if other, _ := c.set("b", "another server", []render.Object{object("x")}); other != "" {
		t.Errorf("on two servers: %q", other)
	}
	if other, _ := c.set("a", "server", []render.Object{object("y")}); other != "" {
		t.Errorf("the same application again: %q", other)
	}
	if other, shared := c.set("c", "server", []render.Object{object("x")}); shared != nil {
		t.Errorf("an object that was given up: %q", other)
	}
	c.drop("c")
	if other, shared := c.set("d", "server", []render.Object{object("x")}); shared != nil {
		t.Errorf("an object of an application that is gone: %q", other)
	}
}

func TestRedactor(t *testing.T) {
	u := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Secret",
		"data": map[string]any{"a": "aHVudGVyMi1odW50ZXIy", "b": "not base64!", "short": "eA==", "odd": int64(12345)}}}
	redact := redactor([]render.Object{{Unstructured: u}})
	got := redact("clear hunter2-hunter2, encoded aHVudGVyMi1odW50ZXIy, broken not base64!, number 12345, x")
	if want := "clear (sensitive), encoded (sensitive), broken (sensitive), number (sensitive), x"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestInventorySurvivesItsJourney(t *testing.T) {
	v := inventory{Server: "s", Owner: "a", Entries: []entry{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "n", Name: "w", UID: "u", Hash: "h", Added: true}}}
	back, err := decodeInventory(v.encode())
	if err != nil || !slices.Equal(back.Entries, v.Entries) || back.Owner != "a" {
		t.Errorf("%+v %v", back, err)
	}
	if _, err := decodeInventory([]byte("{")); err == nil {
		t.Error("a broken inventory is taken for an empty one")
	}
}

func TestRevisionsAreShortened(t *testing.T) {
	for in, want := range map[string]string{strings.Repeat("ab", 20): "abababa", "v1.2.3": "v1.2.3", strings.Repeat("xy", 20): strings.Repeat("xy", 20)} {
		if got := short(in); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

var _ sdk.Validator[Config] = (*Application)(nil)
