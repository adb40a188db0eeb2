package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// start serves dir and returns the address and what ends the registry.
func start(t *testing.T, dir string) (addr string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	addr, wait, err := Serve(ctx, "127.0.0.1:0", dir)
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := wait(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return addr, stop
}

func repository(t *testing.T, addr, path string) name.Repository {
	t.Helper()
	repo, err := name.NewRepository(addr + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return repo
}

func index(t *testing.T) v1.ImageIndex {
	t.Helper()
	i, err := random.Index(256, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestARestartLosesNothing(t *testing.T) {
	dir := t.TempDir()
	addr, stop := start(t, dir)
	pushed := index(t)
	want, _ := pushed.Digest()
	for _, tag := range []string{"1.0.0", "Latest", "latest"} {
		if err := remote.WriteIndex(repository(t, addr, "team/app").Tag(tag), pushed); err != nil {
			t.Fatal(err)
		}
	}
	stop()

	addr, _ = start(t, dir)
	repo := repository(t, addr, "team/app")
	tags, err := remote.List(repo)
	if err != nil || !slices.Equal(tags, []string{"1.0.0", "Latest", "latest"}) {
		t.Errorf("tags %v, %v", tags, err)
	}
	for _, ref := range []name.Reference{repo.Tag("Latest"), repo.Digest(want.String())} {
		pulled, err := remote.Index(ref)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := pulled.Digest(); got != want {
			t.Errorf("%s is %s, want %s", ref, got, want)
		}
		if err := validate.Index(pulled); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestLongTagListsAreCompleteWithTheLinkHeader(t *testing.T) {
	dir := t.TempDir()
	addr, _ := start(t, dir)
	repo := repository(t, addr, "app")
	if err := remote.WriteIndex(repo.Tag("first"), index(t)); err != nil {
		t.Fatal(err)
	}
	desc, err := remote.Get(repo.Tag("first"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"first"}
	for i := range 250 {
		tag := fmt.Sprintf("1.0.%d", i)
		// Written as the registry writes them: a push of each would take long.
		if err := writeFile(filepath.Join(dir, "repositories", "app", "_tags", tag), []byte(desc.Digest.String())); err != nil {
			t.Fatal(err)
		}
		want = append(want, tag)
	}
	slices.Sort(want)
	for _, size := range []int{0, 1, 7, 250, 251, 1000} {
		got, err := remote.List(repo, remote.WithPageSize(size))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %d tags, %v", size, len(got), err)
		}
	}
}

func TestDeletedTagsAndImagesAreGone(t *testing.T) {
	addr, _ := start(t, t.TempDir())
	repo := repository(t, addr, "app")
	one, other := index(t), index(t)
	for tag, i := range map[string]v1.ImageIndex{"a": one, "b": one, "c": one, "d": other} {
		if err := remote.WriteIndex(repo.Tag(tag), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := remote.Delete(repo.Tag("a")); err != nil {
		t.Fatal(err)
	}
	if tags, err := remote.List(repo); err != nil || !slices.Equal(tags, []string{"b", "c", "d"}) {
		t.Errorf("a tag deleted: %v, %v", tags, err)
	}
	digest, _ := one.Digest()
	if err := remote.Delete(repo.Digest(digest.String())); err != nil {
		t.Fatal(err)
	}
	if tags, err := remote.List(repo); err != nil || !slices.Equal(tags, []string{"d"}) {
		t.Errorf("an image deleted: %v, %v", tags, err)
	}
	if _, err := remote.Get(repo.Digest(digest.String())); err == nil {
		t.Error("the deleted image is still there")
	}
	if err := remote.Delete(repo.Tag("a")); err == nil {
		t.Error("a tag that is not there is deleted")
	}
}

func TestTheCatalogListsRepositories(t *testing.T) {
	addr, _ := start(t, t.TempDir())
	for _, r := range []string{"team/app", "team/app/cache", "alone"} {
		if err := remote.WriteIndex(repository(t, addr, r).Tag("1"), index(t)); err != nil {
			t.Fatal(err)
		}
	}
	reg, err := name.NewRegistry(addr)
	if err != nil {
		t.Fatal(err)
	}
	got, err := remote.Catalog(t.Context(), reg)
	if err != nil || !slices.Equal(got, []string{"alone", "team/app", "team/app/cache"}) {
		t.Errorf("%v, %v", got, err)
	}
}

// send sends one request to a fresh registry's handler and returns the answer's status and body.
func send(t *testing.T, h http.Handler, method, target, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1/", bytes.NewBufferString(body))
	r.URL.Path, r.URL.RawQuery, _ = strings.Cut(target, "?")
	r.Header.Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer, _ := io.ReadAll(w.Result().Body)
	return w.Code, string(answer)
}

func TestRequestsThatTryToLeaveTheFolderOrToBreakIt(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "secret")
	if err := os.WriteFile(outside, []byte("text\nsecret"), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := Handler(filepath.Join(dir, "registry"))
	if err != nil {
		t.Fatal(err)
	}
	zeros := strings.Repeat("0", 64)
	tests := map[string]struct {
		method, path, body string
		status             int
	}{
		"repository above the folder":    {"PUT", "/v2/../../x/manifests/1", "{}", 400},
		"repository in the tags' folder": {"PUT", "/v2/app/_tags/manifests/1", "{}", 400},
		"tag above the folder":           {"GET", "/v2/app/manifests/..", "", 400},
		"tag with a path":                {"GET", "/v2/app/manifests/a/../../../secret", "", 400},
		"digest with a path":             {"GET", "/v2/app/manifests/sha256:../../../secret", "", 400},
		"blob with a path":               {"GET", "/v2/app/blobs/sha256:../../secret", "", 404},
		"upload above the folder":        {"POST", "/v2/../blobs/uploads/", "", 400},
		"name too long":                  {"GET", "/v2/" + strings.Repeat("a", 256) + "/tags/list", "", 400},
		"no JSON":                        {"PUT", "/v2/app/manifests/1", "{", 400},
		"manifest of another digest":     {"PUT", "/v2/app/manifests/sha256:" + zeros, "{}", 400},
		"manifest too large":             {"PUT", "/v2/app/manifests/1", `{"a":"` + strings.Repeat("a", maxManifest) + `"}`, 400},
		"missing layer":                  {"PUT", "/v2/app/manifests/1", `{"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:` + zeros + `"}]}`, 404},
		"layer without a digest":         {"PUT", "/v2/app/manifests/1", `{"layers":[{"mediaType":"x"}]}`, 400},
		"missing image":                  {"PUT", "/v2/app/manifests/1", `{"manifests":[{"digest":"sha256:` + zeros + `"}]}`, 404},
		"media type of two lines":        {"PUT", "/v2/app/manifests/1", `{"mediaType":"a\nb"}`, 400},
		"unknown repository":             {"GET", "/v2/app/tags/list", "", 404},
		"n that is no number":            {"GET", "/v2/_catalog?n=many", "", 400},
		"other method":                   {"PATCH", "/v2/app/manifests/1", "", 405},
		"other path":                     {"GET", "/v2/app/referrers/x", "", 404},
	}
	for what, tt := range tests {
		t.Run(what, func(t *testing.T) {
			status, body := send(t, h, tt.method, tt.path, tt.body)
			if status != tt.status {
				t.Errorf("answered %d, want %d: %s", status, tt.status, body)
			}
			var answer struct {
				Errors []struct{ Code, Message string } `json:"errors"`
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Errors) != 1 || answer.Errors[0].Code == "" {
				t.Errorf("the answer is no registry error: %s", body)
			}
			if strings.Contains(body, "secret\n") {
				t.Error("a file outside of the folder is shown")
			}
		})
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("written beside the folder: %v, %v", entries, err)
	}
}

func TestItListensOnThisMachineOnlyUnlessAsked(t *testing.T) {
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "127.0.0.1"} {
		if actual, _, err := Serve(t.Context(), addr, t.TempDir()); err == nil {
			t.Errorf("%s: it listens on %s", addr, actual)
		}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	_, wait, err := Serve(ctx, "0.0.0.0:0", t.TempDir(), AllowRemote())
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	if err := wait(); err != nil {
		t.Error(err)
	}
}

func TestAPageThatMakesItsNamePointHereIsRefused(t *testing.T) {
	addr, _ := start(t, t.TempDir())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/v2/_catalog", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "rebound.example.com"
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("answered %d", response.StatusCode)
	}
}

func TestATakenPortIsAnError(t *testing.T) {
	addr, _ := start(t, t.TempDir())
	if _, _, err := Serve(t.Context(), addr, t.TempDir()); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("%v", err)
	}
}

func TestWhatDeadUploadsLeftIsSwept(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "blobs", "upload-1")
	if err := writeFile(left, []byte("half")); err != nil {
		t.Fatal(err)
	}
	if _, err := Handler(dir); err != nil {
		t.Fatal(err)
	}
	if exists(left) {
		t.Error("it is still there")
	}
}

func TestADamagedManifestIsNotServed(t *testing.T) {
	dir := t.TempDir()
	addr, _ := start(t, dir)
	repo := repository(t, addr, "app")
	i := index(t)
	if err := remote.WriteIndex(repo.Tag("1"), i); err != nil {
		t.Fatal(err)
	}
	digest, _ := i.Digest()
	path := filepath.Join(dir, "repositories", "app", "_manifests", digest.Hex)
	if err := os.WriteFile(path, []byte("application/json\n{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	noRetries := remote.WithRetryStatusCodes()
	if _, err := remote.Get(repo.Tag("1"), noRetries); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("%v", err)
	}
}

func TestConcurrentPushesAreAllKept(t *testing.T) {
	addr, _ := start(t, t.TempDir())
	repo := repository(t, addr, "app")
	shared := index(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := remote.WriteIndex(repo.Tag(fmt.Sprintf("t%d", i)), shared); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if tags, err := remote.List(repo); err != nil || len(tags) != 20 {
		t.Errorf("%d tags, %v", len(tags), err)
	}
}
