package lab

import (
	"context"
	"io"
	"path/filepath"

	"github.com/davit-sh/davit/acceptance/internal/baseimage"
	"github.com/davit-sh/davit/acceptance/internal/controlplane"
	"github.com/davit-sh/davit/acceptance/internal/host"
	"github.com/davit-sh/davit/acceptance/internal/node"
	"github.com/davit-sh/davit/acceptance/internal/server"
)

// The images that BaseImages puts into Registry, below its Host, for
// linux/amd64, linux/arm64 and linux/arm/v7.
const (
	Busybox = baseimage.Busybox
	Python  = baseimage.Python // with the standard library, and busybox as its shell
)

// artifacts are what the servers are started from.
type artifacts struct {
	binaries map[server.Server]string
	images   string // folder of an OCI layout
}

// Build puts everything into the cache that Start would otherwise build when it
// is first needed. Unlike Start it works for any user.
func Build(ctx context.Context, progress io.Writer) error {
	_, err := prepare(ctx, Options{
		Registry: true, Gitea: true, BuildKit: true, Kubernetes: true, BaseImages: true, S3: true,
		Progress: progress,
	})
	return err
}

// prepare checks the machine and fills the cache.
func prepare(ctx context.Context, opts Options) (*artifacts, error) {
	var needs []host.Need
	var servers []server.Server
	if opts.Registry || opts.AuthRegistry {
		servers = append(servers, server.Registry)
	}
	if opts.BaseImages {
		needs = append(needs, baseimage.Needs()...)
	}
	if opts.Gitea {
		needs = append(needs, host.Git, host.SSH)
		servers = append(servers, server.Gitea)
	}
	if opts.BuildKit {
		needs = append(needs, host.Runc, host.Qemu, host.Binfmt, host.Mount, host.Docker)
		servers = append(servers, server.Buildkitd, server.Buildctl, server.Buildx)
	}
	if opts.Kubernetes {
		needs = append(needs, node.Needs()...)
		servers = append(servers, controlplane.Binaries()...)
		servers = append(servers, server.Kubelet, server.Kubectl)
	}
	if opts.APIServer && !opts.Kubernetes {
		servers = append(servers, controlplane.Binaries()[:2]...)
	}
	if opts.S3 {
		servers = append(servers, server.S3)
	}
	root, err := server.Root()
	if err != nil {
		return nil, err
	}
	if err := host.Ensure(ctx, opts.Progress, filepath.Join(root, "setup.sh"), needs...); err != nil {
		return nil, err
	}
	paths, err := server.Binaries(ctx, opts.Progress, servers...)
	if err != nil {
		return nil, err
	}
	made := &artifacts{binaries: map[server.Server]string{}}
	for i, s := range servers {
		made.binaries[s] = paths[i]
	}
	if opts.BaseImages {
		if made.images, err = baseimage.Build(ctx, opts.Progress); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// pushBaseImages makes the base images available in Registry.
func (l *Lab) pushBaseImages(ctx context.Context, made *artifacts) error {
	return baseimage.Push(ctx, made.images, l.Registry.Host, baseimage.Pause, Busybox, Python)
}
