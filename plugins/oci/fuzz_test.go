package oci

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Whatever a layer holds: what is unpacked stays in its folder, and no link leads out of it.
func FuzzLayer(f *testing.F) {
	archive := func(list ...tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range list {
			if h.Typeflag == tar.TypeReg {
				h.Size = 1
			}
			if err := w.WriteHeader(&h); err != nil {
				f.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				if _, err := w.Write([]byte("x")); err != nil {
					f.Fatal(err)
				}
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}
	f.Add(archive(tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o644}, tar.Header{Name: "l", Linkname: "a", Typeflag: tar.TypeSymlink}))
	f.Add(archive(tar.Header{Name: "../a", Typeflag: tar.TypeReg, Mode: 0o644}))
	f.Add(archive(tar.Header{Name: "l", Linkname: "..", Typeflag: tar.TypeSymlink}, tar.Header{Name: "l/a", Typeflag: tar.TypeReg}))
	f.Add(archive(tar.Header{Name: "d/", Typeflag: tar.TypeDir}, tar.Header{Name: "h", Linkname: "d/../../x", Typeflag: tar.TypeLink}))
	cache := f.TempDir()
	f.Fuzz(func(t *testing.T, layer []byte) {
		out, err := unpack(t.Context(), static.NewLayer(layer, types.OCIUncompressedLayer), cache)
		if err != nil {
			return
		}
		err = filepath.WalkDir(out.Path, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type()&fs.ModeSymlink != 0 {
				to, linkErr := filepath.EvalSymlinks(path)
				if rel, relErr := filepath.Rel(out.Path, to); linkErr == nil && (relErr != nil || !filepath.IsLocal(rel)) {
					t.Errorf("%q leads to %q", path, to)
				}
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// Whatever a registry says of an artifact: one of its layers is chosen, or the error is bounded.
func FuzzArtifactManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:` + strings.Repeat("a", 64) + `","size":1}]}`))
	f.Add([]byte(`{"layers":[{"mediaType":"x.tar"},{"mediaType":"y.tar"}],"annotations":{"org.opencontainers.image.created":"9999-99-99"}}`))
	f.Fuzz(func(t *testing.T, manifest []byte) {
		m, err := v1.ParseManifest(bytes.NewReader(manifest))
		if err != nil {
			return
		}
		d, err := layerOf(m, ArtifactConfig{}, "registry.example.com/a@sha256:x")
		if err == nil && !isTar(string(d.MediaType)) {
			t.Errorf("the layer of %q is not an archive", d.MediaType)
		}
	})
}
