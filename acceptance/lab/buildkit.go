package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/davit-sh/davit/acceptance/internal/cgroup"
	"github.com/davit-sh/davit/acceptance/internal/host"
	"github.com/davit-sh/davit/acceptance/internal/process"
	"github.com/davit-sh/davit/acceptance/internal/server"
	"github.com/davit-sh/davit/acceptance/internal/workspace"
)

// BuildKit is a running daemon with an empty cache. It takes registries on
// 127.0.0.1 as plain HTTP, runs steps for linux/arm64 and linux/arm/v7 by
// emulation, and gives them the machine's network.
type BuildKit struct {
	Address string // unix:///...
	Builder string // the daemon as a builder of docker buildx, in Lab.DockerConfig
	Buildx  string // path of buildx, which also works without docker
	Log     string // path of the daemon's log
}

// No builder of the lab needs its cache cleaned.
const buildkitConfig = `[worker.oci]
  enabled = true
  binary = "runc"
  snapshotter = "overlayfs"
  networkMode = "host"
  gc = false
  defaultCgroupParent = %q
[worker.containerd]
  enabled = false
`

func (l *Lab) startBuildKit(ctx context.Context, made *artifacts) error {
	if err := host.Emulation(ctx); err != nil {
		return err
	}
	dir, err := l.folder("buildkit")
	if err != nil {
		return err
	}
	group := l.workspace.Name + workspace.Builds
	config := filepath.Join(dir, "buildkitd.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, buildkitConfig, group), 0o600); err != nil {
		return err
	}
	b := &BuildKit{
		Address: "unix://" + filepath.Join(dir, "buildkitd.sock"),
		Builder: "lab",
		Log:     filepath.Join(dir, "buildkitd.log"),
	}
	data := filepath.Join(dir, "data")
	p, err := process.Start(process.Command{
		Name:    "buildkitd",
		Args:    []string{made.binaries[server.Buildkitd], "--config", config, "--root", data, "--addr", b.Address},
		Dir:     dir,
		Log:     b.Log,
		Private: true,
		Hidden:  []string{data}, // kept in memory, which spares waiting for the disk
	})
	if err != nil {
		return err
	}
	l.onStop(func() error { return errors.Join(p.Stop(0), cgroup.Remove(group)) })

	buildctl, err := l.installCommand(made.binaries[server.Buildctl])
	if err != nil {
		return err
	}
	if err := p.WaitReady(ctx, 30*time.Second, func(ctx context.Context) error {
		_, err := process.Run(ctx, process.Command{
			Name: "buildctl",
			Args: []string{buildctl, "--addr", b.Address, "debug", "workers"},
		})
		return err
	}); err != nil {
		return err
	}
	if err := l.installBuildx(ctx, b, made.binaries[server.Buildx]); err != nil {
		return err
	}
	l.BuildKit = b
	return nil
}

// installBuildx makes buildx a plugin of docker and tells it of the daemon.
func (l *Lab) installBuildx(ctx context.Context, b *BuildKit, binary string) error {
	plugins := filepath.Join(l.DockerConfig, "cli-plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(binary, filepath.Join(plugins, "docker-buildx")); err != nil {
		return err
	}
	var err error
	if b.Buildx, err = l.installCommand(binary); err != nil {
		return err
	}
	_, err = process.Run(ctx, process.Command{
		Name: "buildx create",
		Args: []string{b.Buildx, "create", "--name", b.Builder, "--driver", "remote", "--use", b.Address},
		Env:  []string{"DOCKER_CONFIG=" + l.DockerConfig},
	})
	return err
}
