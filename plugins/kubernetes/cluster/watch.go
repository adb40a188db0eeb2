package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// Sight is what a watch has seen of one object.
type Sight struct {
	Found
	Listed bool // by a list; else it was made or changed just now
	Gone   bool
}

const (
	metadataOfOne = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
	// watchSeconds is how long one request of a watch lasts at least. The server ends it, and the next one goes on from there.
	watchSeconds = 300
)

// Watch lists the metadata of the objects of a kind in a namespace, and then tells of all that is changed, until ctx ends or the server
// cannot be asked. An empty namespace stands for all. see is called for one object at a time and must not keep the metadata; listed is called when all that
// is there was seen, and again whenever the server has forgotten the changes since then and everything was listed anew. Nothing is kept.
func (c *Cluster) Watch(ctx context.Context, gk schema.GroupKind, namespace string, see func(Sight), listedAll func()) error {
	found, kind, err := c.kinds.serving(ctx, gk.WithVersion(""))
	if err != nil {
		return err
	}
	if kind == nil {
		return &UnknownKindError{gk.WithVersion(""), ""}
	}
	k := listed{found, kind.Resource}
	for {
		version, err := c.pages(ctx, k, namespace, func(f Found) bool {
			see(Sight{Found: f, Listed: true})
			return true
		})
		if err != nil {
			if notServed(err) {
				c.kinds.forget(found.GroupVersion())
			}
			return err
		}
		listedAll()
		for err == nil {
			begun := time.Now()
			if version, err = c.watchFrom(ctx, k, namespace, version, see); err == nil && time.Since(begun) < time.Second {
				err = pause(ctx, time.Second) // what is in between does not let a watch live
			}
		}
		if !apierrors.IsResourceExpired(err) && !apierrors.IsGone(err) {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watchFrom makes one request of a watch. It returns the version to go on from when the server ends it as agreed.
func (c *Cluster) watchFrom(ctx context.Context, k listed, namespace, version string, see func(Sight)) (string, error) {
	stream, err := c.rest.Get().AbsPath(k.path(namespace)...).SetHeader("Accept", metadataOfOne).Param("watch", "true").
		Param("resourceVersion", version).Param("allowWatchBookmarks", "true").
		Param("timeoutSeconds", fmt.Sprint(watchSeconds+rand.IntN(watchSeconds))). //nolint:gosec // it spreads load
		Stream(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = stream.Close() }()
	events := json.NewDecoder(stream)
	for {
		var event struct {
			Type   watch.EventType `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if err := events.Decode(&event); errors.Is(err, io.EOF) {
			return version, ctx.Err()
		} else if err != nil {
			return "", fmt.Errorf("the watch of %s broke: %w", groupResource(k), err)
		}
		if event.Type == watch.Error {
			status := metav1.Status{Code: http.StatusInternalServerError}
			if err := json.Unmarshal(event.Object, &status); err != nil {
				return "", fmt.Errorf("the watch of %s cannot be read: %w", groupResource(k), err)
			}
			return "", &apierrors.StatusError{ErrStatus: status}
		}
		var object metav1.PartialObjectMetadata
		if err := json.Unmarshal(event.Object, &object); err != nil {
			return "", fmt.Errorf("the watch of %s cannot be read: %w", groupResource(k), err)
		}
		version = object.ResourceVersion
		if event.Type != watch.Bookmark {
			see(Sight{Found: Found{Ref: Ref{k.GroupVersionKind, object.Namespace, object.Name}, Meta: object.ObjectMeta}, Gone: event.Type == watch.Deleted})
		}
	}
}
