package registry

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/registry/embedded"
	"github.com/davit-sh/davit/sdk"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

func serve(t *testing.T, h http.Handler) (repository string) {
	t.Helper()
	for _, v := range []string{"HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(v, t.TempDir())
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/team/app"
}

func realRegistry(t *testing.T) http.Handler {
	t.Helper()
	h, err := embedded.Handler(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func push(t *testing.T, repository string, l oci.Label, platforms ...string) (digest string) {
	t.Helper()
	repo, err := oci.Repository(repository, false)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range platforms {
		img, err := random.Image(32, 1)
		if err != nil {
			t.Fatal(err)
		}
		platform, err := v1.ParsePlatform(p)
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: platform}})
	}
	labelled, err := oci.Annotate(index, l)
	if err != nil {
		t.Fatal(err)
	}
	if digest, err = oci.Push(t.Context(), repo, l.Tag, labelled); err != nil {
		t.Fatal(err)
	}
	if err := oci.Tag(t.Context(), repo, digest, oci.KeyTag(l.Key)); err != nil {
		t.Fatal(err)
	}
	return digest
}

func TestAnImageShowsItsTagsAndHidesDavitsOwn(t *testing.T) {
	repository := serve(t, realRegistry(t))
	key := "sha256:" + strings.Repeat("a", 64)
	for _, tag := range []string{"1.0.10", "1.0.9"} {
		push(t, repository, oci.Label{Key: key, Tag: tag}, "linux/amd64")
	}
	out, err := (&image{}).Observe(t.Context(), sdk.ObserveRequest[imageConfig, imageOutputs]{Config: imageConfig{Repository: repository}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Repository != repository || !slices.Equal(out.Tags, []string{"1.0.10", "1.0.9"}) {
		t.Errorf("%+v", out)
	}
}

func TestARepositoryThatIsNotThereYetHasNoTags(t *testing.T) {
	repository := serve(t, realRegistry(t))
	out, err := (&image{}).Observe(t.Context(), sdk.ObserveRequest[imageConfig, imageOutputs]{Config: imageConfig{Repository: repository}})
	if err != nil || out.Tags == nil || len(out.Tags) != 0 {
		t.Errorf("%#v, %v", out, err)
	}
}

func TestARegistryThatFailsIsNotAnEmptyOne(t *testing.T) {
	for _, status := range []int{401, 403, 400, 500} {
		repository := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				w.WriteHeader(status)
			}
		}))
		out, err := (&image{}).Observe(t.Context(), sdk.ObserveRequest[imageConfig, imageOutputs]{Config: imageConfig{Repository: repository}})
		var e *sdk.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), repository) {
			t.Errorf("%d: %+v, %v", status, out, err)
		}
	}
}

func TestResolveLooksAtOneTag(t *testing.T) {
	repository := serve(t, realRegistry(t))
	made := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	digest := push(t, repository, oci.Label{Key: "sha256:" + strings.Repeat("a", 64), Tag: "1.0.0", Created: made}, "linux/arm64", "linux/amd64")
	got, err := (&image{}).Resolve(t.Context(), sdk.ResolveRequest[imageConfig]{Config: imageConfig{Repository: repository}, Tag: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Digest != digest || !slices.Equal(got.Platforms, []string{"linux/amd64", "linux/arm64"}) || !got.Created.Equal(made) {
		t.Errorf("%+v", got)
	}
	if _, err := (&image{}).Resolve(t.Context(), sdk.ResolveRequest[imageConfig]{Config: imageConfig{Repository: repository}, Tag: "2.0.0"}); !oci.IsNotFound(err) {
		t.Errorf("a tag that is not there: %v", err)
	}
	if _, err := (&image{}).Resolve(t.Context(), sdk.ResolveRequest[imageConfig]{Config: imageConfig{Repository: repository}, Tag: "../secret"}); err == nil {
		t.Error("a tag that is none is accepted")
	}
}

func TestAWrongRepositoryIsSaidAtItsAttribute(t *testing.T) {
	err := (&image{}).Validate(t.Context(), imageConfig{Repository: "registry.example.com/App"})
	var e *sdk.Error
	if !errors.As(err, &e) || e.Path.String() != "repository" {
		t.Errorf("%#v", err)
	}
}

func TestThePluginHasAWholeSchema(t *testing.T) {
	if Plugin("1.0.0") == nil {
		t.Error("no plugin")
	}
}
