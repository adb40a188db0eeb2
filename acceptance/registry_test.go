package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

const registryStack = `
image "registry" "app" {
  repository = "%[1]s"
}

policy "semver" "app" {
  image = image.registry.app
  range = ">=1.0.0 <3.0.0"
}

policy "digest" "app" {
  image = image.registry.app
  tag   = "1.0.7"
}

output "tag" { value = policy.semver.app.tag }
output "ref" { value = policy.semver.app.ref }
output "tags" { value = length(image.registry.app.tags) }
output "pinned" { value = policy.digest.app.digest }
`

// A registry that asks for a password and pages its tags: all of them are seen, with the credentials of
// the docker config, and without those the error says what to do.
func TestRegistryWithPasswordAndManyTags(t *testing.T) {
	const tags = 2500
	r := servers.AuthRegistry
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(r.Image("many/app:1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image, remote.WithAuth(&authn.Basic{Username: r.User, Password: r.Password})); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	// Thousands of pushes would take half a minute: the registry reads its tags from files.
	var dir string
	err = filepath.WalkDir(filepath.Dir(r.Log), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && filepath.Base(path) == "tags" {
			dir = path
		}
		return err
	})
	if err != nil || dir == "" {
		t.Fatalf("the registry's folder of tags: %q, %v", dir, err)
	}
	for i := 1; i < tags; i++ {
		link := filepath.Join(dir, fmt.Sprintf("1.0.%d", i), "current", "link")
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(link, []byte(digest.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorkspace(t)
	w.write("davit.hcl", fmt.Sprintf(registryStack, r.Image("many/app")))
	got := w.must("plan", "-verbose").stdout
	wants(t, "the plan", got, `tag: "1.0.2499"`, "tags: 2500", digest.String(), "chooses 1.0.2499: 1.0.2499 is the highest of 2500 tags")

	w.setenv("DOCKER_CONFIG", t.TempDir())
	res := w.davit("plan")
	if res.code != 1 {
		t.Fatalf("without credentials: exit %d\n%s", res.code, res.stdout)
	}
	wants(t, "the error", res.stderr, "image.registry.app", "davit.hcl line 2", "docker login")
}

// A registry that is not there is one clear error with the block and what to do.
func TestServersThatAreDown(t *testing.T) {
	for what, c := range map[string]struct{ stack, want string }{
		"registry": {fmt.Sprintf(registryStack, "127.0.0.1:9/none"), "image.registry.app"},
		"git host": {`source "git" "x" { url = "http://127.0.0.1:9/x.git" }`, "source.git.x"},
	} {
		w := newWorkspace(t)
		w.write("davit.hcl", c.stack)
		r := w.davit("plan")
		if r.code != 1 {
			t.Errorf("%s: exit %d\n%s", what, r.code, r.stdout)
		}
		wants(t, what, r.stdout, "! "+c.want+" cannot be planned")
		wants(t, what, r.stderr, c.want, "davit.hcl line", "refused")
	}
}
