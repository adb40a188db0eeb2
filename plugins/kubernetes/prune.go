package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/sdk"
)

// pruneAnnotation keeps an object in the cluster when its application does not have it any more.
const pruneAnnotation = "davit.sh/prune"

// deletion is one object to delete, and which one of its name.
type deletion struct {
	Object entry     `json:"object"`
	UID    types.UID `json:"uid"`
	With   string    `json:"-"` // what is deleted with it, for people
}

// note says what else is deleted, and what may still hold the deletion up.
func (d deletion) note() string {
	if d.Object.Added {
		return "unless it contains objects of others at that time"
	}
	return d.With
}

// kept is an object of the inventory that is not deleted, and why.
type kept struct {
	Object entry
	Why    string
}

// deletions are the objects of the inventory that are not rendered any more, in the order of their deletion, and those
// among them that must stay.
func (p *planning) deletions(ctx context.Context) ([]deletion, []kept, error) {
	if !p.config.Prune {
		return nil, nil, nil
	}
	rendered := map[id]bool{}
	for _, o := range p.set.Objects {
		rendered[idOf(cluster.RefOf(o.Unstructured))] = true
	}
	gone := slices.DeleteFunc(slices.Clone(p.inventory.Entries), func(e entry) bool { return rendered[idOf(e.ref())] })
	return examine(ctx, p.cluster, p.owner, gone, p.fills)
}

// fills tells whether rendered objects are in a namespace, or of a definition's kind.
func (p *planning) fills(e entry, live *unstructured.Unstructured) bool {
	for _, o := range p.set.Objects {
		if e.isNamespace() && o.GetNamespace() == e.Name || e.isDefinition() && o.GroupVersionKind().GroupKind() == defined(live) {
			return true
		}
	}
	return false
}

// candidate is an entry beside what the cluster has of it.
type candidate struct {
	deletion
	live *unstructured.Unstructured // nil when it is gone
	why  string                     // not empty: it must stay
}

// examine looks which entries are still in the cluster and the owner's to delete: the very objects that it applied,
// not handed to another application or stack, and not to be kept. fills tells of an object that holds others whether it will be
// needed; it may be nil.
func examine(ctx context.Context, c *cluster.Cluster, o owner, entries []entry, fills func(entry, *unstructured.Unstructured) bool) ([]deletion, []kept, error) {
	found := make([]candidate, len(entries))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, e := range entries {
		group.Go(func() error {
			live, err := c.Get(inner, e.ref())
			if err != nil {
				return c.Explain(err, "read", e.ref().Short())
			}
			found[i] = candidate{deletion: deletion{Object: e}, live: live}
			if live != nil {
				found[i].UID, found[i].why = live.GetUID(), reasonToKeep(e, live, o)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	found = slices.DeleteFunc(found, func(f candidate) bool { return f.live == nil || f.why == neverMade })
	if err := examineHolders(ctx, c, o, found, fills); err != nil {
		return nil, nil, err
	}
	slices.SortStableFunc(found, func(a, b candidate) int {
		ra, rb := a.Object.ref(), b.Object.ref()
		if order := later(rb.GroupKind(), ra.GroupKind()); order != 0 {
			return order
		}
		return strings.Compare(key(ra), key(rb))
	})
	var deletes []deletion
	var stay []kept
	for _, f := range found {
		if f.why != "" {
			stay = append(stay, kept{f.Object, f.why})
			continue
		}
		deletes = append(deletes, f.deletion)
	}
	return deletes, stay, nil
}

// examineHolders looks what is in namespaces that are to be deleted, and what is of kinds whose definitions are.
func examineHolders(ctx context.Context, c *cluster.Cluster, o owner, found []candidate, fills func(entry, *unstructured.Unstructured) bool) error {
	except := map[types.UID]bool{}
	for _, f := range found {
		if f.why == "" {
			except[f.UID] = true
		}
	}
	for i := range found {
		f := &found[i]
		if f.why != "" || !f.Object.holds() {
			continue
		}
		if fills != nil && fills(f.Object, f.live) {
			f.why = "the manifests contain objects of it"
			continue
		}
		inside, err := contentsOf(ctx, c, o, f.Object, f.live, except)
		if err != nil {
			return err
		}
		f.why, f.With = inside.keep(f.Object), inside.String()
	}
	return nil
}

// neverMade is why an entry without a UID stays that is somebody else's: an apply was cut off before it made the object.
const neverMade = "it was not created by this application"

// reasonToKeep says why an object of the inventory must not be deleted, "" when it may be.
func reasonToKeep(e entry, live *unstructured.Unstructured, o owner) string {
	of, m := o.of(live.GetAnnotations()), markIn(live.GetAnnotations())
	switch {
	case e.UID != "" && e.UID != live.GetUID():
		return "it is another object with the same name"
	case e.UID == "" && of != own:
		return neverMade
	case of == foreign || of == sibling:
		return fmt.Sprintf("it now belongs to %s", m)
	case e.isNamespace() && e.Adopted:
		return "it existed before davit, and so may its contents"
	case disabled(live.GetAnnotations()):
		return "it has " + pruneAnnotation + ": disabled"
	}
	return ""
}

// stays is the item of an object that is not deleted.
func (k kept) stays() sdk.Item {
	item := deleted(deletion{Object: k.Object}, "kept: "+k.Why)
	item.Action = sdk.ActionNone
	return item
}

// reason says that the object stays.
func (k kept) reason() string { return fmt.Sprintf("%s is kept: %s", k.Object.ref().Short(), k.Why) }
