package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/diff"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// parallel is how many requests are under way at once.
const parallel = 16

// forceAnnotation allows davit to delete an object and make it anew.
const forceAnnotation = "davit.sh/force"

// seen is one rendered object beside what the cluster has and would make of it.
type seen struct {
	render.Object
	ref     cluster.Ref
	live    *unstructured.Unstructured // nil when it is not there
	changes []diff.Change
	claims  bool      // davit would own other fields than now, though no value changes
	replace []string  // fields that need the object to be made anew
	pending string    // why the server could not check it
	leave   bool      // a Namespace of create_namespace that is there already
	of      belonging // whose the live object is
}

// look compares all rendered objects with the cluster.
func (p *planning) look(ctx context.Context) ([]seen, error) {
	all := make([]seen, len(p.set.Objects))
	findings := make([]error, len(all))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, object := range p.set.Objects {
		all[i] = seen{Object: object, ref: cluster.RefOf(object.Unstructured)}
		group.Go(func() error {
			findings[i] = p.compare(ctx, &all[i])
			return fatal(findings[i])
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var errs sdk.Errors
	for _, err := range findings {
		if e, ok := errors.AsType[*sdk.Error](err); ok {
			errs = append(errs, e)
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return all, nil
}

// fatal picks the errors that all other objects would have as well.
func fatal(err error) error {
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		switch e.Code {
		case "kubernetes.unreachable", "kubernetes.unauthorized", "kubernetes.certificate", "kubernetes.cancelled":
			return e
		}
	}
	return nil
}

// compare fills in what the cluster has of one object and what applying would change.
func (p *planning) compare(ctx context.Context, s *seen) error {
	if s.Added {
		return p.compareAdded(ctx, s)
	}
	var after *unstructured.Unstructured
	var refused error
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if s.live, err = p.cluster.Get(inner, s.ref); err != nil {
			return p.explain(err, "read", s.Object)
		}
		return nil
	})
	group.Go(func() error {
		after, refused = p.dryRun(inner, s)
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	p.hub.Note(s.ref, s.live)
	if s.live != nil && s.live.GetDeletionTimestamp() != nil {
		s.live, s.pending = nil, beingDeleted
	}
	if s.live != nil {
		s.of = p.owner.of(s.live.GetAnnotations())
		if m := markIn(s.live.GetAnnotations()); s.of == foreign && !p.config.mayTake(m) {
			return foreignError(s.Object, m)
		}
	}
	if refused != nil {
		return p.refused(ctx, s, refused)
	}
	p.changes(ctx, s, after)
	return nil
}

const beingDeleted = "is being deleted; will be created again afterwards"

func (p *planning) dryRun(ctx context.Context, s *seen) (*unstructured.Unstructured, error) {
	return p.cluster.Apply(ctx, s.Unstructured, cluster.ApplyOptions{DryRun: true, Force: p.config.ForceConflicts})
}

// compareAdded looks whether the namespace of create_namespace is there. One that is there is left alone, whoever made it.
func (p *planning) compareAdded(ctx context.Context, s *seen) error {
	live, err := p.cluster.Get(ctx, s.ref)
	if err == nil {
		p.hub.Note(s.ref, live)
	}
	switch {
	case cluster.Forbidden(err):
		s.leave = true // who may not look at namespaces works in one that is there
		return nil
	case err != nil:
		return p.explain(err, "read", s.Object)
	case live != nil && live.GetDeletionTimestamp() == nil:
		s.leave = true
		return nil
	case live != nil:
		s.pending = beingDeleted
	}
	after, refused := p.dryRun(ctx, s)
	if refused != nil {
		return p.refused(ctx, s, refused)
	}
	p.changes(ctx, s, after)
	return nil
}

// refused decides what a refused dry run means.
func (p *planning) refused(ctx context.Context, s *seen, refused error) error {
	var unknown *cluster.UnknownKindError
	switch {
	case errors.As(refused, &unknown) && (p.set.Defines(s.ref.GroupKind()) || custom(s.ref.Group) && unknown.Served == ""):
		s.pending = "not checked by the cluster, which does not have this kind yet"
	case cluster.MissingNamespace(refused):
		if !p.set.Makes(s.ref.Namespace) {
			s.pending = "its namespace does not exist yet, and this application does not create it"
		}
		if err := p.tryElsewhere(ctx, s); err != nil {
			return err
		}
	case cluster.TerminatingNamespace(refused):
		s.pending = "not checked by the cluster, because the namespace is being deleted"
	case s.live != nil && s.of != foreign && len(cluster.Immutable(refused)) > 0 && p.mayForce(s.Object):
		s.replace = cluster.Immutable(refused)
		s.changes = p.asWritten(s.live, s.Object)
		return nil
	case s.live != nil && cluster.RemovedVersion(refused):
		s.changes, s.claims = p.asWritten(s.live, s.Object), true
		s.pending = "not checked by the cluster, because its fields are managed in a removed version"
		return nil
	default:
		return p.explain(refused, "apply", s.Object)
	}
	s.changes = diff.Compare(nil, s.Object.Object, p.diffOptions(s.Object))
	return nil
}

// trialName keeps the names of trials apart from those of objects.
const trialName = "davit-check-"

// trial lets the server make the object as if there was none, under a name of its own.
func (p *planning) trial(ctx context.Context, s *seen, namespace string) (*unstructured.Unstructured, error) {
	u := s.DeepCopy()
	u.SetNamespace(namespace)
	u.SetName(trialName + s.ref.Name)
	return p.cluster.Apply(ctx, u, cluster.ApplyOptions{DryRun: true, Force: true})
}

// tryElsewhere lets the server check an object whose namespace is not there yet in a
// namespace that always is. Only what is wrong with the object itself counts.
func (p *planning) tryElsewhere(ctx context.Context, s *seen) error {
	if _, err := p.trial(ctx, s, "default"); cluster.Malformed(err) {
		return p.explain(err, "apply", s.Object)
	}
	return nil
}

// custom tells groups of custom resources from Kubernetes' own.
func custom(group string) bool {
	return strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io")
}

func (p *planning) mayForce(o render.Object) bool { return mayForce(p.config, o) }

func mayForce(config Config, o render.Object) bool {
	value := o.GetAnnotations()[forceAnnotation]
	return config.Force && value != "disabled" || strings.EqualFold(value, "enabled")
}

func (p *planning) diffOptions(o render.Object) diff.Options {
	options := diff.Options{Secret: render.IsSecret(o.Unstructured), Sensitive: o.Sensitive, Unknown: p.set.Unknown}
	if known := p.inventory.find(cluster.RefOf(o.Unstructured)); known != nil {
		options.Before = known.Sensitive
	}
	return options
}

// changes compares the live object with what the server would make of it.
func (p *planning) changes(ctx context.Context, s *seen, after *unstructured.Unstructured) {
	options := p.diffOptions(s.Object)
	if s.live == nil {
		// What the server adds by itself is of no interest in a new object.
		s.changes = diff.Compare(nil, s.Object.Object, options)
		return
	}
	taken := p.config.ForceConflicts && diff.HandMade(s.live)
	if taken {
		fresh, err := p.trial(ctx, s, s.ref.Namespace)
		if err != nil {
			fresh = nil // defaults are shown as absent then
		}
		after = diff.WithoutHandMade(s.live, after, fresh)
	}
	s.changes = diff.Compare(s.live.Object, after.Object, options)
	s.claims = taken || !bytes.Equal(diff.OwnFields(s.live), diff.OwnFields(after))
}

// asWritten compares the fields that the manifest has with the live ones: what to show when the server gives no answer.
func (p *planning) asWritten(live *unstructured.Unstructured, o render.Object) []diff.Change {
	return diff.Compare(overlap(live.Object, o.Object), o.Object, p.diffOptions(o))
}

// overlap is the part of live that shape has, too.
func overlap(live, shape map[string]any) map[string]any {
	out := map[string]any{}
	for k, want := range shape {
		have, ok := live[k]
		if !ok {
			continue
		}
		wantMap, isMap := want.(map[string]any)
		haveMap, isMapToo := have.(map[string]any)
		wantList, isList := want.([]any)
		haveList, isListToo := have.([]any)
		switch {
		case isMap && isMapToo:
			out[k] = overlap(haveMap, wantMap)
		case isList && isListToo && len(wantList) == len(haveList):
			out[k] = overlapList(haveList, wantList)
		default:
			out[k] = have
		}
	}
	return out
}

func overlapList(live, shape []any) []any {
	out := make([]any, len(live))
	for i := range live {
		l, isMap := live[i].(map[string]any)
		s, isMapToo := shape[i].(map[string]any)
		if isMap && isMapToo {
			out[i] = overlap(l, s)
			continue
		}
		out[i] = live[i]
	}
	return out
}

// explain turns a server's error into one that names the object and its file, without a Secret's values.
func (p *planning) explain(err error, doing string, o render.Object) error {
	e := p.cluster.Explain(err, doing, fmt.Sprintf("%s (%s)", render.Short(o.Unstructured), o.File))
	hide := redactor([]render.Object{o})
	redact := func(text string) string { return hide(strings.ReplaceAll(text, trialName, "")) }
	e.Summary, e.Detail = redact(e.Summary), redact(e.Detail)
	if e.Detail == "" && e.Err != nil {
		e.Detail = redact(e.Err.Error())
	}
	e.Err = nil
	return e
}
