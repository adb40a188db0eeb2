package render

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

func addNamespace(objects []Object, o Options) []Object {
	if !o.CreateNamespace || o.Namespace == "" || o.Namespace == "default" {
		return objects
	}
	for _, x := range objects {
		if x.GetKind() == "Namespace" && x.GetAPIVersion() == "v1" && x.GetName() == o.Namespace {
			return objects
		}
	}
	u := &unstructured.Unstructured{Object: map[string]any{}}
	u.SetAPIVersion("v1")
	u.SetKind("Namespace")
	u.SetName(o.Namespace)
	return append(objects, Object{Unstructured: u, File: "create_namespace", Added: true})
}

// setScope gives namespaced objects their namespace and takes it from the others.
func setScope(ctx context.Context, objects []Object, o Options) error {
	crds := definedScopes(objects)
	for _, x := range objects {
		namespaced, err := scopeOf(ctx, x.GroupVersionKind(), crds, o.Scope)
		if err != nil {
			return err
		}
		switch {
		case !namespaced:
			x.SetNamespace("")
		case x.GetNamespace() == "" && o.Namespace != "":
			x.SetNamespace(o.Namespace)
		}
	}
	return nil
}

func scopeOf(ctx context.Context, gvk schema.GroupVersionKind, crds map[schema.GroupKind]bool, ask Scope) (bool, error) {
	apiVersion, kind := gvk.ToAPIVersionAndKind()
	if namespaced, found := openapi.IsNamespaceScoped(kyaml.TypeMeta{APIVersion: apiVersion, Kind: kind}); found {
		return namespaced, nil
	}
	if namespaced, found := crds[gvk.GroupKind()]; found {
		return namespaced, nil
	}
	if ask != nil {
		if namespaced, known, err := ask(ctx, gvk); err != nil || known {
			return namespaced, err
		}
	}
	return true, nil
}

// definedScopes are the kinds that CRDs among the objects define.
func definedScopes(objects []Object) map[schema.GroupKind]bool {
	scopes := map[schema.GroupKind]bool{}
	for _, x := range objects {
		if x.GetKind() != "CustomResourceDefinition" {
			continue
		}
		group, _, _ := unstructured.NestedString(x.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(x.Object, "spec", "names", "kind")
		scope, _, _ := unstructured.NestedString(x.Object, "spec", "scope")
		scopes[schema.GroupKind{Group: group, Kind: kind}] = scope == "Namespaced"
	}
	return scopes
}

// Defines tells whether a CRD among the objects defines the kind.
func (s *Set) Defines(gk schema.GroupKind) bool {
	_, found := definedScopes(s.Objects)[gk]
	return found
}

// Makes tells whether a Namespace of this name is among the objects.
func (s *Set) Makes(namespace string) bool {
	return slices.ContainsFunc(s.Objects, func(o Object) bool {
		return o.GetKind() == "Namespace" && o.GetAPIVersion() == "v1" && o.GetName() == namespace
	})
}

func setMetadata(x Object, o Options) {
	if len(o.Labels) > 0 {
		labels := x.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, o.Labels)
		x.SetLabels(labels)
	}
	if o.Application != "" {
		annotations := x.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[Annotation] = o.Application
		x.SetAnnotations(annotations)
	}
}

// normalise takes out what the server sets, and writes stringData as data: the server
// does too, and a manager who owns stringData could never remove a key again.
func normalise(u *unstructured.Unstructured) {
	unstructured.RemoveNestedField(u.Object, "status")
	for _, field := range []string{"creationTimestamp", "managedFields", "resourceVersion", "uid", "generation", "selfLink"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	if !IsSecret(u) {
		return
	}
	texts, ok := u.Object["stringData"].(map[string]any)
	if !ok {
		return
	}
	data, _ := u.Object["data"].(map[string]any)
	if data == nil {
		data = map[string]any{}
	}
	for key, value := range texts {
		text, isText := value.(string)
		if !isText {
			return // the server refuses it with a message of its own
		}
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	u.Object["data"] = data
	delete(u.Object, "stringData")
}

// Digest is a digest over objects, "sha256:<hex>". The values of Secrets are left out: a digest of a short secret gives it away.
func Digest(objects []Object) string {
	sum := sha256.New()
	for _, x := range objects {
		content, _ := x.Sensitive.Apply(x.Object).(map[string]any)
		if IsSecret(x.Unstructured) {
			content = WithoutValues(x.Unstructured).Object
		}
		// Maps are written in the order of their keys. What came from JSON goes back to JSON.
		text, _ := json.Marshal(content)
		sum.Write(text)
		sum.Write([]byte{0})
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// digest is that of a Set.
func (o Options) digest(objects []Object) string {
	sum := sha256.New()
	o = o.masked()
	text, _ := json.Marshal([]any{Digest(objects), o.Namespace, o.Labels, o.Application})
	sum.Write(text)
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// WithoutValues is a copy of a Secret that has its keys only.
func WithoutValues(u *unstructured.Unstructured) *unstructured.Unstructured {
	c := u.DeepCopy()
	for _, field := range []string{"data", "stringData"} {
		values, ok := c.Object[field].(map[string]any)
		if !ok {
			delete(c.Object, field)
			continue
		}
		for key := range values {
			values[key] = Mask
		}
	}
	return c
}

// Mask stands for a value that is not shown.
const Mask = "(sensitive)"
