// Package controlplane runs etcd, kube-apiserver, kube-controller-manager and
// kube-scheduler on loopback, with an authority of their own.
package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/davit-sh/davit/acceptance/internal/host"
	"github.com/davit-sh/davit/acceptance/internal/process"
	"github.com/davit-sh/davit/acceptance/internal/server"
)

const serviceCIDR = "10.96.0.0/16"

var serviceIP = net.IPv4(10, 96, 0, 1) // of the service "kubernetes"

// Plane is a running control plane.
type Plane struct {
	URL        string // of the API server
	Kubeconfig string // path; the user may do everything
	dir        string
	etcd       *process.Process
	apiserver  *process.Process
	controller *process.Process
	scheduler  *process.Process
	client     *http.Client
	startAPI   func() (*process.Process, error)
}

// Binaries are the servers Start needs, in its order.
func Binaries() []server.Server {
	return []server.Server{server.Etcd, server.KubeAPIServer, server.KubeControllerManager, server.KubeScheduler}
}

// Start runs the binaries with their files below dir and returns when the API
// server is ready. On failure nothing is left running.
func Start(ctx context.Context, dir string, binaries []string) (*Plane, error) {
	p, err := StartAPI(ctx, dir, binaries[:2])
	if err != nil {
		return nil, err
	}
	if err := p.startControllers(binaries[2:]); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// StartAPI runs no more than etcd and the API server, which are the first two of Binaries: objects
// are kept and checked, and nothing happens because of them.
func StartAPI(ctx context.Context, dir string, binaries []string) (_ *Plane, err error) {
	ports, err := host.FreePorts(1)
	if err != nil {
		return nil, err
	}
	p := &Plane{URL: fmt.Sprintf("https://127.0.0.1:%d", ports[0]), dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Stop())
		}
	}()
	if err := p.certificates(); err != nil {
		return nil, err
	}
	p.Kubeconfig = p.File("admin.kubeconfig")

	etcdData, etcdSocket := p.File("etcd"), p.File("etcd/client.sock")
	if err := os.Mkdir(etcdData, 0o700); err != nil {
		return nil, err
	}
	if p.etcd, err = p.run("etcd", binaries[0],
		"--data-dir="+etcdData+"/data",
		"--listen-client-urls=unix://"+etcdSocket,
		"--advertise-client-urls=http://127.0.0.1:2379", // wants host:port; nobody reads it
		"--listen-peer-urls=unix://"+etcdData+"/peer.sock",
		"--unsafe-no-fsync",
		"--log-level=warn",
	); err != nil {
		return nil, err
	}
	p.startAPI = func() (*process.Process, error) {
		return p.run("kube-apiserver", binaries[1], p.apiserverArgs(ports[0], etcdSocket)...)
	}
	if p.apiserver, err = p.startAPI(); err != nil {
		return nil, err
	}
	if p.client, err = p.newClient(); err != nil {
		return nil, err
	}
	return p, p.ready(ctx)
}

func (p *Plane) ready(ctx context.Context) error {
	return p.apiserver.WaitReady(ctx, 60*time.Second, func(ctx context.Context) error {
		return p.Get(ctx, "/readyz", io.Discard)
	})
}

// RestartAPI kills the API server, with whatever it is doing, and returns when another one is ready.
func (p *Plane) RestartAPI(ctx context.Context) (err error) {
	if err := p.apiserver.Stop(0); err != nil {
		return err
	}
	if p.apiserver, err = p.startAPI(); err != nil {
		return err
	}
	return p.ready(ctx)
}

func (p *Plane) startControllers(binaries []string) (err error) {
	if p.controller, err = p.run("kube-controller-manager", binaries[0],
		"--kubeconfig="+p.File("controller-manager.kubeconfig"),
		"--root-ca-file="+p.File("ca.crt"),
		"--service-account-private-key-file="+p.File("service-account.key"),
		"--use-service-account-credentials",
		"--leader-elect=false",
		"--kube-api-qps=1000", "--kube-api-burst=2000",
		"--secure-port=0",
	); err != nil {
		return err
	}
	p.scheduler, err = p.run("kube-scheduler", binaries[1],
		"--kubeconfig="+p.File("scheduler.kubeconfig"),
		"--leader-elect=false",
		"--kube-api-qps=1000", "--kube-api-burst=2000",
		"--secure-port=0",
	)
	return err
}

func (p *Plane) apiserverArgs(port int, etcdSocket string) []string {
	return []string{
		"--etcd-servers=unix://" + etcdSocket,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		// The endpoint of the service "kubernetes", which may not be loopback.
		"--advertise-address=" + hostAddress(),
		"--tls-cert-file=" + p.File("apiserver.crt"), "--tls-private-key-file=" + p.File("apiserver.key"),
		"--client-ca-file=" + p.File("ca.crt"),
		"--kubelet-certificate-authority=" + p.File("ca.crt"),
		"--kubelet-client-certificate=" + p.File("apiserver.crt"),
		"--kubelet-client-key=" + p.File("apiserver.key"),
		"--kubelet-preferred-address-types=Hostname",
		"--authorization-mode=Node,RBAC", "--anonymous-auth=false",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.File("service-account.key"),
		"--service-account-signing-key-file=" + p.File("service-account.key"),
		"--service-cluster-ip-range=" + serviceCIDR,
		"--allow-privileged",
		"--enable-priority-and-fairness=false",
	}
}

// certificates makes the authority, and a kubeconfig for each user.
func (p *Plane) certificates() error {
	ca, err := newAuthority(p.dir)
	if err != nil {
		return err
	}
	users := []struct{ name, user, group string }{
		{"admin", "admin", "system:masters"},
		{"apiserver", "kube-apiserver", "system:masters"},
		{"controller-manager", "system:kube-controller-manager", ""},
		{"scheduler", "system:kube-scheduler", ""},
		{"kubelet", "system:node:localhost", "system:nodes"},
		{"service-account", "service-account", ""}, // its key signs tokens
	}
	for _, u := range users {
		if err := ca.issue(u.name, u.user, u.group); err != nil {
			return err
		}
		if err := p.writeKubeconfig(u.name); err != nil {
			return err
		}
	}
	return nil
}

const kubeconfig = `apiVersion: v1
kind: Config
clusters:
- name: lab
  cluster: {server: %q, certificate-authority-data: %s}
users:
- name: %[3]s
  user: {client-certificate-data: %s, client-key-data: %s}
contexts:
- name: lab
  context: {cluster: lab, user: %[3]s}
current-context: lab
`

func (p *Plane) writeKubeconfig(name string) error {
	var data [3]string
	for i, file := range []string{"ca.crt", name + ".crt", name + ".key"} {
		text, err := os.ReadFile(p.File(file))
		if err != nil {
			return err
		}
		data[i] = base64.StdEncoding.EncodeToString(text)
	}
	text := fmt.Appendf(nil, kubeconfig, p.URL, data[0], name, data[1], data[2])
	return os.WriteFile(p.File(name+".kubeconfig"), text, 0o600)
}

// File is the path of a file of the control plane: ca.crt, USER.crt, USER.key
// and USER.kubeconfig for the users admin and kubelet among others.
func (p *Plane) File(name string) string { return filepath.Join(p.dir, name) }

func (p *Plane) run(name, binary string, args ...string) (*process.Process, error) {
	return process.Start(process.Command{
		Name: name,
		Args: append([]string{binary}, args...),
		Dir:  p.dir,
		Log:  p.File(name + ".log"),
	})
}

func (p *Plane) newClient() (*http.Client, error) {
	cert, err := tls.LoadX509KeyPair(p.File("admin.crt"), p.File("admin.key"))
	if err != nil {
		return nil, err
	}
	ca, err := os.ReadFile(p.File("ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	config := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS13}
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: config}}, nil
}

// Get copies the answer to a GET of an API path to out; any status but 200 is
// an error.
func (p *Plane) Get(ctx context.Context, path string, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+path, nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 2048))
		return fmt.Errorf("GET %s: %s: %s", path, resp.Status, text)
	}
	_, err = io.Copy(out, resp.Body)
	return err
}

// Stop ends the servers, those that use others first. All they know is thrown
// away, so none is given time to settle.
func (p *Plane) Stop() error {
	if p.client != nil {
		p.client.CloseIdleConnections()
	}
	return errors.Join(p.controller.Stop(0), p.scheduler.Stop(0), p.apiserver.Stop(0), p.etcd.Stop(0))
}

// hostAddress is an address of this machine that is not loopback, or one that
// merely looks so: the apiserver publishes it and nothing in the lab dials it.
func hostAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err == nil {
		for _, a := range addrs {
			if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() != nil && ip.IP.IsGlobalUnicast() {
				return ip.IP.String()
			}
		}
	}
	return "192.0.2.1"
}
