package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// pruneAnnotation keeps an object in the cluster when its application does not have it any more.
const pruneAnnotation = "davit.sh/prune"

// deletions are the objects of the inventory that are not rendered any more, in the order of their deletion.
func (p *planning) deletions(ctx context.Context) ([]deletion, error) {
	if !p.config.Prune {
		return nil, nil
	}
	rendered := map[id]bool{}
	for _, o := range p.set.Objects {
		rendered[idOf(cluster.RefOf(o.Unstructured))] = true
	}
	gone := slices.DeleteFunc(slices.Clone(p.inventory.Entries), func(e entry) bool { return rendered[idOf(e.ref())] })
	return mine(ctx, p.cluster, gone, p.address, p.inventory.Owner)
}

// mine looks which entries are still in the cluster and this application's to delete: the
// very objects that it applied, not handed to another application, and not to be kept.
func mine(ctx context.Context, c *cluster.Cluster, entries []entry, owners ...string) ([]deletion, error) {
	found := make([]*deletion, len(entries))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, e := range entries {
		group.Go(func() error {
			live, err := c.Get(ctx, e.ref())
			if err != nil {
				return c.Explain(err, "read", e.ref().Short())
			}
			if live != nil && deletable(e, live, owners) {
				found[i] = &deletion{Object: e, UID: live.GetUID()}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var all []deletion
	for _, d := range found {
		if d != nil {
			all = append(all, *d)
		}
	}
	slices.SortStableFunc(all, func(a, b deletion) int {
		ra, rb := a.Object.ref(), b.Object.ref()
		if order := later(rb.GroupKind(), ra.GroupKind()); order != 0 {
			return order
		}
		return strings.Compare(key(ra), key(rb))
	})
	return all, nil
}

func deletable(e entry, live *unstructured.Unstructured, owners []string) bool {
	owner := live.GetAnnotations()[render.Annotation]
	switch {
	case e.Kind == "Namespace" && e.Adopted:
		return false // it was there before davit, and so may be what is in it
	case e.UID != "" && e.UID != live.GetUID():
		return false // another object of the same name
	case e.UID == "" && !slices.Contains(owners, owner):
		return false // an apply was cut off before it made the object
	case owner != "" && !slices.Contains(owners, owner):
		return false // it belongs to another application now
	case strings.EqualFold(live.GetAnnotations()[pruneAnnotation], "disabled"):
		return false
	}
	return true
}

// removal deletes objects and waits until they are gone.
type removal struct {
	app     *Application
	address string
	cluster *cluster.Cluster
	owners  []string
	timeout time.Duration
	gone    func(entry) error // called for each object that is gone or not this application's
}

// run deletes in the order given: all of one kind at once, the next kind when those are gone.
func (r *removal) run(ctx context.Context, all []deletion) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.timeout, errTimeout)
	defer cancel()
	for len(all) > 0 {
		same := 1
		for same < len(all) && later(all[same].Object.ref().GroupKind(), all[0].Object.ref().GroupKind()) == 0 {
			same++
		}
		group, inner := errgroup.WithContext(ctx)
		group.SetLimit(parallel)
		for _, d := range all[:same] {
			group.Go(func() error { return r.one(inner, d) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if all = all[same:]; len(all) > 0 && errors.Is(context.Cause(ctx), errTimeout) {
			return &sdk.Error{Summary: fmt.Sprintf("not everything was deleted in %s", r.timeout), Code: "kubernetes.deletion",
				Detail: fmt.Sprintf("The next one is %s.", all[0].Object.ref().Short()), Hint: "Apply again, or raise timeout."}
		}
	}
	return nil
}

var errTimeout = fmt.Errorf("the time is over")

// one deletes one object after looking at it once more.
func (r *removal) one(ctx context.Context, d deletion) error {
	ref := d.Object.ref()
	if other := r.app.claims.by(r.address, r.cluster.Server, ref); other != "" {
		sdk.ItemStatus(ctx, key(ref), "applied", "kept: it moves to "+other)
		return r.gone(d.Object)
	}
	live, err := r.cluster.Get(ctx, ref)
	if err != nil {
		return r.cluster.Explain(err, "read", ref.Short())
	}
	if live == nil || live.GetUID() != d.UID || !deletable(d.Object, live, r.owners) {
		return r.gone(d.Object)
	}
	if d.Object.Added {
		others, err := r.others(ctx, ref.Name)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			sdk.ItemStatus(ctx, key(ref), "applied", "kept: it has objects of others: "+list(others))
			return r.gone(d.Object)
		}
	}
	if err := r.cluster.Delete(ctx, ref, d.UID); err != nil {
		return r.cluster.Explain(err, "delete", ref.Short())
	}
	sdk.ItemStatus(ctx, key(ref), "waiting", "being deleted")
	if err := r.waitGone(ctx, d); err != nil {
		return err
	}
	sdk.ItemStatus(ctx, key(ref), "deleted", "")
	return r.gone(d.Object)
}

func (r *removal) waitGone(ctx context.Context, d deletion) error {
	ref := d.Object.ref()
	for interval := 50 * time.Millisecond; ; interval = min(interval*3/2, 2*time.Second) {
		live, err := r.cluster.Get(ctx, ref)
		if err == nil && (live == nil || live.GetUID() != d.UID) {
			return nil
		}
		select {
		case <-time.After(interval):
			continue
		case <-ctx.Done():
		}
		if !errors.Is(context.Cause(ctx), errTimeout) {
			return ctx.Err()
		}
		e := &sdk.Error{Summary: fmt.Sprintf("%s was not gone after %s", ref.Short(), r.timeout), Code: "kubernetes.deletion"}
		if live != nil {
			e.Detail = strings.Join(stuck(live), "\n")
			e.Hint = "What handles its finalizers may not be running any more. Apply again when the cause is mended, or raise timeout."
		}
		return e
	}
}

// stuck says what a deletion waits for.
func stuck(live *unstructured.Unstructured) []string {
	var lines []string
	if finalizers := live.GetFinalizers(); len(finalizers) > 0 {
		lines = append(lines, "It waits for its finalizers: "+strings.Join(finalizers, ", ")+".")
	}
	conditions, _, _ := unstructured.NestedSlice(live.Object, "status", "conditions")
	for _, c := range conditions {
		m, _ := c.(map[string]any)
		if kind, _ := m["type"].(string); strings.HasPrefix(kind, "Namespace") && m["status"] == "True" {
			lines = append(lines, fmt.Sprint(m["message"]))
		}
	}
	return lines
}

// leftovers are kinds that are looked for before a namespace is deleted that davit made for
// an application: what people and other applications may have put into it.
var leftovers = []schema.GroupVersionKind{
	{Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "Secret"}, {Version: "v1", Kind: "Service"},
	{Version: "v1", Kind: "PersistentVolumeClaim"}, {Version: "v1", Kind: "Pod"}, {Version: "v1", Kind: "ServiceAccount"},
	{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "apps", Version: "v1", Kind: "StatefulSet"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"}, {Group: "batch", Version: "v1", Kind: "Job"}, {Group: "batch", Version: "v1", Kind: "CronJob"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"},
}

// others lists the objects in a namespace that somebody else put there.
func (r *removal) others(ctx context.Context, namespace string) ([]string, error) {
	var all []string
	for _, kind := range leftovers {
		found, err := r.cluster.List(ctx, kind, namespace, "")
		if err != nil {
			return nil, r.cluster.Explain(err, "list", fmt.Sprintf("the %ss in namespace %s, to see that it is empty", kind.Kind, namespace))
		}
		for _, o := range found {
			if !ofKubernetes(&o) && o.GetDeletionTimestamp() == nil && len(o.GetOwnerReferences()) == 0 {
				all = append(all, kind.Kind+"/"+o.GetName())
			}
		}
	}
	return all, nil
}

// ofKubernetes tells what every namespace has.
func ofKubernetes(o *unstructured.Unstructured) bool {
	switch o.GetKind() {
	case "ConfigMap":
		return o.GetName() == "kube-root-ca.crt"
	case "ServiceAccount":
		return o.GetName() == "default"
	case "Secret":
		kind, _, _ := unstructured.NestedString(o.Object, "type")
		return kind == "kubernetes.io/service-account-token"
	}
	return false
}

func list(names []string) string {
	if len(names) > 5 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:5], ", "), len(names)-5)
	}
	return strings.Join(names, ", ")
}
