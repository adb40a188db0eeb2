package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// shelf is a registry with an artifact's repository, and a cache.
type shelf struct {
	*world
	cache string
}

func newShelf(t *testing.T) *shelf {
	return &shelf{newWorld(t, nil), t.TempDir()}
}

func (s *shelf) observe(c ArtifactConfig, pinned *ArtifactOutputs) (ArtifactOutputs, error) {
	c.Repository, c.Timeout = s.config.Repository, sdk.Duration(time.Minute)
	call := sdk.TestCall{Host: sdk.Host{CacheDir: s.cache}}
	return (&artifact{}).Observe(call.Context(context.Background()), sdk.ObserveRequest[ArtifactConfig, ArtifactOutputs]{Config: c, Pinned: pinned})
}

func (s *shelf) push(tag string, files map[string]string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	digest, err := PushFolder(context.Background(), s.config.Repository+":"+tag, Folder{Dir: dir, Leave: []string{".git"}, Annotations: map[string]string{"org.opencontainers.image.revision": "abc"}}, false, false)
	if err != nil {
		s.t.Fatal(err)
	}
	return digest
}

func read1(t *testing.T, from sdk.Tree, name string) string {
	t.Helper()
	tr, err := tree.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	b, err := tr.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What was pushed is what is read, by tag, range, digest, and pinned.
func TestArtifact(t *testing.T) {
	s := newShelf(t)
	one := s.push("1.0.0", map[string]string{"main.hcl": "one", "deep/er/x": "x", ".git/config": "secret"})
	two := s.push("1.2.0", map[string]string{"main.hcl": "two"})
	s.push("2.0.0-rc.1", map[string]string{"main.hcl": "three"})
	if again := s.push("1.0.0", map[string]string{"main.hcl": "one", "deep/er/x": "x"}); again != one {
		t.Errorf("the same files give %s and %s", one, again)
	}
	for name, c := range map[string]struct {
		config ArtifactConfig
		pinned *ArtifactOutputs
		digest string
	}{
		"tag":    {ArtifactConfig{Tag: "1.0.0"}, nil, one},
		"semver": {ArtifactConfig{Semver: ">=1"}, nil, two},
		"digest": {ArtifactConfig{Digest: one}, nil, one},
		"pinned": {ArtifactConfig{Semver: ">=1"}, &ArtifactOutputs{Digest: one}, one},
	} {
		o, err := s.observe(c.config, c.pinned)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if o.Digest != c.digest || o.Revision != c.digest || o.Ref != s.config.Repository+"@"+c.digest || o.Annotations["org.opencontainers.image.revision"] != "abc" {
			t.Errorf("%s: %+v", name, o)
		}
		want := "one"
		if c.digest == two {
			want = "two"
		}
		if got := read1(t, o.Tree, "main.hcl"); got != want {
			t.Errorf("%s: %q", name, got)
		}
		if _, err := os.Stat(filepath.Join(o.Tree.Path, ".git")); err == nil {
			t.Errorf("%s: a folder that was to stay behind was pushed", name)
		}
	}
	o, err := s.observe(ArtifactConfig{Tag: "1.0.0", Path: "deep"}, nil)
	if err != nil || read1(t, o.Tree, "er/x") != "x" {
		t.Errorf("%+v %v", o, err)
	}
	_, err = s.observe(ArtifactConfig{Tag: "1.0.0", Path: "../x"}, nil)
	wantText(t, err, "leads out of the source")
	_, err = s.observe(ArtifactConfig{Semver: ">=3"}, nil)
	wantText(t, err, "none of its 3 tags is in the range >=3")
	_, err = s.observe(ArtifactConfig{Tag: "1.0.0", Digest: one}, nil)
	wantText(t, err, "set one of them")
	_, err = s.observe(ArtifactConfig{Digest: "sha256:12"}, nil)
	wantText(t, err, "is not a digest")
	_, err = s.observe(ArtifactConfig{Tag: "none"}, nil)
	wantText(t, err, "none")
}

// A tag is moved only by who says so.
func TestArtifactTagStays(t *testing.T) {
	s := newShelf(t)
	one := s.push("1.0.0", map[string]string{"a": "1"})
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "a"), []byte("2"), 0o600); err != nil {
		t.Fatal(err)
	}
	ref := s.config.Repository + ":1.0.0"
	_, err := PushFolder(context.Background(), ref, Folder{Dir: other}, false, false)
	wantText(t, err, "already exists with other content")
	if o, err := s.observe(ArtifactConfig{Tag: "1.0.0"}, nil); err != nil || o.Digest != one {
		t.Errorf("%+v %v", o, err)
	}
	two, err := PushFolder(context.Background(), ref, Folder{Dir: other}, false, true)
	if o, _ := s.observe(ArtifactConfig{Tag: "1.0.0"}, nil); err != nil || o.Digest != two || two == one {
		t.Errorf("%+v %v", o, err)
	}
}

// Files that are in the cache are not fetched again.
func TestArtifactIsFetchedOnce(t *testing.T) {
	s := newShelf(t)
	s.push("1.0.0", map[string]string{"a": "1"})
	blobs := 0
	s.setBefore(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			blobs++
		}
		return false
	})
	for range 3 {
		if _, err := s.observe(ArtifactConfig{Tag: "1.0.0"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if blobs == 0 || blobs > 4 { // the layer once, and the configuration that tells the time
		t.Errorf("%d blobs were asked for", blobs)
	}
}

type file struct {
	tar.Header
	text string
}

func archive(t *testing.T, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := f.Header
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		h.Size, h.Mode = int64(len(f.text)), 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if w.Close() != nil || z.Close() != nil {
		t.Fatal("the archive cannot be written")
	}
	return b.Bytes()
}

// pushLayers pushes an artifact as other tools make them.
func (s *shelf) pushLayers(tag string, layers map[types.MediaType][]byte) {
	s.t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	var err error
	for mediaType, b := range layers {
		if img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(b, mediaType), MediaType: mediaType}); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := remote.Write(s.repo.Tag(tag), img); err != nil {
		s.t.Fatal(err)
	}
}

func TestArtifactsOfOthers(t *testing.T) {
	s := newShelf(t)
	files := archive(t, file{tar.Header{Name: "./", Typeflag: tar.TypeDir}, ""}, file{tar.Header{Name: "./a/b"}, "text"}, file{tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "a/b"}, ""})
	s.pushLayers("flux", map[types.MediaType][]byte{"application/vnd.cncf.flux.content.v1.tar+gzip": files})
	s.pushLayers("helm", map[types.MediaType][]byte{"application/vnd.cncf.helm.chart.content.v1.tar+gzip": files, "application/vnd.cncf.helm.chart.provenance.v1.prov": []byte("signed")})
	s.pushLayers("two", map[types.MediaType][]byte{"application/x.one.tar+gzip": files, "application/x.two.tar+gzip": archive(t, file{tar.Header{Name: "c"}, "2"})})
	s.pushLayers("none", map[types.MediaType][]byte{"application/wasm": []byte("\x00asm")})
	for _, tag := range []string{"flux", "helm"} {
		o, err := s.observe(ArtifactConfig{Tag: tag}, nil)
		if err != nil || read1(t, o.Tree, "a/b") != "text" || read1(t, o.Tree, "l") != "text" {
			t.Errorf("%s: %+v %v", tag, o, err)
		}
	}
	_, err := s.observe(ArtifactConfig{Tag: "two"}, nil)
	wantText(t, err, "has 2 layers that may contain the files")
	if o, err := s.observe(ArtifactConfig{Tag: "two", MediaType: "application/x.two.tar+gzip"}, nil); err != nil || read1(t, o.Tree, "c") != "2" {
		t.Errorf("%+v %v", o, err)
	}
	_, err = s.observe(ArtifactConfig{Tag: "none"}, nil)
	wantText(t, err, "has 0 layers that may contain the files")
}

// An archive cannot put anything beside the folder that it is unpacked to, nor be other than it says.
func TestArchivesThatAttack(t *testing.T) {
	s := newShelf(t)
	for name, c := range map[string]struct {
		files []file
		want  string
	}{
		"above":     {[]file{{tar.Header{Name: "../evil"}, "x"}}, "leads out of the archive"},
		"above too": {[]file{{tar.Header{Name: "a/../../evil"}, "x"}}, "leads out of the archive"},
		"absolute":  {[]file{{tar.Header{Name: "/etc/evil"}, "x"}}, "leads out of the archive"},
		"link":      {[]file{{tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../../etc/passwd"}, ""}}, "leaves the source"},
		"through":   {[]file{{tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "."}, ""}, {tar.Header{Name: "l/x"}, "x"}}, "which is not a folder"},
		"hard link": {[]file{{tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "/etc/passwd"}, ""}}, "neither a file nor a link"},
		"device":    {[]file{{tar.Header{Name: "d", Typeflag: tar.TypeBlock}, ""}}, "neither a file nor a link"},
		"twice":     {[]file{{tar.Header{Name: "a"}, "1"}, {tar.Header{Name: "./a"}, "2"}}, "occurs twice"},
	} {
		tag := strings.ReplaceAll(name, " ", "-")
		s.pushLayers(tag, map[types.MediaType][]byte{"application/x.tar+gzip": archive(t, c.files...)})
		_, err := s.observe(ArtifactConfig{Tag: tag}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	found, err := filepath.Glob(filepath.Join(s.cache, "trees", "*"))
	if err != nil || len(found) > 0 {
		t.Errorf("the cache has %v, %v", found, err)
	}
}

// What a registry hands out under a digest must have it.
func TestArtifactThatWasChanged(t *testing.T) {
	s := newShelf(t)
	s.push("1.0.0", map[string]string{"a": "1"})
	evil := archive(t, file{tar.Header{Name: "a"}, "evil"})
	s.setBefore(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			_, _ = w.Write(evil)
			return true
		}
		return false
	})
	if o, err := s.observe(ArtifactConfig{Tag: "1.0.0"}, nil); err == nil {
		t.Errorf("it was taken: %+v", o)
	}
}

func wantText(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}
