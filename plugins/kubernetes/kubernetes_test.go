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

const (
	here  = "11111111-aaaa"
	there = "22222222-bbbb"
)

// object is a live object with a UID and annotations: keys and values in turn.
func object(uid string, annotations ...string) *unstructured.Unstructured {
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetUID(types.UID(uid))
	all := map[string]string{}
	for i := 0; i < len(annotations); i += 2 {
		all[annotations[i]] = annotations[i+1]
	}
	u.SetAnnotations(all)
	return u
}

func TestReasonToKeep(t *testing.T) {
	const mine, other = "application.kubernetes.mine", "application.kubernetes.other"
	me := owner{mark{mine, "shop", here}, []string{"application.kubernetes.old"}}
	marked := func(uid, application, lineage string, more ...string) *unstructured.Unstructured {
		return object(uid, append([]string{render.Annotation, application, stackAnnotation, "blue", lineageAnnotation, lineage}, more...)...)
	}
	tests := map[string]struct {
		entry entry
		live  *unstructured.Unstructured
		want  string // "": it may be deleted
	}{
		"its own object": {entry{UID: "1"}, marked("1", mine, here), ""},
		"its own object with a mark of the first versions":    {entry{UID: "1"}, object("1", render.Annotation, mine), ""},
		"its own object, whose annotation somebody removed":   {entry{UID: "1"}, object("1"), ""},
		"its own object under the address that it had before": {entry{UID: "1"}, marked("1", "application.kubernetes.old", here), ""},
		"another object with the same name":                   {entry{UID: "1"}, marked("2", mine, here), "another object with the same name"},
		"an object that is another application's now":         {entry{UID: "1"}, marked("1", other, here), "belongs to " + other},
		"an object that is another stack's now":               {entry{UID: "1"}, marked("1", mine, there), `now belongs to ` + mine + ` of stack "blue"`},
		"an object that is to be kept":                        {entry{UID: "1"}, marked("1", mine, here, pruneAnnotation, "Disabled"), "davit.sh/prune: disabled"},
		"an object that was about to be made, and was":        {entry{}, marked("1", mine, here), ""},
		"an object that was about to be made, by another":     {entry{}, marked("1", other, here), neverMade},
		"an object that was about to be made, by a stack":     {entry{}, marked("1", mine, there), neverMade},
		"an object that was about to be made, and was there":  {entry{}, object("1"), neverMade},
		"a namespace that davit made":                         {entry{APIVersion: "v1", Kind: "Namespace", UID: "1"}, marked("1", mine, here), ""},
		"a namespace that was there before":                   {entry{APIVersion: "v1", Kind: "Namespace", UID: "1", Adopted: true}, marked("1", mine, here), "existed before davit"},
		"an object that was there before":                     {entry{APIVersion: "v1", Kind: "ConfigMap", UID: "1", Adopted: true}, marked("1", mine, here), ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := reasonToKeep(test.entry, test.live, me); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
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
