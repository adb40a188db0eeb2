package install

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// world is a registry that can be made to lie, and a machine that installs plugins from it.
type world struct {
	t      *testing.T
	server *httptest.Server
	lies   map[string][]byte // what is answered to GET of a path that ends so
	asked  atomic.Int32      // requests
	here   Installer
	starts []string // files that were started
	told   []string
}

const machine = "linux/amd64"

func newWorld(t *testing.T) *world {
	t.Helper()
	for _, v := range []string{"HOME", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(v, t.TempDir())
	}
	w := &world{t: t, lies: map[string][]byte{}}
	honest := ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)))
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		for end, lie := range w.lies {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, end) {
				rw.Header().Set("Content-Type", string(types.OCIImageIndex))
				_, _ = rw.Write(lie)
				return
			}
		}
		honest.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.server.Close)
	w.here = Installer{
		Origin: Registries{}, Cache: Cache{Dir: t.TempDir()}, Platform: machine,
		Describe: w.describe, Tell: func(s string) { w.told = append(w.told, s) },
	}
	return w
}

// describe reads what a program says of itself from its file: "#!NAME VERSION TYPE...".
func (w *world) describe(_ context.Context, _, path, sum string) (Description, error) {
	w.starts = append(w.starts, path)
	b, err := os.ReadFile(path)
	if err != nil {
		return Description{}, err
	}
	if "sha256:"+sum != digestOf(b) {
		w.t.Errorf("%s is to be started and is not what was verified", path)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	words := strings.Fields(strings.TrimPrefix(line, "#!"))
	return Description{Name: words[0], Version: words[1], Types: words[2:]}, nil
}

func (w *world) host() string { return strings.TrimPrefix(w.server.URL, "http://") }

func (w *world) source(rest string) string { return Scheme + w.host() + "/davit/telegram" + rest }

func (w *world) repo() name.Repository {
	r, err := name.NewRepository(w.host()+"/davit/telegram", name.Insecure)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// program is an executable of the plugin "telegram".
func program(version string) string { return "#!telegram " + version + " application.telegram\n" }

// push publishes a version for platforms, and returns its digest.
func (w *world) push(tag string, programs map[string]string) string {
	w.t.Helper()
	p := Publication{To: w.source(":" + tag), Executables: map[string]string{}, Force: true, Platform: machine, Describe: w.describe}
	for platform, text := range programs {
		p.Executables[platform] = filepath.Join(w.t.TempDir(), "x")
		if err := os.WriteFile(p.Executables[platform], []byte(text), 0o700); err != nil {
			w.t.Fatal(err)
		}
	}
	done, err := Push(w.t.Context(), p)
	if err != nil {
		w.t.Fatal(err)
	}
	w.starts = nil
	return done.Digest
}

// both is a version for this machine and another.
func both(version string) map[string]string {
	return map[string]string{machine: program(version), "linux/arm64": program(version) + "# arm64\n"}
}

func (w *world) require(rest, constraint string) Requirement {
	return Requirement{Name: "telegram", Source: w.source(rest), Constraint: constraint}
}

func (w *world) install(r Requirement, was *Locked) Locked {
	w.t.Helper()
	l, err := w.here.Install(w.t.Context(), r, was)
	if err != nil {
		w.t.Fatal(err)
	}
	return l
}

// refused installs what must be refused with this reason, and sees that nothing of it was started, or kept.
func (w *world) refused(r Requirement, was *Locked, reason string) {
	w.t.Helper()
	before := w.cached()
	w.starts = nil
	_, err := w.here.Install(w.t.Context(), r, was)
	if err == nil || !strings.Contains(err.Error(), reason) {
		w.t.Errorf("it should be refused with %q: %v", reason, err)
	}
	if len(w.starts) > 0 {
		w.t.Errorf("%s was started", w.starts)
	}
	if after := w.cached(); !maps.Equal(before, after) {
		w.t.Errorf("the cache has changed:\n%v\n%v", before, after)
	}
}

// cached is what is in the cache, names and contents.
func (w *world) cached() map[string]string {
	w.t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(filepath.Join(w.here.Cache.Dir, "plugins", "sha256"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && d.IsDir() {
			return nil
		}
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		found[path] = string(b)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// made is an artifact that davit plugin push would not make.
type made struct {
	annotations map[string]string
	title       string
	platforms   []string
	program     string
	config      types.MediaType
	layers      int
}

func (w *world) pushMade(tag string, m made) {
	w.t.Helper()
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for n, platform := range m.platforms {
		at, err := v1.ParsePlatform(platform)
		w.check(err)
		img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
		img = mutate.ConfigMediaType(img, m.config)
		for range m.layers {
			layer := static.NewLayer([]byte(m.program+strings.Repeat("#", n)), ExecutableType)
			img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: ExecutableType, Annotations: map[string]string{annotationTitle: m.title}})
			w.check(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: at}})
	}
	w.check(remote.WriteIndex(w.repo().Tag(tag), mutate.Annotations(index, m.annotations).(v1.ImageIndex)))
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// keyPair is a key that signs as the specification of cosign says, written out here.
type keyPair struct {
	private crypto.Signer
	pem     string
}

func newKey(t *testing.T, kind string) keyPair {
	t.Helper()
	var private crypto.Signer
	var err error
	switch kind {
	case "ecdsa":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return keyPair{private, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))}
}

func (k keyPair) key(t *testing.T) *Key {
	t.Helper()
	key, err := ParseKey(k.pem)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func payloadOf(digest, kind string) []byte {
	b, _ := json.Marshal(map[string]any{"critical": map[string]any{
		"identity": map[string]string{"docker-reference": "registry.example.com/davit/telegram"},
		"image":    map[string]string{"docker-manifest-digest": digest},
		"type":     kind,
	}, "optional": nil})
	return b
}

func (k keyPair) sign(t *testing.T, payload []byte) []byte {
	t.Helper()
	message, hash := payload, crypto.Hash(0)
	if _, pure := k.private.(ed25519.PrivateKey); !pure {
		sum := sha256.Sum256(payload)
		message, hash = sum[:], crypto.SHA256
	}
	signature, err := k.private.Sign(rand.Reader, message, hash)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// pushSignatures puts signatures where cosign puts those of a digest.
func (w *world) pushSignatures(digest string, all ...Signature) {
	w.t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for _, s := range all {
		var err error
		img, err = mutate.Append(img, mutate.Addendum{
			Layer: static.NewLayer(s.Payload, signatureType), MediaType: signatureType,
			Annotations: map[string]string{annotationSignature: base64.StdEncoding.EncodeToString(s.Signature)},
		})
		w.check(err)
	}
	w.check(remote.Write(w.repo().Tag(strings.Replace(digest, ":", "-", 1)+".sig"), img))
}

// sign signs a digest and pushes the signature.
func (w *world) sign(k keyPair, digest string) {
	w.t.Helper()
	payload := payloadOf(digest, simpleSigning)
	w.pushSignatures(digest, Signature{payload, k.sign(w.t, payload)})
}

func contains(list []string, part string) bool {
	return bytes.Contains([]byte(strings.Join(list, "\n")), []byte(part))
}
