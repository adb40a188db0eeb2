// Package examples_test runs the examples that need no servers; acceptance runs the others.
package examples_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// build makes the command.
func build(t *testing.T) string {
	t.Helper()
	davit := filepath.Join(t.TempDir(), "davit")
	if out, err := exec.Command("go", "build", "-o", davit, "../cmd/davit").CombinedOutput(); err != nil {
		t.Fatalf("building davit: %v\n%s", err, out)
	}
	return davit
}

// freeAddress is one of this machine that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was written
	return l.Addr().String()
}

func TestQuickstart(t *testing.T) {
	davit, address := build(t), freeAddress(t)
	work := t.TempDir()
	cmd := exec.Command("quickstart/run.sh")
	cmd.Env = append(os.Environ(), "DAVIT="+davit, "QUICKSTART_DIR="+work, "QUICKSTART_ADDRESS="+address)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"Plan: 1 to build, 1 to create", "Plan: 1 to build, 1 to update", "files changed: index.html", "1.0.1 -> 1.0.2", "No changes.", "deployment-hello.yaml",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the quickstart does not say %q:\n%s", want, out)
		}
	}
	manifest, err := os.ReadFile(filepath.Join(work, "out", "deployment-hello.yaml"))
	if err != nil || !strings.Contains(string(manifest), address+"/hello:1.0.2@sha256:") {
		t.Errorf("the manifest has not the new image (%v):\n%s", err, manifest)
	}
	if strings.Contains(string(out), "No such file") {
		t.Errorf("the quickstart looks for a file that is not there:\n%s", out)
	}
	goOn(t, string(out))
}

// goOn types what the quickstart says at its end, in a shell that knows nothing of it.
func goOn(t *testing.T, out string) {
	t.Helper()
	_, after, _ := strings.Cut(out, "To go on there:\n\n")
	lines, _, found := strings.Cut(after, "\n\n")
	if !found || !strings.Contains(lines, "davit plan") {
		t.Fatalf("the quickstart does not say how to go on:\n%s", out)
	}
	// The registry is given a moment, as a person would.
	script := strings.Replace(lines, " &\n", " &\ntrap 'kill $!; wait' EXIT\nsleep 2\n", 1)
	cmd := exec.Command("bash", "-euc", script)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	said, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "No changes.") {
		t.Errorf("%v\n%s", err, said)
	}
}

// The example of gates: a new image goes to dev and waits before prod, changed manifests go to both, and an approval lets the image go.
func TestGates(t *testing.T) {
	davit, address, work := build(t), freeAddress(t), t.TempDir()
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = work
		cmd.Env = append(os.Environ(), "DAVIT_CACHE_DIR="+filepath.Join(work, ".cache"), "DAVIT_VAR_registry="+address, "DAVIT_VAR_repository="+filepath.Join(work, "app"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", filepath.Base(name), args, err, out)
		}
		return string(out)
	}
	write := func(name, from, old, now string) {
		t.Helper()
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, name), []byte(strings.Replace(string(text), old, now, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	commit := func() {
		t.Helper()
		run("git", "-C", "app", "add", "-A")
		run("git", "-C", "app", "-c", "user.name=Example", "-c", "user.email=example@example.com", "commit", "-qm", "A change")
	}
	runs := func(environment, want string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(work, "out", environment, "deployment-hello.yaml"))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s has not %s (%v):\n%s", environment, want, err, text)
		}
	}
	if err := os.CopyFS(filepath.Join(work, "app"), os.DirFS("quickstart/app")); err != nil {
		t.Fatal(err)
	}
	write("davit.hcl", "gates/davit.hcl", "", "")
	run("git", "init", "-q", "-b", "main", "app")
	commit()
	serve := exec.Command(davit, "registry", "serve", "-address", address, "-dir", filepath.Join(work, ".registry"))
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = serve.Process.Kill(); _ = serve.Wait() })
	for range 100 {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}

	run(davit, "apply", "-auto-approve")
	runs("prod", "hello:1.0.1@")
	write("app/site/index.html", "quickstart/app/site/index.html", "<h1>", "<h1>More: ")
	commit()
	out := run(davit, "apply", "-auto-approve")
	if want := `application.manifests.hello["prod"] waits for approval: 1.0.1 -> 1.0.2 (gate "prod")`; !strings.Contains(out, want) {
		t.Errorf("not said: %s\n%s", want, out)
	}
	runs("dev", "hello:1.0.2@")
	runs("prod", "hello:1.0.1@")
	write("app/deploy/web.yaml", "quickstart/app/deploy/web.yaml", "replicas: 2", "replicas: 4")
	commit()
	run(davit, "apply", "-auto-approve")
	runs("prod", "replicas: 4")
	runs("prod", "hello:1.0.1@")
	run(davit, "apply", "-auto-approve", `-approve=application.manifests.hello["prod"]`)
	runs("prod", "hello:1.0.2@")
	if out := run(davit, "history", `application.manifests.hello["prod"]`); !strings.Contains(out, "approved by ") {
		t.Errorf("nobody has approved it:\n%s", out)
	}
}
