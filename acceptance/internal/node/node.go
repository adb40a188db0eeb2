// Package node runs a real Kubernetes node named localhost: containerd with
// runc, and a kubelet. Both live in private PID and mount namespaces, so that
// pods, shims and mounts vanish with them, but in the machine's network, which
// therefore reaches pods by their IP.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/davit-sh/davit/acceptance/internal/cgroup"
	"github.com/davit-sh/davit/acceptance/internal/controlplane"
	"github.com/davit-sh/davit/acceptance/internal/host"
	"github.com/davit-sh/davit/acceptance/internal/process"
)

// Needs are the system packages a node uses.
func Needs() []host.Need {
	return []host.Need{host.Containerd, host.Runc, host.CNI, host.Mount, host.Nsenter}
}

// Options says what a node is made of.
type Options struct {
	Cgroup  string // name of a control group of its own
	Dir     string // its files
	Kubelet string // path of the binary
	Pause   string // image of the first container of each pod
	Subnet  string // of the pods, like 10.201.7.0/24
}

// Node is a running node.
type Node struct {
	opts       Options
	containerd *process.Process
	kubelet    *process.Process
}

// hidden are the folders that containerd, runc and the kubelet insist on.
var hidden = []string{"/run", "/var/lib/kubelet", "/var/log"}

const runtimeSocket = "/run/containerd/containerd.sock"

// Start runs containerd; Join makes it a node.
func Start(opts Options) (*Node, error) {
	n := &Node{opts: opts}
	if err := n.writeConfig(); err != nil {
		return nil, err
	}
	var err error
	n.containerd, err = process.Start(process.Command{
		Name:    "containerd",
		Args:    []string{"containerd", "--config", n.file("containerd.toml")},
		Dir:     opts.Dir,
		Log:     n.file("containerd.log"),
		Private: true,
		Hidden:  hidden,
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Join starts the kubelet and returns when the control plane counts the node
// as ready and pods can be created.
func (n *Node) Join(ctx context.Context, plane *controlplane.Plane) error {
	// /proc shows the files of a process as it sees them.
	socket := fmt.Sprintf("/proc/%d/root%s", n.containerd.Pid(), runtimeSocket)
	if err := n.containerd.WaitReady(ctx, 30*time.Second, func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	}); err != nil {
		return err
	}
	if err := cgroup.Make(n.opts.Cgroup); err != nil {
		return err
	}
	if err := n.writeKubeletConfig(plane); err != nil {
		return err
	}
	var err error
	n.kubelet, err = process.Start(process.Command{
		Name: "kubelet",
		Args: []string{
			n.opts.Kubelet,
			"--config=" + n.file("kubelet.yaml"),
			"--kubeconfig=" + plane.File("kubelet.kubeconfig"),
			"--hostname-override=localhost",
		},
		Dir:    n.opts.Dir,
		Log:    n.file("kubelet.log"),
		Within: n.containerd,
	})
	if err != nil {
		return err
	}
	return n.kubelet.WaitReady(ctx, 90*time.Second, func(ctx context.Context) error { return ready(ctx, plane) })
}

func ready(ctx context.Context, plane *controlplane.Plane) error {
	var text strings.Builder
	if err := plane.Get(ctx, "/api/v1/nodes/localhost", &text); err != nil {
		return err
	}
	var node struct {
		Spec struct {
			Taints []struct{ Key string }
		}
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := json.Unmarshal([]byte(text.String()), &node); err != nil {
		return err
	}
	state := errors.New("the node has no condition Ready")
	for _, c := range node.Status.Conditions {
		if c.Type == "Ready" {
			state = nil
			if c.Status != "True" {
				state = fmt.Errorf("the node is not ready: %s", c.Message)
			}
		}
	}
	if state != nil {
		return state
	}
	if len(node.Spec.Taints) > 0 {
		return fmt.Errorf("the node has the taint %s", node.Spec.Taints[0].Key)
	}
	text.Reset()
	return plane.Get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", &text)
}

// Stop ends the node with all its pods.
func (n *Node) Stop() error {
	if n == nil {
		return nil
	}
	// The kubelet first, or it would start again what ends. Then the first
	// process of the private namespace, and the kernel ends all others in it.
	err := errors.Join(n.kubelet.Stop(0), n.containerd.Stop(0))
	return errors.Join(err, cgroup.Remove(n.opts.Cgroup))
}

func (n *Node) file(name string) string { return filepath.Join(n.opts.Dir, name) }

func (n *Node) write(name, text string) error {
	if err := os.MkdirAll(filepath.Dir(n.file(name)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(n.file(name), []byte(text), 0o600)
}
