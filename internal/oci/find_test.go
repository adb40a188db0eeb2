package oci

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

var (
	keyA = "sha256:" + strings.Repeat("a", 64)
	keyB = "sha256:" + strings.Repeat("b", 64)
)

// pushed pushes an index with a label under its tag and its key tag.
func pushed(t *testing.T, repo name.Repository, l Label, platforms ...string) (digest string) {
	t.Helper()
	index, err := Annotate(multiPlatform(t, platforms...), l)
	if err != nil {
		t.Fatal(err)
	}
	if digest, err = Push(t.Context(), repo, l.Tag, index); err != nil {
		t.Fatal(err)
	}
	if err := Tag(t.Context(), repo, digest, KeyTag(l.Key)); err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestFindFindsAPushedBuildByItsKey(t *testing.T) {
	noCredentials(t)
	repo := serve(t, realRegistry())
	if found, err := Find(t.Context(), repo, keyA); found != nil || err != nil {
		t.Errorf("in a repository that does not exist: %v, %v", found, err)
	}
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	digest := pushed(t, repo, Label{Key: keyA, Tag: "1.0.7", Revision: "c0ffee", Created: made}, "linux/arm64", "linux/arm/v7", "linux/amd64")

	found, err := Find(t.Context(), repo, keyA)
	if err != nil || found == nil {
		t.Fatal(found, err)
	}
	if found.Tag != "1.0.7" || found.Digest != digest || found.Revision != "c0ffee" || found.Key != keyA || !found.Created.Equal(made) {
		t.Errorf("%+v", found)
	}
	if want := []string{"linux/amd64", "linux/arm/v7", "linux/arm64"}; !slices.Equal(found.Platforms, want) {
		t.Errorf("platforms %v: attestations are left out and the rest is sorted", found.Platforms)
	}
	if found, err := Find(t.Context(), repo, keyB); found != nil || err != nil {
		t.Errorf("another key: %v, %v", found, err)
	}
}

func TestFindDoesNotTrustAKeyTagOnAnotherBuild(t *testing.T) {
	noCredentials(t)
	repo := serve(t, realRegistry())
	digest := pushed(t, repo, Label{Key: keyA, Tag: "1.0.0"}, "linux/amd64")
	if err := Tag(t.Context(), repo, digest, KeyTag(keyB)); err != nil {
		t.Fatal(err)
	}
	if found, err := Find(t.Context(), repo, keyB); found != nil || err != nil {
		t.Errorf("%v, %v", found, err)
	}
}

func TestFindSaysWhenTheRegistryFails(t *testing.T) {
	noCredentials(t)
	repo := serve(t, answering(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	found, err := Find(t.Context(), repo, keyA)
	if found != nil || err == nil || mustBeDiagnosed(t, err).Code != "registry.unauthorized" {
		t.Errorf("%v, %v: a failure is not an absence", found, err)
	}
}

func TestRelabelGivesTheSameImagesUnderAnotherTag(t *testing.T) {
	noCredentials(t)
	repo := serve(t, realRegistry())
	old := pushed(t, repo, Label{Key: keyA, Tag: "1.0.5", Revision: "a"}, "linux/amd64")
	l := Label{Key: keyA, Tag: "1.0.7", Revision: "b"}
	index, err := Relabel(t.Context(), repo, old, l)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Relabel(t.Context(), repo, old, l)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := index.Digest()
	b, _ := again.Digest()
	if a != b || a.String() == old {
		t.Errorf("digests %s and %s of %s: not reproducible or not another", a, b, old)
	}
	if _, err := Push(t.Context(), repo, "1.0.7", index); err != nil {
		t.Fatal(err)
	}
	found, err := Look(t.Context(), repo, "1.0.7")
	if err != nil || found == nil || found.Tag != "1.0.7" || found.Revision != "b" || !slices.Equal(found.Platforms, []string{"linux/amd64"}) {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestTagFreeRefusesATagThatHoldsSomethingElse(t *testing.T) {
	noCredentials(t)
	repo := serve(t, realRegistry())
	pushed(t, repo, Label{Key: keyA, Tag: "1.0.5"}, "linux/amd64")
	foreign, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("foreign"), foreign, Options(t.Context(), repo)...); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		tag, key string
		says     string
	}{
		{"1.0.6", keyA, ""},
		{"1.0.5", keyA, ""},
		{"1.0.5", keyB, "another build (key " + keyA},
		{"foreign", keyA, "did not build"},
	} {
		_, err := TagFree(t.Context(), repo, tt.tag, tt.key)
		if (err == nil) != (tt.says == "") || (err != nil && !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v, want %q", tt.tag, err, tt.says)
		}
	}
}

func TestPlatformsAndTimeOfASingleImage(t *testing.T) {
	noCredentials(t)
	repo := serve(t, realRegistry())
	img, err := random.Image(10, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(repo.Tag("one"), img, Options(t.Context(), repo)...); err != nil {
		t.Fatal(err)
	}
	desc, err := Get(t.Context(), repo, "one")
	if err != nil {
		t.Fatal(err)
	}
	// random.Image names no platform and no time.
	if p, err := Platforms(desc); err != nil || len(p) != 0 {
		t.Errorf("platforms %v, %v", p, err)
	}
	if c, err := Created(desc); err != nil || !c.IsZero() {
		t.Errorf("created %v, %v", c, err)
	}
}
