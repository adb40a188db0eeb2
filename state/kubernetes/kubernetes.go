// Package kubernetes keeps a stack's state in Secrets of a cluster, from outside of it or from a pod.
//
// The lease is part of the state itself, so that who has lost it cannot write; a Lease object shows
// people who holds it.
package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/davit-sh/davit/state"
	"github.com/davit-sh/davit/state/internal/objects"
)

// Config is the place of the state.
type Config struct {
	Name       string `hcl:"name"`                // of the stack; the Secrets are called davit.NAME.*
	Namespace  string `hcl:"namespace,optional"`  // default: that of the context or of the pod
	Kubeconfig string `hcl:"kubeconfig,optional"` // path; default: KUBECONFIG, ~/.kube/config, or the service account of the pod
	Context    string `hcl:"context,optional"`    // default: the kubeconfig's current one
	InCluster  bool   `hcl:"in_cluster,optional"` // only the service account of the pod will do
}

// Validate returns an error for a missing or invalid setting.
func (c Config) Validate() error {
	var errs []error
	if c.Name == "" {
		errs = append(errs, errors.New("name is missing: give the stack's state a name, such as \"shop\""))
	} else if wrong := validation.IsDNS1123Label(c.Name); len(wrong) > 0 {
		errs = append(errs, fmt.Errorf("name %q cannot be part of a Secret's name: %s", c.Name, wrong[0]))
	}
	if wrong := validation.IsDNS1123Label(c.Namespace); c.Namespace != "" && len(wrong) > 0 {
		errs = append(errs, fmt.Errorf("namespace %q: %s", c.Namespace, wrong[0]))
	}
	if c.InCluster && (c.Kubeconfig != "" || c.Context != "") {
		errs = append(errs, errors.New("in_cluster cannot be combined with kubeconfig or context: remove one of them"))
	}
	return errors.Join(errs...)
}

// Option changes how a store behaves.
type Option func(*objects.Options)

// TTL sets how long a lease lasts without a heartbeat; 30 seconds if not given.
func TTL(d time.Duration) Option { return func(o *objects.Options) { o.TTL = d } }

// partSize leaves room in the 1 MiB that a Secret may have.
const partSize = 768 << 10

// Open returns the state without a request to the cluster. The first Lock creates it.
func Open(_ context.Context, c Config, options ...Option) (state.Store, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("state kubernetes: %w", err)
	}
	b, err := newBucket(c)
	if err != nil {
		return nil, fmt.Errorf("state kubernetes: %w", err)
	}
	o := objects.Options{Part: partSize, Now: b.clock.Now}
	for _, change := range options {
		change(&o)
	}
	return objects.Open(b, o)
}

func newBucket(c Config) (*bucket, error) {
	cfg, namespace, err := connection(c)
	if err != nil {
		return nil, err
	}
	b := &bucket{name: c.Name, namespace: namespace}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = 100, 200
	cfg.UserAgent = "davit"
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	cfg.AcceptContentTypes = cfg.ContentType + ",application/json"
	// One connection carries one request at a time, so that giving a request up also gives up a
	// connection that nobody answers on any more.
	cfg.NextProtos = []string{"http/1.1"}
	cfg.Wrap(b.clock.Wrap)
	core, err := corev1.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	leases, err := coordinationv1.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	b.secrets, b.leases = core.RESTClient(), leases.RESTClient()
	return b, nil
}

const namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"

// connection finds the cluster in the way of kubectl.
func connection(c Config) (cfg *rest.Config, namespace string, err error) {
	if c.InCluster {
		cfg, err = rest.InClusterConfig()
		if err != nil {
			return nil, "", fmt.Errorf("in_cluster is set, but this is not a pod with a service account: %w", err)
		}
		if namespace = c.Namespace; namespace == "" {
			b, err := os.ReadFile(namespaceFile)
			if namespace = strings.TrimSpace(string(b)); err != nil || namespace == "" {
				return nil, "", errors.New("the namespace of the pod is not known: set namespace")
			}
		}
		return cfg, namespace, nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.Kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: c.Context}
	overrides.Context.Namespace = c.Namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	if cfg, err = loader.ClientConfig(); err != nil {
		return nil, "", fmt.Errorf("no cluster is configured: %w", err)
	}
	if namespace = c.Namespace; namespace == "" {
		namespace, _, err = loader.Namespace()
	}
	return cfg, namespace, err
}
