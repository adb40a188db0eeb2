package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/objects"
)

const (
	secretType = "davit.sh/state" //nolint:gosec // a type, no secret
	stackLabel = "davit.sh/stack"
	// firstLabel is the label of Secrets that the first versions of davit created. The type of a Secret cannot be changed.
	firstLabel   = "davit.dev/stack"
	managerLabel = "app.kubernetes.io/managed-by"
	dataKey      = "state"
)

// bucket is the Secrets of one stack.
type bucket struct {
	secrets, leases rest.Interface
	namespace, name string
	clock           objects.Clock
	headType        atomic.Value // core.SecretType of the head as it was read; a Secret's type cannot be changed
}

// String implements objects.Bucket.
func (b *bucket) String() string {
	return fmt.Sprintf("the Secrets davit.%s.* of namespace %s", b.name, b.namespace)
}

func (b *bucket) object(name string) string { return "davit." + b.name + "." + name }

// quiet stops the library from printing errors that it also returns.
func quiet(ctx context.Context) context.Context { return klog.NewContext(ctx, logr.Discard()) }

// request sends one request. The store retries, because it must know whether a write may have taken effect.
func (b *bucket) request(r *rest.Request) *rest.Request {
	return r.Namespace(b.namespace).Resource("secrets").MaxRetries(0)
}

// Get implements objects.Bucket.
func (b *bucket) Get(ctx context.Context, name string) ([]byte, string, error) {
	var s core.Secret
	err := b.request(b.secrets.Get()).Name(b.object(name)).Do(quiet(ctx)).Into(&s)
	if apierrors.IsNotFound(err) {
		return nil, "", objects.ErrNotFound
	}
	if err != nil {
		return nil, "", b.failed(err)
	}
	if name == objects.Head {
		b.headType.Store(s.Type)
	}
	return s.Data[dataKey], s.ResourceVersion, nil
}

// Put implements objects.Bucket.
func (b *bucket) Put(ctx context.Context, name string, data []byte, version string) (string, error) {
	once := name != objects.Head
	s := &core.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: b.object(name), Namespace: b.namespace, ResourceVersion: version,
			Labels: map[string]string{managerLabel: "davit", stackLabel: b.name},
		},
		Type: secretType,
		Data: map[string][]byte{dataKey: data},
	}
	var r *rest.Request
	if version == "" {
		if once {
			s.Immutable = &once
		}
		r = b.request(b.secrets.Post())
	} else {
		if was, read := b.headType.Load().(core.SecretType); read {
			s.Type = was
		}
		r = b.request(b.secrets.Put()).Name(s.Name)
	}
	var written core.Secret
	err := r.Body(s).Do(quiet(ctx)).Into(&written)
	switch {
	case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
		return "", objects.ErrConflict
	case apierrors.IsNotFound(err) && version != "":
		return "", objects.ErrConflict // somebody removed it
	case err != nil:
		return "", b.failed(err)
	}
	return written.ResourceVersion, nil
}

// Delete implements objects.Bucket.
func (b *bucket) Delete(ctx context.Context, name string) error {
	err := b.request(b.secrets.Delete()).Name(b.object(name)).Do(quiet(ctx)).Error()
	if apierrors.IsNotFound(err) {
		return nil
	}
	return b.failed(err)
}

// List implements objects.Bucket. It asks for the names only.
func (b *bucket) List(ctx context.Context) (names []string, err error) {
	options := metav1.ListOptions{LabelSelector: managerLabel + "=davit", Limit: 500}
	for {
		raw, err := b.request(b.secrets.Get()).VersionedParams(&options, scheme.ParameterCodec).
			SetHeader("Accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1").Do(quiet(ctx)).Raw()
		if err != nil {
			return nil, b.failed(err)
		}
		var page metav1.PartialObjectMetadataList
		if err := json.Unmarshal(raw, &page); err != nil {
			return nil, fmt.Errorf("the list of Secrets: %w", err)
		}
		for _, item := range page.Items {
			if item.Labels[stackLabel] == b.name || item.Labels[firstLabel] == b.name {
				names = append(names, strings.TrimPrefix(item.Name, b.object("")))
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return names, nil
		}
	}
}

// failed classifies the server's errors.
func (b *bucket) failed(err error) error {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &status):
		if errors.Is(err, syscall.ECONNREFUSED) {
			return objects.Refused(err)
		}
		return err
	case apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err):
		return objects.Refused(err)
	case apierrors.IsForbidden(err):
		return objects.Permanent(fmt.Errorf("%w; davit needs get, list, create, update and delete on secrets in namespace %s", err, b.namespace))
	case apierrors.IsNotFound(err):
		return objects.Permanent(fmt.Errorf("%w: create the namespace %s first", err, b.namespace))
	case status.Status().Code >= 400 && status.Status().Code < 500 && !apierrors.IsTimeout(err):
		return objects.Permanent(err)
	}
	return err
}

// Announce implements objects.Announcer: kubectl get leases shows the holder. Nothing depends on it, so
// it may fail, and need not be allowed.
func (b *bucket) Announce(ctx context.Context, holder *state.Holder) {
	lease := coordination.Lease{ObjectMeta: metav1.ObjectMeta{
		Name: "davit." + b.name, Namespace: b.namespace,
		Labels: map[string]string{managerLabel: "davit", stackLabel: b.name},
	}}
	spec := map[string]any{"holderIdentity": nil, "renewTime": nil, "acquireTime": nil, "leaseDurationSeconds": nil}
	if holder != nil {
		now := b.clock.Now()
		spec["holderIdentity"] = fmt.Sprintf("%s (%s, process %d) %s", holder.Who, holder.What, holder.PID, holder.ID)
		spec["renewTime"], spec["acquireTime"] = metav1.NewMicroTime(now), metav1.NewMicroTime(holder.Since)
		spec["leaseDurationSeconds"] = max(1, int(holder.Expires.Sub(now).Round(time.Second)/time.Second))
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": lease.Labels}, "spec": spec})
	if err != nil {
		return
	}
	ask := func() error {
		return b.leases.Patch(types.MergePatchType).Namespace(b.namespace).Resource("leases").MaxRetries(0).
			Name(lease.Name).Body(patch).Do(quiet(ctx)).Error()
	}
	if err := ask(); apierrors.IsNotFound(err) && holder != nil {
		err := b.leases.Post().Namespace(b.namespace).Resource("leases").MaxRetries(0).Body(&lease).Do(quiet(ctx)).Error()
		if err == nil {
			_ = ask()
		}
	}
}
