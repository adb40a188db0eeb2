package kubernetes

import (
	"context"
	"encoding/json"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/diff"
)

// rewrite changes who manages the fields of an object, as far as change says; it returns nil for no change. It returns the object as it
// is then. So davit becomes the manager of fields that people's tools manage, and applying removes those that the manifest does not have.
func (w *applying) rewrite(ctx context.Context, live *unstructured.Unstructured, change func(*unstructured.Unstructured) ([]metav1.ManagedFieldsEntry, error)) (*unstructured.Unstructured, error) {
	ref := cluster.RefOf(live)
	for attempt := 0; ; attempt++ {
		entries, err := change(live)
		if err != nil || entries == nil {
			return live, err
		}
		patch, err := json.Marshal([]any{
			map[string]any{"op": "test", "path": "/metadata/resourceVersion", "value": live.GetResourceVersion()},
			map[string]any{"op": "replace", "path": "/metadata/managedFields", "value": entries},
		})
		if err != nil {
			return nil, err
		}
		patched, err := w.cluster.Patch(ctx, ref, patch)
		if err == nil || attempt == 5 {
			return patched, err
		}
		// Controllers write into objects at any time. What they wrote must not be undone.
		if live, err = w.cluster.Get(ctx, ref); err != nil || live == nil {
			return live, err
		}
	}
}

// inServedVersions takes versions out of managed fields that the cluster does not have any more.
func (w *applying) inServedVersions(ctx context.Context) func(*unstructured.Unstructured) ([]metav1.ManagedFieldsEntry, error) {
	return func(live *unstructured.Unstructured) (entries []metav1.ManagedFieldsEntry, err error) {
		entries = diff.InVersion(live, func(apiVersion string) bool {
			served, failed := w.cluster.Serves(ctx, schema.FromAPIVersionAndKind(apiVersion, live.GetKind()))
			err = errors.Join(err, failed)
			return served || failed != nil
		})
		return entries, err
	}
}
