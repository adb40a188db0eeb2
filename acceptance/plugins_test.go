package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// A plugin goes through a real registry that asks for a password: published, installed by the docker config's login,
// used without the registry, and held at what was locked when its tag moves and when the registry has lost it.
func TestPluginFromARegistry(t *testing.T) {
	r := servers.AuthRegistry
	w := newWorkspace(t)
	platform := runtime.GOOS + "/" + runtime.GOARCH
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(w.dir, "telegram"), ".")
	build.Dir = filepath.Join("..", "examples", "plugins", "telegram")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the plugin: %v\n%s", err, out)
	}
	w.write("other", "#!/bin/sh\n")
	to := "oci://" + r.Image("davit/telegram")
	pushed := w.must("plugin", "push", "-platform", platform+"=telegram", "-platform", "plan9/386=other", to+":1.0.0").stdout
	wants(t, "the push", pushed, "Plugin telegram 1.0.0 with notification.telegram", r.Image("davit/telegram")+"@sha256:")
	if again := w.must("plugin", "push", "-platform", platform+"=telegram", "-platform", "plan9/386=other", to+":1.0.0").stdout; again != pushed {
		t.Errorf("pushed again:\n%s", again)
	}
	w.write("davit.hcl", fmt.Sprintf("davit {\n  required_plugins { telegram = { source = %q, version = \"~> 1.0\" } }\n}\n", to))

	login := w.env
	w.setenv("DOCKER_CONFIG", t.TempDir())
	if res := w.davit("init"); res.code != 1 {
		t.Fatalf("without credentials: exit %d\n%s", res.code, res.stdout)
	} else {
		wants(t, "the error", res.stderr, `plugin "telegram"`, "refused access (401)", "docker login")
	}
	w.env = login
	wants(t, "init", w.must("init").stdout, "Fetching plugin telegram 1.0.0 for "+platform)
	lock, err := os.ReadFile(filepath.Join(w.dir, "davit.lock.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "the lock file", string(lock), platform, "plan9/386")
	mirror := filepath.Join(w.dir, "mirror")
	w.must("plugin", "mirror", mirror)

	// The tag moves: the lock file holds.
	w.write("other", "#!/bin/sh\n# another\n")
	w.must("plugin", "push", "-force", "-platform", platform+"=telegram", "-platform", "plan9/386=other", to+":1.0.0")
	w.setenv("DAVIT_CACHE_DIR", filepath.Join(w.dir, ".second"))
	w.must("init")
	if now, _ := os.ReadFile(filepath.Join(w.dir, "davit.lock.hcl")); string(now) != string(lock) {
		t.Errorf("the lock file has changed:\n%s", now)
	}
	w.must("plan")

	// The registry loses it: named where it is needed, and not missed where it is not.
	ref, err := name.ParseReference(r.Image("davit/telegram@") + digestIn(t, string(lock)))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Delete(ref, remote.WithAuth(&authn.Basic{Username: r.User, Password: r.Password})); err != nil {
		t.Fatal(err)
	}
	w.must("init")
	w.setenv("DAVIT_CACHE_DIR", filepath.Join(w.dir, ".third"))
	if res := w.davit("init"); res.code != 1 {
		t.Fatalf("what is gone was installed: exit %d\n%s", res.code, res.stdout)
	} else {
		wants(t, "the error", res.stderr, "is no longer in "+r.Image("davit/telegram"), "davit init -upgrade")
	}
	w.setenv("DAVIT_PLUGIN_MIRROR", mirror)
	w.must("init")
	w.must("plan")
}

// digestIn is the digest of a lock file's only fetched plugin.
func digestIn(t *testing.T, lock string) string {
	t.Helper()
	for _, line := range strings.Split(lock, "\n") {
		var digest string
		if n, _ := fmt.Sscanf(line, " digest = %q", &digest); n == 1 {
			return digest
		}
	}
	t.Fatalf("there is no digest in\n%s", lock)
	return ""
}
