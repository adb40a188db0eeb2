package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
)

// contents is what is deleted with a Namespace or a CustomResourceDefinition, besides what is deleted by itself.
type contents struct {
	kinds     map[string]int // kind -> objects that nothing else in there owns
	siblings  map[string]int // applications of this stack -> their objects among those
	names     []string       // some of the objects: "ConfigMap/settings"
	protected []string       // objects that must not be deleted, and why
	unlisted  []string       // kinds that could not be listed, and why
}

// maxNames is how many objects a message names.
const maxNames = 5

// holds tells whether objects of an entry's kind hold others, which are deleted with them.
func (e entry) holds() bool { return e.isNamespace() || e.isDefinition() }

func (e entry) isNamespace() bool { return e.APIVersion == "v1" && e.Kind == "Namespace" }

func (e entry) isDefinition() bool {
	return e.Kind == "CustomResourceDefinition" && strings.HasPrefix(e.APIVersion, "apiextensions.k8s.io/")
}

// contentsOf looks what would be deleted with an object. Objects in except are deleted by themselves. Of a namespace that
// create_namespace made, it is enough to know that there is something.
func contentsOf(ctx context.Context, c *cluster.Cluster, o owner, e entry, live *unstructured.Unstructured, except map[types.UID]bool) (*contents, error) {
	all := &contents{kinds: map[string]int{}, siblings: map[string]int{}}
	seen := map[types.UID]bool{} // the same object may be served in two groups
	visit := func(f cluster.Found) bool {
		if f.Owned || f.Meta.DeletionTimestamp != nil || except[f.Meta.UID] || seen[f.Meta.UID] {
			return true
		}
		seen[f.Meta.UID] = true
		all.add(o, f)
		return !e.Added || all.kinds[f.Kind] < 2
	}
	var err error
	if e.isNamespace() {
		all.unlisted, err = c.Contents(ctx, e.Name, visit)
	} else {
		err = c.Objects(ctx, defined(live), visit)
	}
	if err != nil {
		return nil, c.Explain(err, "look for objects that are deleted with", e.ref().Short())
	}
	slices.Sort(all.names)
	slices.Sort(all.protected)
	return all, nil
}

// defined is the kind that a definition defines.
func defined(definition *unstructured.Unstructured) schema.GroupKind {
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	return schema.GroupKind{Group: group, Kind: kind}
}

func (c *contents) add(o owner, f cluster.Found) {
	c.kinds[f.Kind]++
	c.names = append(c.names, f.Short())
	of := o.of(f.Meta.Annotations)
	m := markIn(f.Meta.Annotations)
	switch {
	case of == foreign:
		c.protected = append(c.protected, fmt.Sprintf("%s of %s", f.Short(), m))
	case disabled(f.Meta.Annotations):
		c.protected = append(c.protected, f.Short()+", which has "+pruneAnnotation+": disabled")
	case of == sibling:
		c.siblings[m.Application]++
	}
}

// keep says why the object that holds them must not be deleted, "" when it may be.
func (c *contents) keep(e entry) string {
	switch {
	case len(c.unlisted) > 0:
		return "it may contain objects of others: cannot list " + some(c.unlisted)
	case e.Added && len(c.names) > 0:
		return "it contains objects of others: " + some(c.names)
	case len(c.protected) > 0:
		return "it contains " + some(c.protected)
	}
	return ""
}

// String says what is deleted as well: "with everything in it: 2 ConfigMaps, 1 Role (1 of application.kubernetes.other)".
func (c *contents) String() string {
	if len(c.kinds) == 0 {
		return ""
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(c.kinds)) {
		parts = append(parts, count(c.kinds[kind], kind))
	}
	text := strings.Join(parts, ", ")
	var owners []string
	for _, application := range slices.Sorted(maps.Keys(c.siblings)) {
		owners = append(owners, fmt.Sprintf("%d of %s", c.siblings[application], application))
	}
	if len(owners) > 0 {
		text += " (" + strings.Join(owners, ", ") + ")"
	}
	return "with everything in it: " + text
}

// count is a number of objects: "1 Ingress", "2 NetworkPolicies".
func count(n int, kind string) string {
	switch {
	case n == 1 || strings.HasSuffix(kind, "Endpoints"):
	case strings.HasSuffix(kind, "y") && !strings.HasSuffix(kind, "ay") && !strings.HasSuffix(kind, "ey"):
		kind = strings.TrimSuffix(kind, "y") + "ies"
	case strings.HasSuffix(kind, "s") || strings.HasSuffix(kind, "x"):
		kind += "es"
	default:
		kind += "s"
	}
	return fmt.Sprintf("%d %s", n, kind)
}

// some names a few of the things, and how many more there are.
func some(names []string) string {
	if len(names) > maxNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNames], ", "), len(names)-maxNames)
	}
	return strings.Join(names, ", ")
}
