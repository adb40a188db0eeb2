package oci

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// noCredentials keeps the docker configuration of whoever runs the tests out of them.
func noCredentials(t *testing.T) (dockerConfig string) {
	t.Helper()
	for _, v := range []string{"HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(v, t.TempDir())
	}
	t.Setenv("REGISTRY_AUTH_FILE", "")
	dockerConfig = t.TempDir()
	t.Setenv("DOCKER_CONFIG", dockerConfig)
	return dockerConfig
}

// realRegistry is go-containerregistry's, in memory.
func realRegistry() http.Handler {
	return ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
}

// serve starts a registry and returns the repository team/app in it.
func serve(t *testing.T, h http.Handler) name.Repository {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	repo, err := Repository(strings.TrimPrefix(server.URL, "http://")+"/team/app", false)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

// answering answers /v2/ as a registry does and everything else with h.
func answering(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			h(w, r)
		}
	})
}

// multiPlatform makes an index with random images and, like BuildKit, an attestation.
func multiPlatform(t *testing.T, platforms ...string) v1.ImageIndex {
	t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range append(platforms, "unknown/unknown") {
		platform, err := v1.ParsePlatform(p)
		if err != nil {
			t.Fatal(err)
		}
		img, err := random.Image(64, 1)
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	return index
}
