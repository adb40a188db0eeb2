package oci

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/plugins/registry/embedded"
	"github.com/davit-sh/davit/sdk"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// world is a registry, a source and what state remembers: enough to plan and apply one build.
type world struct {
	t      *testing.T
	repo   name.Repository
	config Config
	prior  *sdk.Record[Config, Outputs]
	call   sdk.TestCall
	inner  http.Handler
	mu     sync.Mutex
	before func(w http.ResponseWriter, r *http.Request) bool
}

// intercept lets before see each request first, one at a time. It may answer, which it tells.
func (w *world) intercept(rw http.ResponseWriter, r *http.Request) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.before != nil && w.before(rw, r)
}

func (w *world) setBefore(f func(w http.ResponseWriter, r *http.Request) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.before = f
}

func newWorld(t *testing.T, files map[string]string) *world {
	t.Helper()
	for _, v := range []string{"HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(v, t.TempDir())
	}
	inner, err := embedded.Handler(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, inner: inner}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !w.intercept(rw, r) {
			w.inner.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(server.Close)
	repository := strings.TrimPrefix(server.URL, "http://") + "/team/app"
	if w.repo, err = registry.Repository(repository, false); err != nil {
		t.Fatal(err)
	}
	w.config = Config{
		Source:  sdk.SourceRef{Address: "source.git.repo", Revision: "c1", Time: "2026-01-01T00:00:00Z", Tree: sdk.Tree{Path: t.TempDir()}},
		Context: ".", Repository: repository, Tag: "1.0.1",
		Platforms: []string{"linux/arm64", "linux/amd64"},
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
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
}

// commit is a new revision of the source, of which the configuration makes a new tag.
func (w *world) commit(revision, time, tag string) {
	w.config.Source.Revision, w.config.Source.Time, w.config.Tag = revision, time, tag
}

func (w *world) ctx() context.Context { return w.call.Context(w.t.Context()) }

func (w *world) tryPlan() (planResult, error) {
	return builder{}.Plan(w.ctx(), planRequest{Address: "build.oci.app", Config: w.config, Prior: w.prior})
}

func (w *world) plan() planResult {
	w.t.Helper()
	p, err := w.tryPlan()
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) tryApply(p planResult) (result, error) {
	return builder{}.Apply(w.ctx(), applyRequest{
		Operation: "op", Address: "build.oci.app", Action: p.Action, Config: w.config, Prior: w.prior, Planned: p.Outputs, Private: p.Private,
	})
}

// apply plans and applies, and remembers the result.
func (w *world) apply() Outputs {
	w.t.Helper()
	p := w.plan()
	if p.Action == sdk.ActionNone {
		return p.Outputs
	}
	r, err := w.tryApply(p)
	if err != nil {
		w.t.Fatal(err)
	}
	w.prior = &sdk.Record[Config, Outputs]{Config: w.config, Outputs: r.Outputs, Private: r.Private}
	return r.Outputs
}

// index pulls what a tag or digest names.
func (w *world) index(reference string) v1.ImageIndex {
	w.t.Helper()
	i, err := remote.Index(registry.Reference(w.repo, reference))
	if err != nil {
		w.t.Fatal(err)
	}
	return i
}

func (w *world) digestOf(tag string) string {
	w.t.Helper()
	d, err := registry.Digest(w.t.Context(), w.repo.Tag(tag))
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}
