package oci

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// What a tag holds is found out from its manifest.
func TestWhatATagHolds(t *testing.T) {
	noCredentials(t)
	repo := serve(t, realRegistry())
	plain, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	layered := func(media types.MediaType) v1.Image {
		img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: static.NewLayer([]byte("x"), media)})
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	images := map[string]v1.Image{
		"":                                 plain,
		"Helm chart":                       mutate.ConfigMediaType(mutate.MediaType(plain, types.OCIManifestSchema1), "application/vnd.cncf.helm.config.v1+json"),
		"signature":                        layered("application/vnd.dev.cosign.simplesigning.v1+json"),
		"attestation":                      layered("application/vnd.in-toto+json"),
		"artifact of type application/x+y": mutate.ConfigMediaType(mutate.MediaType(plain, types.OCIManifestSchema1), "application/x+y"),
	}
	for want, img := range images {
		if err := remote.Write(repo.Tag("t"), img); err != nil {
			t.Fatal(err)
		}
		wantHeld(t, repo.Tag("t"), want)
	}
	for want, index := range map[string]v1.ImageIndex{
		"": multiPlatform(t, "linux/arm64"), "an index of attestations": multiPlatform(t), "an empty index": mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
	} {
		if err := remote.WriteIndex(repo.Tag("t"), index); err != nil {
			t.Fatal(err)
		}
		wantHeld(t, repo.Tag("t"), want)
	}
}

func TestTagsOfWhatBelongsToAnImage(t *testing.T) {
	hex := strings.Repeat("0a", 32)
	for tag, want := range map[string]bool{
		"sha256-" + hex: true, "sha256-" + hex + ".sig": true, "1.0.0.sbom": true, "x.att": true,
		"1.0.0": false, "sha256-main": false, "sig": false, "1.0.0-sig": false, "sha256-" + hex + "0": false,
	} {
		if IsAttached(tag) != want {
			t.Errorf("%s: %t", tag, !want)
		}
	}
}

// A digest costs one HEAD, and a GET only from a registry that does not answer it.
func TestADigestIsFoundByTheSmallestRequest(t *testing.T) {
	noCredentials(t)
	const digest = "sha256:0123456789012345678901234567890123456789012345678901234567890123"
	for name, answersHead := range map[string]bool{"HEAD": true, "HEAD GET": false} {
		var asked []string
		repo := serve(t, answering(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Method)
			if r.Method == http.MethodHead && !answersHead {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			w.Header().Set("Content-Type", "text/plain") // which nobody reads
			if r.Method == http.MethodHead {
				w.Header().Set("Docker-Content-Digest", digest)
				w.Header().Set("Content-Length", "12")
				return
			}
			_, _ = w.Write([]byte("a manifest.."))
		}))
		got, err := DigestOf(t.Context(), repo, "1.0.0")
		if err != nil || !strings.HasPrefix(got, "sha256:") || (answersHead && got != digest) {
			t.Errorf("%q, %v", got, err)
		}
		if strings.Join(asked, " ") != name {
			t.Errorf("asked %v, want %s", asked, name)
		}
	}
}

// However many tags are looked at together, a host is asked ten things at a time.
func TestAHostIsNotFlooded(t *testing.T) {
	noCredentials(t)
	var now, most atomic.Int32
	repo := serve(t, answering(func(w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
		page(w, []string{"1.0.0"}, "")
	}))
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := Tags(t.Context(), repo); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if most.Load() > openAtOnce || most.Load() < 2 {
		t.Errorf("%d requests at once", most.Load())
	}
}

func wantHeld(t *testing.T, ref interface{ Name() string }, want string) {
	t.Helper()
	name, tag, _ := strings.Cut(ref.Name(), "/team/app:")
	repo := mustRepository(t, name+"/team/app")
	desc, err := Get(t.Context(), repo, tag)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Artifact(desc); err != nil || got != want {
		t.Errorf("it holds %q, %v; want %q", got, err, want)
	}
}
