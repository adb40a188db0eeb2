package lab_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/davit-sh/davit/acceptance/lab"
)

func TestRegistryTakesListsAndDeletesTags(t *testing.T) {
	repo := repository(t, l.Registry, fresh("lists"))
	img, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 7 {
		tag := fmt.Sprintf("1.0.%d", i)
		want = append(want, tag)
		if err := remote.Write(repo.Tag(tag), img); err != nil {
			t.Fatal(err)
		}
	}
	got, err := remote.List(repo, remote.WithPageSize(3)) // follows the Link headers
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("tags are %v, want %v", got, want)
	}
	if err := remote.Delete(repo.Tag("1.0.0")); err != nil {
		t.Errorf("delete a tag: %v", err)
	}
	if got, err = remote.List(repo); err != nil || len(got) != 6 {
		t.Errorf("after deleting one of 7 tags there are %v (%v)", got, err)
	}
}

func TestAuthRegistryWantsThePassword(t *testing.T) {
	r := l.AuthRegistry
	tag := repository(t, r, fresh("secret")).Tag("1")
	err := remote.Write(tag, empty.Image)
	var refused *transport.Error
	if !errors.As(err, &refused) || refused.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a password: got %v, want status 401", err)
	}
	password := remote.WithAuth(&authn.Basic{Username: r.User, Password: r.Password})
	if err := remote.Write(tag, empty.Image, password); err != nil {
		t.Errorf("with the password: %v", err)
	}
	t.Setenv("DOCKER_CONFIG", l.DockerConfig)
	if err := remote.Write(tag, empty.Image, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		t.Errorf("with the lab's docker config: %v", err)
	}
}

func TestBaseImagesHaveThreePlatforms(t *testing.T) {
	for _, image := range []string{lab.Busybox, lab.Python} {
		wantPlatforms(t, l.Registry.Image(image))
	}
}

// wantPlatforms checks the image for the lab's three platforms.
func wantPlatforms(t *testing.T, image string) {
	t.Helper()
	ref, err := name.ParseReference(image)
	if err != nil {
		t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		t.Fatalf("%s: %v", image, err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatalf("%s: %v", image, err)
	}
	var got []string
	for _, m := range manifest.Manifests {
		if p := m.Platform.String(); p != "unknown/unknown" { // attestations
			got = append(got, p)
		}
	}
	slices.Sort(got)
	if want := []string{"linux/amd64", "linux/arm/v7", "linux/arm64"}; !slices.Equal(got, want) {
		t.Errorf("%s has the platforms %v, want %v", image, got, want)
	}
}

func repository(t *testing.T, r *lab.Registry, path string) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(r.Image(path))
	if err != nil {
		t.Fatal(err)
	}
	return repo
}
