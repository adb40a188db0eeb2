package lab_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/davit-sh/davit/acceptance/lab"
)

const allPlatforms = "linux/amd64,linux/arm64,linux/arm/v7"

func TestBuildctlBuildsThreePlatforms(t *testing.T) {
	image := l.Registry.Image(fresh("by-buildctl") + ":1")
	dir := dockerfile(t)
	must(t, dir, "buildctl", "build",
		"--frontend", "dockerfile.v0", "--opt", "platform="+allPlatforms,
		"--local", "context=.", "--local", "dockerfile=.",
		"--output", "type=image,push=true,name="+image)
	wantPlatforms(t, image)
}

func TestBuildxBuildsThreePlatforms(t *testing.T) {
	image := l.Registry.Image(fresh("by-buildx") + ":1")
	must(t, dockerfile(t), "docker", "buildx", "build",
		"--builder", l.BuildKit.Builder, "--platform", allPlatforms, "--push", "--tag", image, ".")
	wantPlatforms(t, image)
}

func TestBuildPushesWithThePassword(t *testing.T) {
	image := l.AuthRegistry.Image(fresh("by-buildx") + ":1")
	must(t, dockerfile(t), "docker", "buildx", "build", "--push", "--tag", image, ".")
}

// dockerfile makes a context whose build runs a step, which fails unless Python
// is complete and is that of the platform.
func dockerfile(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`FROM %s
ARG TARGETARCH
RUN case "$TARGETARCH-$(uname -m)" in amd64-x86_64|arm64-aarch64|arm-armv7l) ;; *) exit 1;; esac
RUN python3 -c 'import http.server, ssl, json, unittest' && echo built > /result
`, l.Registry.Image(lab.Python))
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// must runs a command in the lab's environment.
func must(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := run(t, dir, l.Env(), args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// run runs a command, found in the PATH of env, and returns all it wrote.
func run(t *testing.T, dir string, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/usr/bin/env", args...) //nolint:gosec // the tests' own commands
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
