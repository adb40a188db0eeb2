// Package examples_test runs the examples that need no servers; acceptance runs the others.
package examples_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestQuickstart(t *testing.T) {
	davit := filepath.Join(t.TempDir(), "davit")
	if out, err := exec.Command("go", "build", "-o", davit, "../cmd/davit").CombinedOutput(); err != nil {
		t.Fatalf("building davit: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
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
