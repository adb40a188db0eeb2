// Package cluster is a connection to one Kubernetes API server: it finds out how kinds are
// served, reads, applies (server-side, as davit's field manager) and deletes objects, and
// turns the server's errors into ones for people.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/davit-sh/davit/plugins/kubernetes/diff"
	"github.com/davit-sh/davit/sdk"
)

// requestTimeout is how long one request may take. Admission webhooks have up to 30 s each.
const requestTimeout = 60 * time.Second

// Access says where a cluster is and as whom to talk to it.
type Access struct {
	Kubeconfig string // file; empty: KUBECONFIG, ~/.kube/config, or the pod's own service account
	Context    string // of the kubeconfig; empty: its current one
	CacheDir   string // for what kinds the server has; empty: memory only
}

// Cluster is one API server. All methods may be called concurrently.
type Cluster struct {
	Server  string // "https://127.0.0.1:6443"
	Context string // for people: the kubeconfig's context or "in-cluster"

	objects   dynamic.Interface
	rest      rest.Interface
	discovery *discovery.DiscoveryClient
	kinds     *kinds

	mu    sync.Mutex
	asked bool // for uid
	uid   string
}

// Ref names an object.
type Ref struct {
	schema.GroupVersionKind
	Namespace, Name string
}

// RefOf is the object's name.
func RefOf(u *unstructured.Unstructured) Ref {
	return Ref{u.GroupVersionKind(), u.GetNamespace(), u.GetName()}
}

// Short is the object for people: "Deployment/web".
func (r Ref) Short() string { return r.Kind + "/" + r.Name }

// Connect reads the credentials. It does not talk to the server.
func Connect(access Access) (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = access.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: access.Context})
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, accessError(access, loader, err)
	}
	name := access.Context
	if raw, err := loader.RawConfig(); err == nil && name == "" {
		name = raw.CurrentContext
	}
	if name == "" {
		name = "in-cluster"
	}
	return dial(config, name, access.CacheDir)
}

func dial(config *rest.Config, name, cacheDir string) (*Cluster, error) {
	config = dynamic.ConfigFor(config)
	config.UserAgent = "davit"
	// The server has priority and fairness of its own; the client's limit of 5 a second only slows down.
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	config.Dial = (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, &sdk.Error{Summary: fmt.Sprintf("the credentials of context %q cannot be used", name), Err: err, Code: "kubernetes.credentials", Path: sdk.At("context")}
	}
	objects, err := dynamic.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client for context %q: %w", name, err)
	}
	raw, err := rawClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client for context %q: %w", name, err)
	}
	found, err := discovery.NewDiscoveryClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("cannot make a client for context %q: %w", name, err)
	}
	c := &Cluster{Server: config.Host, Context: name, objects: objects, rest: raw, discovery: found}
	c.kinds = newKinds(raw, cacheDir, config)
	return c, nil
}

func rawClient(config *rest.Config, httpClient *http.Client) (rest.Interface, error) {
	config = rest.CopyConfig(config)
	config.GroupVersion = &schema.GroupVersion{}
	config.APIPath = "/"
	return rest.RESTClientForConfigAndClient(config, httpClient)
}

func accessError(access Access, loader clientcmd.ClientConfig, err error) error {
	e := &sdk.Error{Summary: "no Kubernetes cluster is configured", Err: err, Code: "kubernetes.kubeconfig", Path: sdk.At("kubeconfig")}
	raw, rawErr := loader.RawConfig()
	switch {
	case rawErr != nil:
		e.Summary = "the kubeconfig cannot be read"
	case access.Context != "" && raw.Contexts[access.Context] == nil:
		names := make([]string, 0, len(raw.Contexts))
		for name := range raw.Contexts {
			names = append(names, name)
		}
		e.Summary, e.Path = fmt.Sprintf("the kubeconfig has no context %q", access.Context), sdk.At("context")
		e.Detail = "It has " + oneOf(names) + "."
	case clientcmd.IsEmptyConfig(err):
		e.Detail = "No kubeconfig was found, and davit does not run in a pod."
		e.Hint = "Set kubeconfig in the block or KUBECONFIG in the environment, or use application \"manifests\" to render into a directory."
	}
	return e
}

// namespaceOfClusters is in every cluster as long as the cluster lives.
const namespaceOfClusters = "kube-system"

// ID identifies the cluster, whatever address and context lead to it. It is empty for who may not read the namespace that has it.
func (c *Cluster) ID(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked {
		return c.uid, nil
	}
	u, err := c.Get(ctx, Ref{schema.GroupVersionKind{Version: "v1", Kind: "Namespace"}, "", namespaceOfClusters})
	if err != nil && !Forbidden(err) {
		return "", err
	}
	c.asked = true
	if u != nil {
		c.uid = string(u.GetUID())
	}
	return c.uid, nil
}

// Scope tells whether objects of a kind live in a namespace, and whether the server knows the kind.
func (c *Cluster) Scope(ctx context.Context, gvk schema.GroupVersionKind) (namespaced, known bool, err error) {
	k, err := c.kinds.lookup(ctx, gvk)
	if err != nil || k == nil {
		return false, false, err
	}
	return k.Namespaced, true, nil
}

// Serves asks the server whether it has a kind in exactly this version now, whatever it said before.
func (c *Cluster) Serves(ctx context.Context, gvk schema.GroupVersionKind) (bool, error) {
	c.kinds.forget(gvk.GroupVersion())
	k, err := c.kinds.lookup(ctx, gvk)
	return k != nil, err
}

// UnknownKindError says that the server does not serve a kind in the version that was asked for.
type UnknownKindError struct {
	schema.GroupVersionKind
	Served string // another version in which the server has the kind; empty when there is none
}

func (e *UnknownKindError) Error() string {
	if e.Served != "" {
		return fmt.Sprintf("the cluster has the kind %s in %s, not in %s", e.Kind, schema.GroupVersion{Group: e.Group, Version: e.Served}, e.GroupVersion())
	}
	return fmt.Sprintf("the cluster has no kind %s in %s", e.Kind, e.GroupVersion())
}

// resource calls do with the client for a kind in exactly the version of ref.
func (c *Cluster) resource(ctx context.Context, ref Ref, do func(context.Context, dynamic.ResourceInterface) error) error {
	return c.versioned(ctx, ref, func(served string) error { return &UnknownKindError{ref.GroupVersionKind, served} }, do)
}

// anyVersion calls do with the client for a kind in a version that the server has, that of ref if possible: an object
// stays the same when the version is removed in which it was applied.
func (c *Cluster) anyVersion(ctx context.Context, ref Ref, do func(context.Context, dynamic.ResourceInterface) error) error {
	return c.versioned(ctx, ref, func(string) error { return nil }, do)
}

// versioned calls other with the version that is served instead of that of ref, and stops when it returns an error. When the
// server says that it does not serve what was cached, the cache is thrown away and do is called once more.
func (c *Cluster) versioned(ctx context.Context, ref Ref, other func(served string) error, do func(context.Context, dynamic.ResourceInterface) error) error {
	for attempt := 0; ; attempt++ {
		found, kind, err := c.kinds.serving(ctx, ref.GroupVersionKind)
		if err != nil {
			return err
		}
		if kind == nil {
			return &UnknownKindError{ref.GroupVersionKind, ""}
		}
		if found.Version != ref.Version {
			if err := other(found.Version); err != nil {
				return err
			}
		}
		var client dynamic.ResourceInterface = c.objects.Resource(found.GroupVersion().WithResource(kind.Resource))
		if kind.Namespaced {
			client = c.objects.Resource(found.GroupVersion().WithResource(kind.Resource)).Namespace(ref.Namespace)
		}
		timed, cancel := context.WithTimeout(ctx, requestTimeout)
		err = do(timed, client)
		cancel()
		if attempt == 0 && notServed(err) {
			c.kinds.forget(found.GroupVersion())
			continue
		}
		return err
	}
}

// notServed tells a path that the server does not have from an object that it does not have.
func notServed(err error) bool {
	status, ok := err.(apierrors.APIStatus)
	if !ok || !apierrors.IsNotFound(err) {
		return false
	}
	details := status.Status().Details
	return details == nil || details.Name == "" || strings.Contains(status.Status().Message, "could not find the requested resource")
}

// Get reads an object, in another version than that of ref if the server does not have that one any more. It returns nil
// when the object, its namespace or its kind is not there.
func (c *Cluster) Get(ctx context.Context, ref Ref) (*unstructured.Unstructured, error) {
	var u *unstructured.Unstructured
	err := c.anyVersion(ctx, ref, func(ctx context.Context, r dynamic.ResourceInterface) (err error) {
		u, err = r.Get(ctx, ref.Name, metav1.GetOptions{})
		return err
	})
	if _, unknown := errors.AsType[*UnknownKindError](err); unknown || apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return u, nil
}

// ApplyOptions say how to apply.
type ApplyOptions struct {
	DryRun bool // let the server do everything but store it
	Force  bool // take over fields that others own
}

// Apply applies an object as davit's and returns it as the server has it (or would have it).
func (c *Cluster) Apply(ctx context.Context, u *unstructured.Unstructured, o ApplyOptions) (*unstructured.Unstructured, error) {
	body, err := json.Marshal(u.Object)
	if err != nil {
		return nil, err
	}
	options := metav1.PatchOptions{FieldManager: diff.Manager, Force: &o.Force, FieldValidation: metav1.FieldValidationStrict}
	if o.DryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	return c.patch(ctx, RefOf(u), types.ApplyPatchType, body, options)
}

// Create makes an object that is not there. It returns false when it is there already.
func (c *Cluster) Create(ctx context.Context, u *unstructured.Unstructured) (bool, error) {
	err := c.resource(ctx, RefOf(u), func(ctx context.Context, r dynamic.ResourceInterface) error {
		_, err := r.Create(ctx, u, metav1.CreateOptions{FieldManager: diff.Manager})
		return err
	})
	if apierrors.IsAlreadyExists(err) {
		return false, nil
	}
	return err == nil, err
}

// Patch sends a JSON patch.
func (c *Cluster) Patch(ctx context.Context, ref Ref, patch []byte) (*unstructured.Unstructured, error) {
	return c.patch(ctx, ref, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: diff.Manager})
}

func (c *Cluster) patch(ctx context.Context, ref Ref, kind types.PatchType, body []byte, o metav1.PatchOptions) (*unstructured.Unstructured, error) {
	var result *unstructured.Unstructured
	err := c.resource(ctx, ref, func(ctx context.Context, r dynamic.ResourceInterface) (err error) {
		result, err = r.Patch(ctx, ref.Name, kind, body, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// Delete deletes an object as it was read and, in the foreground, what depends on it. It returns false when the object has
// been changed since it was read, or is another one of the same name: then nothing is deleted. An object that is gone is a success.
func (c *Cluster) Delete(ctx context.Context, read *unstructured.Unstructured) (bool, error) {
	foreground := metav1.DeletePropagationForeground
	uid, version := read.GetUID(), read.GetResourceVersion()
	options := metav1.DeleteOptions{PropagationPolicy: &foreground, Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}}
	err := c.anyVersion(ctx, RefOf(read), func(ctx context.Context, r dynamic.ResourceInterface) error {
		return r.Delete(ctx, read.GetName(), options)
	})
	_, unknown := errors.AsType[*UnknownKindError](err)
	switch {
	case apierrors.IsConflict(err):
		return false, nil
	case unknown || apierrors.IsNotFound(err):
		return true, nil
	}
	return err == nil, err
}

// List reads the objects of a kind in a namespace that have the labels ("app=web").
func (c *Cluster) List(ctx context.Context, gvk schema.GroupVersionKind, namespace, labels string) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	err := c.resource(ctx, Ref{GroupVersionKind: gvk, Namespace: namespace}, func(ctx context.Context, r dynamic.ResourceInterface) error {
		list, err := r.List(ctx, metav1.ListOptions{LabelSelector: labels, Limit: 500})
		if err == nil {
			all = list.Items
		}
		return err
	})
	return all, err
}

// Logs reads the last lines of a container's log, of the one before its restart if previous is set.
func (c *Cluster) Logs(ctx context.Context, namespace, pod, container string, lines int, previous bool) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := c.rest.Get().AbsPath("/api/v1/namespaces", namespace, "pods", pod, "log").
		Param("container", container).Param("tailLines", fmt.Sprint(lines)).Param("previous", fmt.Sprint(previous)).Stream(ctx)
	if err != nil {
		return "", err
	}
	defer stream.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(stream, 16<<10))
	return string(text), err
}
