package kubernetes

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/kustomize/kyaml/resid"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/mask"
)

// inventory is what state keeps of an application: which objects are its own. It holds no
// content of them.
type inventory struct {
	Server  string  `json:"server,omitempty"`
	Owner   string  `json:"owner,omitempty"` // the address that the objects were annotated with
	Stack   string  `json:"stack,omitempty"` // the same of the stack's name and lineage
	Lineage string  `json:"lineage,omitempty"`
	Digest  string  `json:"digest,omitempty"`
	Entries []entry `json:"objects,omitempty"`
}

// entry is one object of an application.
type entry struct {
	APIVersion string `json:"api_version"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name"`
	// UID tells the object from a later one of the same name. It is empty while the object is about to be made.
	UID types.UID `json:"uid,omitempty"`
	// Hash is the digest of the object as it was applied, without a Secret's values.
	Hash string `json:"hash,omitempty"`
	// Base is the same without the tags and digests of images.
	Base string `json:"base,omitempty"`
	// Sensitive are the parts of the object that depended on something sensitive. The digests are without them.
	Sensitive *mask.Tree `json:"sensitive,omitempty"`
	// Adopted says that the object was there before davit; a Namespace that was is never deleted.
	Adopted bool `json:"adopted,omitempty"`
	// Added says that create_namespace made it; it is deleted only when nothing else is in it.
	Added bool `json:"added,omitempty"`
}

func (e entry) ref() cluster.Ref {
	return cluster.Ref{GroupVersionKind: schema.FromAPIVersionAndKind(e.APIVersion, e.Kind), Namespace: e.Namespace, Name: e.Name}
}

func entryOf(r cluster.Ref) entry {
	apiVersion, kind := r.ToAPIVersionAndKind()
	return entry{APIVersion: apiVersion, Kind: kind, Namespace: r.Namespace, Name: r.Name}
}

// key is the key of an item: "apps/v1/Deployment/shop/web".
func key(r cluster.Ref) string {
	apiVersion, kind := r.ToAPIVersionAndKind()
	if r.Namespace == "" {
		return fmt.Sprintf("%s/%s/%s", apiVersion, kind, r.Name)
	}
	return fmt.Sprintf("%s/%s/%s/%s", apiVersion, kind, r.Namespace, r.Name)
}

// id is what stays the same when an object is served under another version.
type id struct{ group, kind, namespace, name string }

func idOf(r cluster.Ref) id { return id{r.Group, r.Kind, r.Namespace, r.Name} }

func decodeInventory(private []byte) (inventory, error) {
	var v inventory
	if len(private) == 0 {
		return v, nil
	}
	if err := json.Unmarshal(private, &v); err != nil {
		return v, fmt.Errorf("the application's inventory in state cannot be read: %w", err)
	}
	return v, nil
}

func (v inventory) encode() []byte {
	text, _ := json.Marshal(v) // strings and booleans only
	return text
}

func (v inventory) find(r cluster.Ref) *entry {
	for i := range v.Entries {
		if idOf(v.Entries[i].ref()) == idOf(r) {
			return &v.Entries[i]
		}
	}
	return nil
}

// put adds an entry or replaces that of the same object.
func (v *inventory) put(e entry) {
	if old := v.find(e.ref()); old != nil {
		*old = e
		return
	}
	v.Entries = append(v.Entries, e)
}

func (v *inventory) drop(r cluster.Ref) {
	v.Entries = slices.DeleteFunc(v.Entries, func(e entry) bool { return idOf(e.ref()) == idOf(r) })
}

func (v inventory) clone() inventory {
	v.Entries = slices.Clone(v.Entries)
	return v
}

// later orders kinds: negative when objects of kind a are applied before those of b, and
// deleted after them. Definitions come first and custom resources after built-in workloads.
func later(a, b schema.GroupKind) int {
	if a == b {
		return 0
	}
	if ra, rb := stage(a), stage(b); ra != rb {
		return ra - rb
	}
	if (resid.Gvk{Group: a.Group, Kind: a.Kind}).IsLessThan(resid.Gvk{Group: b.Group, Kind: b.Kind}) {
		return -1
	}
	return 1
}

// stage is lower for what others need to exist; Kustomize's order, within a stage, has not heard of all classes.
func stage(gk schema.GroupKind) int {
	switch {
	case gk.String() == "CustomResourceDefinition.apiextensions.k8s.io":
		return 0
	case gk.String() == "Namespace":
		return 1
	case !custom(gk.Group) && strings.HasSuffix(gk.Kind, "Class"):
		return 2
	}
	return 3
}
