package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

const (
	listParallel = 16  // lists under way at once
	listPage     = 250 // objects in one answer; metadata only
)

// Found is the metadata of one object that a list has.
type Found struct {
	Ref
	Meta metav1.ObjectMeta
	// Owned says that an object of the same namespace owns it: it comes and goes with that one.
	Owned bool
}

// Contents lists the objects in a namespace, of every kind that the server can list and that can be made or deleted.
// Objects that Kubernetes itself puts into every namespace are left out. visit is called for one object at a time; when
// it returns false, no more objects of that kind are read. unlisted says which kinds could not be listed, and why.
func (c *Cluster) Contents(ctx context.Context, namespace string, visit func(Found) bool) (unlisted []string, err error) {
	lists, err := discovery.ServerPreferredNamespacedResourcesWithContext(ctx, c.discovery)
	if failed, partly := errors.AsType[*discovery.ErrGroupDiscoveryFailed](err); partly {
		for gv, err := range failed.Groups {
			unlisted = append(unlisted, fmt.Sprintf("%s (%s)", gv, sentence(err.Error())))
		}
	} else if err != nil {
		return nil, err
	}
	kinds := listable(lists)
	namespaced := map[schema.GroupKind]bool{}
	for _, k := range kinds {
		namespaced[k.GroupKind()] = true
	}
	var mu sync.Mutex
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(listParallel)
	for _, k := range kinds {
		group.Go(func() error {
			_, err := c.pages(inner, k, namespace, func(f Found) bool {
				if ofKubernetes(f) {
					return true
				}
				f.Owned = slices.ContainsFunc(f.Meta.OwnerReferences, func(o metav1.OwnerReference) bool {
					return namespaced[schema.FromAPIVersionAndKind(o.APIVersion, o.Kind).GroupKind()]
				})
				mu.Lock()
				defer mu.Unlock()
				return visit(f)
			})
			if err == nil || inner.Err() != nil {
				return err
			}
			if !counts(err) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			unlisted = append(unlisted, fmt.Sprintf("%s (%s)", groupResource(k), why(err)))
			return nil
		})
	}
	err = group.Wait()
	slices.Sort(unlisted)
	return unlisted, err
}

// Objects lists all objects of a kind in all namespaces, in a version that the server has.
func (c *Cluster) Objects(ctx context.Context, gk schema.GroupKind, visit func(Found) bool) error {
	found, k, err := c.kinds.serving(ctx, gk.WithVersion(""))
	if err != nil || k == nil {
		return err
	}
	_, err = c.pages(ctx, listed{found, k.Resource}, "", visit)
	return err
}

// counts tells an answer about one kind from a failure that all requests have in common.
func counts(err error) bool {
	_, answered := err.(apierrors.APIStatus)
	return answered && !apierrors.IsUnauthorized(err)
}

func why(err error) string {
	if apierrors.IsForbidden(err) {
		return "not allowed"
	}
	return sentence(err.Error())
}

// listed is a kind and the resource that it is listed by.
type listed struct {
	schema.GroupVersionKind
	resource string
}

func groupResource(k listed) schema.GroupResource {
	return schema.GroupResource{Group: k.Group, Resource: k.resource}
}

// listable picks the kinds of objects that are kept: those that can be listed, and made or deleted. What can only be read,
// such as metrics, is a view of other objects. Events tell of objects, and end by themselves.
func listable(lists []*metav1.APIResourceList) []listed {
	var all []listed
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, r := range list.APIResources {
			kept := slices.Contains(r.Verbs, "list") && (slices.Contains(r.Verbs, "create") || slices.Contains(r.Verbs, "delete"))
			if !kept || strings.Contains(r.Name, "/") || r.Kind == "Event" && (gv.Group == "" || gv.Group == "events.k8s.io") {
				continue
			}
			all = append(all, listed{gv.WithKind(r.Kind), r.Name})
		}
	}
	return all
}

const metadataOnly = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

// path is where the objects of a kind are served. An empty namespace stands for all.
func (k listed) path(namespace string) []string {
	path := []string{"/apis", k.Group, k.Version}
	if k.Group == "" {
		path = []string{"/api", k.Version}
	}
	if namespace != "" {
		path = append(path, "namespaces", namespace)
	}
	return append(path, k.resource)
}

// pages lists objects of one kind, metadata only, until visit returns false. It returns the version of the list, for a watch that goes on
// from there.
func (c *Cluster) pages(ctx context.Context, k listed, namespace string, visit func(Found) bool) (version string, err error) {
	for next := ""; ; {
		timed, cancel := context.WithTimeout(ctx, requestTimeout)
		request := c.rest.Get().AbsPath(k.path(namespace)...).SetHeader("Accept", metadataOnly).Param("limit", fmt.Sprint(listPage))
		if next != "" {
			request = request.Param("continue", next)
		}
		body, err := request.DoRaw(timed)
		cancel()
		if err != nil {
			return "", err
		}
		var page metav1.PartialObjectMetadataList
		if err := json.Unmarshal(body, &page); err != nil {
			return "", fmt.Errorf("the list of %s cannot be read: %w", groupResource(k), err)
		}
		for i := range page.Items {
			meta := page.Items[i].ObjectMeta
			if !visit(Found{Ref: Ref{k.GroupVersionKind, meta.Namespace, meta.Name}, Meta: meta}) {
				return "", nil
			}
		}
		if next = page.Continue; next == "" {
			return page.ResourceVersion, nil
		}
	}
}

// ofKubernetes tells what Kubernetes itself puts into every namespace, or beside a Service.
func ofKubernetes(f Found) bool {
	switch f.GroupKind().String() {
	case "ConfigMap":
		return f.Name == "kube-root-ca.crt"
	case "ServiceAccount":
		return f.Name == "default"
	case "Secret":
		return f.Meta.Annotations["kubernetes.io/service-account.name"] == "default" && strings.HasPrefix(f.Name, "default-token-")
	case "Endpoints":
		return f.Meta.Labels["endpoints.kubernetes.io/managed-by"] == "endpoint-controller" || madeByControllers(f)
	}
	return false
}

// madeByControllers tells whether nobody but Kubernetes' own controllers manages fields of an object.
func madeByControllers(f Found) bool {
	return len(f.Meta.ManagedFields) > 0 && !slices.ContainsFunc(f.Meta.ManagedFields, func(e metav1.ManagedFieldsEntry) bool {
		return e.Manager != "kube-controller-manager"
	})
}
