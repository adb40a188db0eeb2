// Package server builds the real servers of the lab from source. Each family
// of servers has a module of its own below acceptance/servers that pins its
// versions; a built binary is kept in the cache under a key of everything that
// went into it, so a change of version builds again by itself and nothing else
// does.
package server

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/davit-sh/davit/acceptance/internal/host"
)

// A Server names a binary the lab can build.
type Server string

// The servers, and the commands that belong to them.
const (
	Registry              Server = "registry"
	Gitea                 Server = "gitea"
	Buildkitd             Server = "buildkitd"
	Buildctl              Server = "buildctl"
	Buildx                Server = "buildx"
	Etcd                  Server = "etcd"
	KubeAPIServer         Server = "kube-apiserver"
	KubeControllerManager Server = "kube-controller-manager"
	KubeScheduler         Server = "kube-scheduler"
	Kubelet               Server = "kubelet"
	Kubectl               Server = "kubectl"
	S3                    Server = "versitygw"
)

// All lists every server, the quickest to build first.
func All() []Server {
	return []Server{
		Registry, S3, Buildkitd, Buildctl, Buildx, Gitea,
		Etcd, KubeAPIServer, KubeControllerManager, KubeScheduler, Kubelet, Kubectl,
	}
}

// recipe says how a server is built.
type recipe struct {
	module  string // folder below acceptance/servers
	pkg     string // main package
	version string // module whose version ldflags speaks of
	ldflags string // added to -s -w, with VERSION (no leading v), MAJOR and MINOR filled in
	tags    string
	cgo     bool
	// generate, when set, builds from a writable copy of the module pkg after
	// running go generate on these packages in it.
	generate []string
}

const kubernetesVersion = "-X k8s.io/component-base/version.gitVersion=vVERSION" +
	" -X k8s.io/component-base/version.gitMajor=MAJOR -X k8s.io/component-base/version.gitMinor=MINOR"

func kubernetes(pkg string) recipe {
	return recipe{module: "kubernetes", pkg: pkg, version: "k8s.io/kubernetes", ldflags: kubernetesVersion}
}

// versioned is the recipe of cmd/NAME in a module that keeps its version in a
// variable of the package version.
func versioned(family, module, name, variable string) recipe {
	return recipe{
		module: family, pkg: module + "/cmd/" + name,
		version: module, ldflags: "-X " + module + "/version." + variable + "=vVERSION",
	}
}

var recipes = map[Server]recipe{
	Registry:  versioned("registry", "github.com/distribution/distribution/v3", "registry", "version"),
	Buildkitd: versioned("buildkit", "github.com/moby/buildkit", "buildkitd", "Version"),
	Buildctl:  versioned("buildkit", "github.com/moby/buildkit", "buildctl", "Version"),
	Buildx:    versioned("buildkit", "github.com/docker/buildx", "buildx", "Version"),
	Gitea: {
		module: "gitea", pkg: "code.gitea.io/gitea", cgo: true,
		version: "code.gitea.io/gitea", ldflags: "-X main.Version=VERSION",
		tags:     "bindata sqlite sqlite_unlock_notify",
		generate: []string{"./modules/migration", "./modules/public", "./modules/options", "./modules/templates"},
	},
	Etcd:                  kubernetes("go.etcd.io/etcd/server/v3"),
	KubeAPIServer:         kubernetes("k8s.io/kubernetes/cmd/kube-apiserver"),
	KubeControllerManager: kubernetes("k8s.io/kubernetes/cmd/kube-controller-manager"),
	KubeScheduler:         kubernetes("k8s.io/kubernetes/cmd/kube-scheduler"),
	Kubelet:               kubernetes("k8s.io/kubernetes/cmd/kubelet"),
	Kubectl:               kubernetes("k8s.io/kubernetes/cmd/kubectl"),
	S3: {
		module: "s3", pkg: "github.com/versity/versitygw/cmd/versitygw",
		version: "github.com/versity/versitygw", ldflags: "-X main.Version=vVERSION",
	},
}

// Root returns the folder of the acceptance module, found from this source
// file or, in a binary built with -trimpath, from the working folder.
func Root() (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok {
		root := filepath.Join(filepath.Dir(file), "..", "..")
		if isRoot(root) {
			return root, nil
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the acceptance module: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		for _, root := range []string{dir, filepath.Join(dir, "acceptance")} {
			if isRoot(root) {
				return root, nil
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("the folder acceptance/servers is not above the working folder: run this in davit's repository")
		}
	}
}

func isRoot(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "servers", "kubernetes", "go.mod"))
	return err == nil
}

// Binaries returns the paths of the servers' binaries in the order asked for,
// building what the cache does not have. Each build writes a line to progress.
func Binaries(ctx context.Context, progress io.Writer, servers ...Server) ([]string, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, s := range servers {
		path, err := binary(ctx, progress, root, s)
		if err != nil {
			return nil, fmt.Errorf("build %s: %w", s, err)
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// needs are the system packages that a build of the recipe uses.
func (r recipe) needs() []host.Need {
	if r.cgo {
		return []host.Need{host.Gcc}
	}
	return nil
}
