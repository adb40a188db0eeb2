package kubernetes

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/diff"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/plugins/kubernetes/rollout"
	"github.com/davit-sh/davit/sdk"
)

// applying carries out the plan of one instance. What it has made so far is in state at any time.
type applying struct {
	*planning
	redact      func(string) string
	deadline    time.Time
	transferred []sdk.Claim // objects that another application takes over

	mu   sync.Mutex
	made inventory
	refs []cluster.Ref // applied, in their order
}

// Apply applies the rendered objects, waits until they are healthy and prunes.
func (a *Application) Apply(ctx context.Context, r sdk.ApplyRequest[Config, Outputs]) (sdk.Result[Outputs], error) {
	var checkpoint []byte
	if r.Checkpoint != nil && len(r.Checkpoint.Private) > 0 {
		checkpoint = r.Checkpoint.Private
	}
	p, err := a.begin(ctx, r.Address, r.Config, r.Prior, checkpoint, r.Private)
	if err != nil {
		return sdk.Result[Outputs]{}, err
	}
	if p.before == nil || p.before.Digest != p.set.Digest {
		return sdk.Result[Outputs]{}, &sdk.Error{Summary: "the manifests have changed since the plan was made", Code: "kubernetes.stale", Hint: "Plan again."}
	}
	defer p.hub.Busy(watchID(ctx, r.Address))()
	w := &applying{planning: p, redact: redactor(p.set.Objects), deadline: time.Now().Add(time.Duration(p.config.Timeout)), made: p.inventory.clone(), transferred: r.Transferred}
	w.made.Server, w.made.Owner, w.made.Digest = p.cluster.Server, r.Address, p.set.Digest
	w.made.Stack, w.made.Lineage = p.owner.Stack, p.owner.Lineage
	return w.run(ctx)
}

func (w *applying) run(ctx context.Context) (sdk.Result[Outputs], error) {
	if err := w.announce(ctx); err != nil {
		return w.result("InProgress"), err
	}
	if err := w.applyAll(ctx); err != nil {
		return w.result("Failed"), err
	}
	health, err := w.health(ctx)
	if err != nil {
		return w.result(health), errors.Join(err, w.save(ctx, health))
	}
	remove := &removal{
		cluster: w.cluster, hub: w.hub, clusterID: w.clusterID, owner: w.owner, timeout: time.Duration(w.config.Timeout), transferred: w.transferred,
		gone: func(e entry) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.made.drop(e.ref())
			return nil
		},
	}
	if err := remove.run(ctx, w.before.Deletes); err != nil {
		return w.result(health), errors.Join(err, w.save(ctx, "InProgress"))
	}
	w.forgetOthers()
	return w.result(health), nil
}

// forgetOthers drops entries that are neither rendered nor were this application's to delete.
func (w *applying) forgetOthers() {
	if !w.config.Prune {
		return
	}
	w.made.Entries = slices.DeleteFunc(w.made.Entries, func(e entry) bool {
		return !slices.ContainsFunc(w.refs, func(r cluster.Ref) bool { return idOf(r) == idOf(e.ref()) })
	})
}

// announce puts the objects that are about to be made into state, so that none is lost
// when davit is killed between making it and telling so.
func (w *applying) announce(ctx context.Context) error {
	w.mu.Lock()
	for _, o := range w.set.Objects {
		if r := cluster.RefOf(o.Unstructured); w.made.find(r) == nil && !o.Added {
			w.made.put(entryOf(r))
		}
	}
	w.mu.Unlock()
	return w.save(ctx, "InProgress")
}

func (w *applying) save(ctx context.Context, health string) error {
	return sdk.Save(ctx, w.result(health))
}

func (w *applying) result(health string) sdk.Result[Outputs] {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := Outputs{Namespace: w.config.Namespace}
	o.Revision, o.Health = w.config.Source.Revision, sdk.Known(health)
	if len(w.refs) == len(w.set.Objects) || health == "Current" {
		for _, r := range w.refs {
			if e := w.made.find(r); e == nil || !e.Added {
				o.add(r)
			}
		}
		o.sort()
	} else {
		o = outputsOf(o, w.made, health)
	}
	return sdk.Result[Outputs]{Outputs: o, Private: w.made.encode()}
}

// applyAll applies one kind after the other, and what definitions make possible when they are in force.
func (w *applying) applyAll(ctx context.Context) error {
	objects := slices.Clone(w.set.Objects)
	slices.SortStableFunc(objects, func(a, b render.Object) int {
		return later(a.GroupVersionKind().GroupKind(), b.GroupVersionKind().GroupKind())
	})
	for len(objects) > 0 {
		same := 1
		for same < len(objects) && later(objects[same].GroupVersionKind().GroupKind(), objects[0].GroupVersionKind().GroupKind()) == 0 {
			same++
		}
		if err := w.applyKind(ctx, objects[:same]); err != nil {
			return errors.Join(err, w.save(ctx, "Failed"))
		}
		objects = objects[same:]
		endOfStage := len(objects) == 0 || stage(objects[0].GroupVersionKind().GroupKind()) > 0
		if endOfStage {
			if err := w.save(ctx, "InProgress"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *applying) applyKind(ctx context.Context, objects []render.Object) error {
	findings := make([]error, len(objects))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, o := range objects {
		group.Go(func() error {
			findings[i] = w.one(inner, o)
			return nil // the others of this kind go on
		})
	}
	group.Wait() //nolint:errcheck // it has none
	if objects[0].GetKind() == "CustomResourceDefinition" && errors.Join(findings...) == nil {
		return w.established(ctx, objects)
	}
	return joined(findings)
}

// joined keeps several findings apart, so that each is shown by itself.
func joined(findings []error) error {
	var errs sdk.Errors
	for _, err := range findings {
		var e *sdk.Error
		switch {
		case err == nil:
		case errors.As(err, &e):
			errs = append(errs, e)
		default:
			return err
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errs
}

// one applies one object and remembers it.
func (w *applying) one(ctx context.Context, o render.Object) error {
	ref := cluster.RefOf(o.Unstructured)
	live, err := w.settled(ctx, ref)
	if o.Added {
		return w.ensure(ctx, o, live, err)
	}
	if err != nil {
		return w.explain(err, "read", o)
	}
	if live != nil {
		if m := markIn(live.GetAnnotations()); w.owner.of(live.GetAnnotations()) == foreign && w.before.Taken[key(ref)] != m.Lineage {
			return foreignError(o, m)
		}
	}
	if live != nil && w.config.ForceConflicts {
		if live, err = w.rewrite(ctx, live, diff.TakenOver); err != nil {
			return w.explain(err, "take over the fields of", o)
		}
	}
	applied, err := w.apply(ctx, o, live)
	if err != nil {
		sdk.ItemStatus(ctx, key(ref), "failed", "")
		return w.explain(err, "apply", o)
	}
	w.hub.Note(ref, applied)
	known := w.inventory.find(ref)
	e := entryOf(ref)
	e.UID, e.Hash, e.Base, e.Sensitive = applied.GetUID(), hashOf(o), w.baseOf(o), o.Sensitive
	e.Adopted = known != nil && known.Adopted || live != nil && known == nil && !w.owner.sure(live.GetAnnotations())
	w.remember(e)
	sdk.ItemStatus(ctx, key(ref), "applied", did(live, applied))
	return nil
}

func (w *applying) remember(e entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.made.put(e)
	w.refs = append(w.refs, e.ref())
}

// ensure makes the namespace of create_namespace unless it is there. One that is there is left as it is; it is this application's if
// this application has made it. Several applications may make the same one at the same time.
func (w *applying) ensure(ctx context.Context, o render.Object, live *unstructured.Unstructured, err error) error {
	ref := cluster.RefOf(o.Unstructured)
	if cluster.Forbidden(err) {
		return nil // as planned: it is there, and nobody's business here
	}
	if err != nil {
		return w.explain(err, "read", o)
	}
	made := false
	if live == nil {
		if made, err = w.cluster.Create(ctx, o.Unstructured); err == nil {
			live, err = w.cluster.Get(ctx, ref)
		}
		if err != nil {
			return w.explain(err, "create", o)
		}
	}
	if live == nil || !w.owns(ref, live) {
		return nil
	}
	w.hub.Note(ref, live)
	e := entryOf(ref)
	e.UID, e.Added = live.GetUID(), true
	w.remember(e)
	if made {
		sdk.ItemStatus(ctx, key(ref), "applied", "created")
	}
	return nil
}

// owns tells whether a namespace was made by this application: state knows it, or its owner mark says so.
func (w *applying) owns(ref cluster.Ref, live *unstructured.Unstructured) bool {
	if known := w.inventory.find(ref); known != nil && known.UID == live.GetUID() {
		return w.owner.of(live.GetAnnotations()) == own && !known.Adopted
	}
	return w.owner.sure(live.GetAnnotations())
}

func did(live, applied *unstructured.Unstructured) string {
	switch {
	case live == nil:
		return "created"
	case live.GetUID() != applied.GetUID():
		return "recreated"
	case live.GetResourceVersion() == applied.GetResourceVersion():
		return "unchanged"
	}
	return "changed"
}

// settled reads an object; one that is being deleted is waited for.
func (w *applying) settled(ctx context.Context, ref cluster.Ref) (*unstructured.Unstructured, error) {
	live, err := w.cluster.Get(ctx, ref)
	if err != nil || live == nil || live.GetDeletionTimestamp() == nil {
		return live, err
	}
	sdk.ItemStatus(ctx, key(ref), "waiting", "being deleted")
	return nil, w.gone(ctx, ref, live)
}

func (w *applying) gone(ctx context.Context, ref cluster.Ref, live *unstructured.Unstructured) error {
	timed, cancel := context.WithDeadlineCause(ctx, w.deadline, errTimeout)
	defer cancel()
	r := &removal{cluster: w.cluster, timeout: time.Duration(w.config.Timeout)}
	return r.waitGone(timed, deletion{Object: entryOf(ref), UID: live.GetUID()})
}

// apply applies an object, again while the cluster is not ready for it, and makes it anew where that is allowed and needed.
func (w *applying) apply(ctx context.Context, o render.Object, live *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	patience := time.Now().Add(30 * time.Second)
	for interval := 100 * time.Millisecond; ; interval = min(interval*2, 2*time.Second) {
		applied, err := w.cluster.Apply(ctx, o.Unstructured, cluster.ApplyOptions{Force: w.config.ForceConflicts})
		switch {
		case err == nil:
			return applied, nil
		case live != nil && len(cluster.Immutable(err)) > 0 && mayForce(w.config, o):
			if err := w.replace(ctx, o, live); err != nil {
				return nil, err
			}
			live = nil
			continue
		case live != nil && cluster.RemovedVersion(err):
			was := live.GetResourceVersion()
			rewritten, failed := w.rewrite(ctx, live, w.inServedVersions(ctx))
			if failed != nil || rewritten == nil || rewritten.GetResourceVersion() == was {
				return nil, errors.Join(err, failed)
			}
			live = rewritten
			continue
		case !w.worthWaiting(err) || !time.Now().Before(patience):
			return nil, err
		}
		sdk.ItemStatus(ctx, key(cluster.RefOf(o.Unstructured)), "waiting", "the cluster is not ready for it yet")
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(interval):
		}
	}
}

// worthWaiting tells errors that pass by themselves. A missing kind passes only if a definition for it was just applied.
func (w *applying) worthWaiting(err error) bool {
	if unknown, ok := errors.AsType[*cluster.UnknownKindError](err); ok {
		return w.set.Defines(unknown.GroupKind())
	}
	return cluster.Passing(err)
}

// replace deletes an object that is this stack's, so that it can be made anew.
func (w *applying) replace(ctx context.Context, o render.Object, live *unstructured.Unstructured) error {
	ref := cluster.RefOf(live)
	sdk.ItemStatus(ctx, key(ref), "waiting", "being deleted; will be recreated")
	for {
		if w.owner.of(live.GetAnnotations()) == foreign {
			return foreignError(o, markIn(live.GetAnnotations()))
		}
		done, err := w.cluster.Delete(ctx, live)
		if err != nil {
			return err
		}
		if done {
			return w.gone(ctx, ref, live)
		}
		if live, err = w.cluster.Get(ctx, ref); err != nil || live == nil {
			return err
		}
	}
}

// established waits until the cluster serves what the definitions define.
func (w *applying) established(ctx context.Context, objects []render.Object) error {
	var refs []cluster.Ref
	for _, o := range objects {
		refs = append(refs, cluster.RefOf(o.Unstructured))
	}
	_, err := rollout.Wait(ctx, w.cluster, rolloutTargets(refs), w.waitOptions(ctx))
	return err
}

func (w *applying) waitOptions(ctx context.Context) rollout.Options {
	return rollout.Options{
		Timeout: max(time.Until(w.deadline), time.Second), Redact: w.redact,
		Report: func(t rollout.Target, h rollout.Health) {
			word := "waiting"
			switch h.Status {
			case "Current":
				word = "healthy"
			case "Failed":
				word = "failed"
			}
			sdk.ItemStatus(ctx, t.Key, word, h.Message)
		},
	}
}

// health waits for the applied objects, or looks once.
func (w *applying) health(ctx context.Context) (string, error) {
	if w.config.Wait {
		sdk.WaitForHealth(ctx)
		status, err := rollout.Wait(ctx, w.cluster, rolloutTargets(w.refs), w.waitOptions(ctx))
		if err != nil && ctx.Err() == nil {
			err = w.cluster.Explain(err, "wait for", w.address)
		}
		return string(status), err
	}
	var all []rollout.Health
	for _, r := range w.refs {
		live, err := w.cluster.Get(ctx, r)
		if err != nil {
			return "Unknown", w.cluster.Explain(err, "read", r.Short())
		}
		all = append(all, rollout.Of(live))
	}
	return string(rollout.Worst(all)), nil
}
