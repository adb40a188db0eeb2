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

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/drift"
	"github.com/davit-sh/davit/sdk"
)

// removal deletes objects and waits until they are gone.
type removal struct {
	cluster     *cluster.Cluster
	hub         *drift.Hub // nil: nobody watches
	clusterID   string
	owner       owner
	timeout     time.Duration
	transferred []sdk.Claim       // objects that another application takes over
	gone        func(entry) error // called for each object that is gone or not this application's
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
			group.Go(func() error { return r.remove(inner, d) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		if all = all[same:]; len(all) > 0 && errors.Is(context.Cause(ctx), errTimeout) {
			return &sdk.Error{Summary: fmt.Sprintf("the deletion did not finish within %s", r.timeout), Code: "kubernetes.deletion",
				Detail: fmt.Sprintf("The next object is %s.", all[0].Object.ref().Short()), Hint: "Apply again, or raise timeout."}
		}
	}
	return nil
}

var errTimeout = fmt.Errorf("the timeout is over")

// remove deletes one object, if it is still this application's to delete.
func (r *removal) remove(ctx context.Context, d deletion) error {
	ref := d.Object.ref()
	if slices.Contains(r.transferred, claimOf(r.clusterID, ref)) {
		return r.keep(ctx, d, "it moves to another application")
	}
	for {
		live, err := r.cluster.Get(ctx, ref)
		if err != nil {
			return r.cluster.Explain(err, "read", ref.Short())
		}
		if live == nil || live.GetUID() != d.UID {
			r.hub.Note(ref, live)
			return r.gone(d.Object)
		}
		why, err := r.reasonToKeep(ctx, d.Object, live)
		if err != nil {
			return err
		}
		if why != "" {
			return r.keep(ctx, d, why)
		}
		done, err := r.cluster.Delete(ctx, live)
		if err != nil {
			return r.cluster.Explain(err, "delete", ref.Short())
		}
		if done {
			break
		}
		// It was changed between the look and the deletion: by its new owner, perhaps.
	}
	sdk.ItemStatus(ctx, key(ref), "waiting", "being deleted")
	if err := r.waitGone(ctx, d); err != nil {
		return err
	}
	r.hub.Note(ref, nil)
	sdk.ItemStatus(ctx, key(ref), "deleted", "")
	return r.gone(d.Object)
}

func (r *removal) keep(ctx context.Context, d deletion, why string) error {
	sdk.ItemStatus(ctx, key(d.Object.ref()), "applied", "kept: "+why)
	return r.gone(d.Object)
}

// reasonToKeep looks at the object as it is now, and at what is in it: what was to be deleted before it is gone, or is kept.
func (r *removal) reasonToKeep(ctx context.Context, e entry, live *unstructured.Unstructured) (string, error) {
	if why := reasonToKeep(e, live, r.owner); why != "" || !e.holds() {
		return why, nil
	}
	inside, err := contentsOf(ctx, r.cluster, r.owner, e, live, nil)
	if err != nil {
		return "", err
	}
	return inside.keep(e), nil
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
		e := &sdk.Error{Summary: fmt.Sprintf("%s was not deleted within %s", ref.Short(), r.timeout), Code: "kubernetes.deletion"}
		if live != nil {
			e.Detail = strings.Join(stuck(live), "\n")
			e.Hint = "The controller of its finalizers may not be running. Fix the cause and apply again, or raise timeout."
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
