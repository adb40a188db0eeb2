package buildx

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/registry/embedded"
	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// world is a registry, a source and what state remembers: enough to plan a build.
type world struct {
	t      *testing.T
	host   string // of the registry
	repo   name.Repository
	config Config
	prior  *sdk.Record[Config, Outputs]
	call   sdk.TestCall
}

func newWorld(t *testing.T, files map[string]string) *world {
	t.Helper()
	for _, v := range []string{"HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(v, t.TempDir())
	}
	t.Setenv("BUILDKIT_HOST", "")
	handler, err := embedded.Handler(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	w := &world{t: t, host: strings.TrimPrefix(server.URL, "http://")}
	w.call.Host.StackDir = t.TempDir()
	if w.repo, err = registry.Repository(w.host+"/team/app", false); err != nil {
		t.Fatal(err)
	}
	w.config = Config{
		Source:  sdk.SourceRef{Address: "source.git.repo", Revision: "c1", Time: "2026-01-01T00:00:00Z", Tree: sdk.Tree{Path: t.TempDir()}},
		Context: ".", Dockerfile: "Dockerfile", Repository: w.host + "/team/app", Tag: "1.0.1",
		Platforms: []string{"linux/arm64", "linux/amd64"}, Timeout: sdk.Duration(time.Minute),
	}
	w.write(files)
	return w
}

// write changes files of the source; an empty text deletes.
func (w *world) write(files map[string]string) {
	w.t.Helper()
	for path, text := range files {
		full := filepath.Join(w.config.Source.Tree.Path, path)
		if text == "" {
			if err := os.Remove(full); err != nil {
				w.t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(strings.ReplaceAll(text, "REGISTRY", w.host)), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

// push puts a new image into the registry and returns its digest.
func (w *world) push(image string) string {
	w.t.Helper()
	index, err := random.Index(64, 1, 2)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.pushIndex(image, index)
}

func (w *world) pushIndex(image string, index v1.ImageIndex) string {
	w.t.Helper()
	ref, err := name.ParseReference(w.host + "/" + image)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		w.t.Fatal(err)
	}
	digest, err := index.Digest()
	if err != nil {
		w.t.Fatal(err)
	}
	return digest.String()
}

func (w *world) ctx() context.Context { return w.call.Context(w.t.Context()) }

func (w *world) tryPlan() (planResult, error) {
	return builder{}.Plan(w.ctx(), planRequest{Address: "build.buildx.app", Config: w.config, Prior: w.prior})
}

func (w *world) plan() planResult {
	w.t.Helper()
	p, err := w.tryPlan()
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// built does what an apply leaves behind: images in the registry, found by their key, and a record.
func (w *world) built() Outputs {
	w.t.Helper()
	p := w.plan()
	if p.Action != sdk.ActionBuild {
		w.t.Fatalf("the plan is to %s", p.Action)
	}
	index, err := random.Index(64, 1, 2)
	if err != nil {
		w.t.Fatal(err)
	}
	index, err = registry.Annotate(mutate.IndexMediaType(index, "application/vnd.oci.image.index.v1+json"),
		registry.Label{Key: p.Outputs.Key, Tag: p.Outputs.Tag, Revision: p.Outputs.Revision})
	if err != nil {
		w.t.Fatal(err)
	}
	p.Outputs.Digest = sdk.Known(w.pushIndex("team/app:"+w.config.Tag, index))
	if err := registry.Tag(w.t.Context(), w.repo, p.Outputs.Digest.OrZero(), registry.KeyTag(p.Outputs.Key)); err != nil {
		w.t.Fatal(err)
	}
	private := strings.TrimSuffix(string(p.Private), "}") + `,"finished":true}`
	w.prior = &sdk.Record[Config, Outputs]{Config: w.config, Outputs: p.Outputs, Private: []byte(private)}
	return p.Outputs
}
