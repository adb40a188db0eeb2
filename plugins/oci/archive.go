package oci

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	registry "github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// Media types of the artifacts that davit pushes. Artifacts of others are read as well.
const (
	FolderConfigType types.MediaType = "application/vnd.davit.folder.config.v1+json"
	FolderLayerType  types.MediaType = "application/vnd.davit.folder.v1.tar+gzip"
)

const (
	maxFiles    = 100_000 // more than any folder of configuration has
	maxUnpacked = 1 << 30
)

// unpack reads a layer's tar archive into the cache. The archive is checked against its digest and
// written to a temporary file first, so that files are read where they stand, after all names were checked.
func unpack(ctx context.Context, layer v1.Layer, cache string) (sdk.Tree, error) {
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return sdk.Tree{}, err
	}
	f, err := os.CreateTemp(cache, ".artifact-*")
	if err != nil {
		return sdk.Tree{}, err
	}
	defer f.Close()
	if err := os.Remove(f.Name()); err != nil { // nothing is left behind, however this ends
		return sdk.Tree{}, err
	}
	in, err := layer.Uncompressed()
	if err != nil {
		return sdk.Tree{}, err
	}
	defer in.Close()
	n, err := io.Copy(f, io.LimitReader(in, maxUnpacked+1))
	if err != nil {
		return sdk.Tree{}, err
	}
	if n > maxUnpacked {
		return sdk.Tree{}, fmt.Errorf("its files are larger than %d MiB in total", maxUnpacked>>20)
	}
	entries, at, err := list(ctx, f)
	if err != nil {
		return sdk.Tree{}, err
	}
	return tree.Write(ctx, cache, entries, func(e tree.Entry) (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(f, at[e.Path], e.Size)), nil
	})
}

// list reads the names and contents of an archive, and where each content stands.
func list(ctx context.Context, f *os.File) ([]tree.Entry, map[string]int64, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	var entries []tree.Entry
	at := map[string]int64{}
	var bytes int64
	for r := tar.NewReader(f); ; {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return entries, at, nil
		}
		if err != nil {
			return nil, nil, err
		}
		if len(entries) == maxFiles {
			return nil, nil, fmt.Errorf("it has more than %d files", maxFiles)
		}
		e, err := entryOf(h)
		if err != nil {
			return nil, nil, err
		}
		// A file with holes has more bytes than the archive.
		if bytes += e.Size; e.Size > maxUnpacked || bytes > maxUnpacked {
			return nil, nil, fmt.Errorf("%q and the files before it are larger than %d MiB in total", h.Name, maxUnpacked>>20)
		}
		if e.Path == "" {
			continue
		}
		where, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, nil, err
		}
		if e.Digest, err = digestOf(e, r); err != nil {
			return nil, nil, err
		}
		at[e.Path] = where
		entries = append(entries, e)
	}
}

// entryOf is the file that a header describes; a folder has no path.
func entryOf(h *tar.Header) (tree.Entry, error) {
	e := tree.Entry{Path: path.Clean(h.Name), Size: h.Size, Mode: 0o644}
	switch h.Typeflag {
	case tar.TypeDir, tar.TypeXGlobalHeader:
		return tree.Entry{}, nil
	case tar.TypeReg:
		if h.FileInfo().Mode()&0o100 != 0 {
			e.Mode = 0o755
		}
	case tar.TypeSymlink:
		e.Mode, e.Link, e.Size = fs.ModeSymlink, h.Linkname, int64(len(h.Linkname))
	default:
		return e, fmt.Errorf("%q is neither a file nor a link", h.Name)
	}
	// What a name means must not depend on who reads it.
	if path.IsAbs(h.Name) || strings.Contains("/"+h.Name+"/", "/../") {
		return e, fmt.Errorf("the path %q leads out of the archive", h.Name)
	}
	return e, nil
}

func digestOf(e tree.Entry, r io.Reader) (string, error) {
	if e.Link != "" {
		r = strings.NewReader(e.Link)
	}
	h := sha256.New()
	_, err := io.Copy(h, r)
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), err
}

// unpackError tells what is wrong with an artifact, or with the way to it.
func unpackError(err error, ref string) error {
	var answered *transport.Error
	if errors.As(err, &answered) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) {
		return registry.Diagnose(err, "fetching", ref)
	}
	return &sdk.Error{Summary: fmt.Sprintf("%s cannot be unpacked", ref), Detail: err.Error(), Code: "oci.unpack", Err: err}
}

// Folder is a folder to push.
type Folder struct {
	Dir         string
	Leave       []string // names of folders in it that stay behind
	Annotations map[string]string
	Time        time.Time // of the files and of the artifact; zero: none, for the same digest each time
}

// PushFolder pushes a folder's files as an artifact, and returns its digest. The reference has a
// tag: registry.example.com/team/name:1.0.0. A tag that holds something else is only moved if overwrite is set.
func PushFolder(ctx context.Context, reference string, f Folder, insecure, overwrite bool) (string, error) {
	ref, err := registry.Parse(reference, insecure)
	if err != nil {
		return "", err
	}
	img, err := f.image()
	if err != nil {
		return "", err
	}
	want, err := img.Digest()
	if err != nil {
		return "", err
	}
	there, err := registry.Digest(ctx, ref)
	if err != nil && !registry.IsNotFound(err) {
		return "", err
	}
	if there == want.String() {
		return there, nil
	}
	if err == nil && !overwrite {
		return "", fmt.Errorf("%s already exists with other content (%s). Push under another tag, or move this one with -force", reference, there)
	}
	if err := remote.Write(ref, img, registry.Options(ctx, ref.Context())...); err != nil {
		return "", registry.Diagnose(err, "pushing", reference)
	}
	return want.String(), nil
}

// image makes the artifact. The same files give the same digest.
func (f Folder) image() (v1.Image, error) {
	t, err := tree.Open(sdk.Tree{Path: f.Dir})
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(f.write(w, t)) }()
		return r, nil
	}, tarball.WithMediaType(FolderLayerType))
	if err != nil {
		return nil, fmt.Errorf("packing %s: %w", f.Dir, err)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), FolderConfigType)
	if img, err = mutate.Append(img, mutate.Addendum{Layer: layer, MediaType: FolderLayerType}); err != nil {
		return nil, err
	}
	annotations := map[string]string{}
	for k, v := range f.Annotations {
		if v != "" {
			annotations[k] = v
		}
	}
	if !f.Time.IsZero() {
		annotations[registry.AnnotationCreated] = f.Time.UTC().Format(time.RFC3339)
	}
	if len(annotations) == 0 {
		return img, nil
	}
	out, ok := mutate.Annotations(img, annotations).(v1.Image)
	if !ok {
		return nil, errors.New("annotating an artifact gave no artifact")
	}
	return out, nil
}

func (f Folder) write(to io.Writer, t *tree.Tree) error {
	w := tar.NewWriter(to)
	for _, e := range t.Entries() {
		if f.leaves(e.Path) {
			continue
		}
		if err := f.writeEntry(w, t, e); err != nil {
			return err
		}
	}
	return w.Close()
}

func (f Folder) leaves(name string) bool {
	for step := range strings.SplitSeq(path.Dir(name), "/") {
		if slices.Contains(f.Leave, step) {
			return true
		}
	}
	return false
}

func (f Folder) writeEntry(w *tar.Writer, t *tree.Tree, e tree.Entry) error {
	h := &tar.Header{Name: e.Path, Mode: int64(e.Mode.Perm()), Typeflag: tar.TypeReg, ModTime: f.Time, Size: e.Size}
	if e.Link != "" {
		h.Typeflag, h.Linkname, h.Size, h.Mode = tar.TypeSymlink, e.Link, 0, 0o777
		return w.WriteHeader(h)
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	in, err := t.Open(e)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(w, in)
	return err
}
