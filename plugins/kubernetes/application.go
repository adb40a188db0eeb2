package kubernetes

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/davit-sh/davit/plugins/kubernetes/cluster"
	"github.com/davit-sh/davit/plugins/kubernetes/drift"
	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// Application is the type application "kubernetes". It keeps connections between calls.
type Application struct {
	mu       sync.Mutex
	clusters map[cluster.Access]connection
}

// connection is a cluster and the kubeconfig's age when it was read.
type connection struct {
	*cluster.Cluster
	stamp string
	hub   *drift.Hub
}

var _ sdk.Managed[Config, Outputs] = (*Application)(nil)

// New makes the type.
func New() *Application {
	return &Application{clusters: map[cluster.Access]connection{}}
}

// Validate checks what can be checked without a cluster.
func (a *Application) Validate(_ context.Context, c Config) error {
	var errs sdk.Errors
	if strings.HasPrefix(c.Path, "/") || slices.Contains(strings.Split(c.Path, "/"), "..") {
		errs = append(errs, sdk.Errorf(sdk.At("path"), "path %q leads out of the source", c.Path))
	}
	if c.Timeout <= 0 {
		errs = append(errs, sdk.Errorf(sdk.At("timeout"), "timeout must be longer than 0s"))
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// connect returns the connection for a configuration, a new one when the kubeconfig has changed.
func (a *Application) connect(ctx context.Context, c Config) (connection, error) {
	host := sdk.HostOf(ctx)
	access := cluster.Access{Kubeconfig: absolute(host.StackDir, c.Kubeconfig), Context: c.Context, CacheDir: host.CacheDir}
	stamp := stampOf(access)
	a.mu.Lock()
	defer a.mu.Unlock()
	known, ok := a.clusters[access]
	if ok && known.stamp == stamp {
		return known, nil
	}
	connected, err := cluster.Connect(access)
	if err != nil {
		return connection{}, err
	}
	if ok {
		known.hub.Abandon(errOtherKubeconfig)
	}
	known = connection{connected, stamp, drift.NewHub(connected)}
	a.clusters[access] = known
	return known, nil
}

// stampOf changes when the kubeconfig does.
func stampOf(access cluster.Access) string {
	files := filepath.SplitList(os.Getenv("KUBECONFIG"))
	if access.Kubeconfig != "" {
		files = []string{access.Kubeconfig}
	} else if home, err := os.UserHomeDir(); err == nil && len(files) == 0 {
		files = []string{filepath.Join(home, ".kube", "config")}
	}
	var stamp strings.Builder
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintf(&stamp, "%s %d %d;", file, info.ModTime().UnixNano(), info.Size())
		}
	}
	return stamp.String()
}

func absolute(stackDir, file string) string {
	if rest, home := strings.CutPrefix(file, "~/"); home {
		if dir, err := os.UserHomeDir(); err == nil {
			return filepath.Join(dir, rest)
		}
	}
	if file == "" || filepath.IsAbs(file) {
		return file
	}
	return filepath.Join(stackDir, file)
}

// scope asks the cluster about kinds that nothing else knows.
func scope(c *cluster.Cluster) render.Scope {
	return func(ctx context.Context, gvk schema.GroupVersionKind) (bool, bool, error) {
		namespaced, known, err := c.Scope(ctx, gvk)
		if err != nil {
			return false, false, c.Explain(err, "look up", "the kind "+gvk.Kind)
		}
		return namespaced, known, nil
	}
}
