package lab

import (
	"context"

	"github.com/davit-sh/davit/acceptance/internal/controlplane"
	"github.com/davit-sh/davit/acceptance/internal/server"
)

// APIServer is a Kubernetes API server that only keeps objects: no controller
// and no node acts on them. It starts in seconds and may be killed by a test.
type APIServer struct {
	URL        string
	Kubeconfig string // path; the user may do everything
	CA         string // path of the authority's certificate
	plane      *controlplane.Plane
}

// Restart kills the server and returns when another is ready at the same
// address. What it was asked and had not answered is lost or not, as in life.
func (a *APIServer) Restart(ctx context.Context) error { return a.plane.RestartAPI(ctx) }

func (l *Lab) startAPIServer(ctx context.Context, made *artifacts) error {
	dir, err := l.folder("apiserver")
	if err != nil {
		return err
	}
	var binaries []string
	for _, s := range []server.Server{server.Etcd, server.KubeAPIServer} {
		binaries = append(binaries, made.binaries[s])
	}
	plane, err := controlplane.StartAPI(ctx, dir, binaries)
	if err != nil {
		return err
	}
	l.onStop(plane.Stop)
	l.APIServer = &APIServer{URL: plane.URL, Kubeconfig: plane.Kubeconfig, CA: plane.File("ca.crt"), plane: plane}
	return nil
}
