package lab

import (
	"context"
	"errors"

	"github.com/davit-sh/davit/acceptance/internal/baseimage"
	"github.com/davit-sh/davit/acceptance/internal/controlplane"
	"github.com/davit-sh/davit/acceptance/internal/node"
	"github.com/davit-sh/davit/acceptance/internal/server"
	"github.com/davit-sh/davit/acceptance/internal/workspace"
)

// Kubernetes is a running cluster of one real node, localhost. It pulls from
// Registry as from any registry on 127.0.0.1. Pods are reached from this
// machine by their IP; there is no DNS and no kube-proxy, so services have
// addresses that nothing answers on. Deleting a namespace takes 5 to 10
// seconds: use fresh names and do not wait.
type Kubernetes struct {
	URL        string // of the API server
	Kubeconfig string // path; the user may do everything
	Kubectl    string // path of kubectl
}

func (l *Lab) startKubernetes(ctx context.Context, made *artifacts) (err error) {
	nodeDir, err := l.folder("node")
	if err != nil {
		return err
	}
	planeDir, err := l.folder("controlplane")
	if err != nil {
		return err
	}
	subnet, err := l.workspace.Subnet()
	if err != nil {
		return err
	}
	var n *node.Node
	var plane *controlplane.Plane
	l.onStop(func() error {
		err := n.Stop() // before the control plane it talks to
		if plane != nil {
			err = errors.Join(err, plane.Stop())
		}
		return err
	})
	n, err = node.Start(node.Options{
		Cgroup:  l.workspace.Name + workspace.Pods,
		Dir:     nodeDir,
		Kubelet: made.binaries[server.Kubelet],
		Pause:   l.Registry.Image(baseimage.Pause),
		Subnet:  subnet,
	})
	if err != nil {
		return err
	}
	var binaries []string
	for _, s := range controlplane.Binaries() {
		binaries = append(binaries, made.binaries[s])
	}
	plane, err = controlplane.Start(ctx, planeDir, binaries)
	if err != nil {
		return err
	}
	if err := n.Join(ctx, plane); err != nil {
		return err
	}
	kubectl, err := l.installCommand(made.binaries[server.Kubectl])
	if err != nil {
		return err
	}
	l.Kubernetes = &Kubernetes{URL: plane.URL, Kubeconfig: plane.Kubeconfig, Kubectl: kubectl}
	return nil
}
