// Package host looks after the machine the lab runs on: the system packages
// and the kernel's settings that the servers need.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/davit-sh/davit/acceptance/internal/cache"
	"github.com/davit-sh/davit/acceptance/internal/process"
)

// A Need is a system package, known by the command it brings.
type Need struct{ Package, Command string }

// What the parts of the lab need beyond Go.
var (
	Gcc        = Need{"gcc", "gcc"}
	Git        = Need{"git", "git"}
	SSH        = Need{"openssh-client", "ssh-keygen"}
	Containerd = Need{"containerd", "containerd"}
	Runc       = Need{"runc", "runc"}
	CNI        = Need{"containernetworking-plugins", CNIDir + "/ptp"}
	Qemu       = Need{"qemu-user-static", "qemu-aarch64-static"}
	Binfmt     = Need{"binfmt-support", "update-binfmts"}
	Busybox    = Need{"busybox-static", "busybox"}
	Docker     = Need{"docker-cli", "docker"}
	Mount      = Need{"mount", "mount"}
	Nsenter    = Need{"util-linux", "nsenter"}
	Apt        = Need{"apt", "apt-get"}
	Dpkg       = Need{"dpkg", "dpkg-deb"}
)

// CNIDir is where Debian puts the container network plugins.
const CNIDir = "/usr/lib/cni"

// Ensure makes sure that all needs are met. When something is missing it runs
// setup (the path of setup.sh) if this process is root, and otherwise says what
// is missing and what to run.
func Ensure(ctx context.Context, progress io.Writer, setup string, needs ...Need) error {
	if len(missing(needs)) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("missing on this machine: %s; run: sudo %s", strings.Join(missing(needs), ", "), setup)
	}
	dir, err := cache.Dir()
	if err != nil {
		return err
	}
	unlock, err := cache.Lock(filepath.Join(dir, "setup.lock"))
	if err != nil {
		return err
	}
	defer unlock()
	absent := missing(needs)
	if len(absent) == 0 { // another process installed them while we waited
		return nil
	}
	_, _ = fmt.Fprintf(progress, "lab: installing %s\n", strings.Join(absent, ", "))
	// Not to be interrupted: a half-installed package is for people to repair.
	out, err := process.Run(context.WithoutCancel(ctx), process.Command{Name: setup, Args: []string{setup}})
	if err != nil {
		return fmt.Errorf("install %s: %w\n%s", strings.Join(absent, ", "), err, lastLines(out, 10))
	}
	if absent = missing(needs); len(absent) > 0 {
		return fmt.Errorf("%s ran, but still missing on this machine: %s", setup, strings.Join(absent, ", "))
	}
	return nil
}

// RequireRoot tells people who are not root how to run what needs it.
func RequireRoot() error {
	if os.Geteuid() == 0 {
		return nil
	}
	return errors.New("BuildKit and Kubernetes run containers, which needs root: run the same command with sudo -E")
}

func missing(needs []Need) []string {
	var absent []string
	for _, n := range needs {
		if _, err := exec.LookPath(n.Command); err != nil {
			absent = append(absent, n.Package)
		}
	}
	slices.Sort(absent)
	return slices.Compact(absent)
}

// FreePorts returns n different loopback TCP ports that nobody listens on.
// They lie below the range that the kernel takes ports of outgoing connections
// from, so that none is gone before a server listens on it.
func FreePorts(n int) ([]int, error) {
	const first, last = 20000, 32000
	var ports []int
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := first + rand.IntN(last-first) //nolint:gosec // not a secret
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil || slices.Contains(ports, port) {
			continue
		}
		if err := l.Close(); err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("found no %d free ports between %d and %d", n, first, last)
}

func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
