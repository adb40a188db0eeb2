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
}
