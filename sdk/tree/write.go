package tree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/davit-sh/davit/sdk"
)

// Write puts a tree into the cache, or finds it there by its digest. open is called for
// each regular file that is not in the cache yet. It is atomic: a killed writer leaves
// nothing that looks like a tree.
func Write(ctx context.Context, cacheDir string, entries []Entry, open func(Entry) (io.ReadCloser, error)) (sdk.Tree, error) {
	sorted := append([]Entry{}, entries...)
	sortEntries(sorted)
	if err := check(sorted); err != nil {
		return sdk.Tree{}, err
	}
	digest := Digest(sorted)
	dir := filepath.Join(cacheDir, "trees", strings.TrimPrefix(digest, "sha256:"))
	out := sdk.Tree{Digest: digest, Path: filepath.Join(dir, filesName)}
	if _, err := os.Stat(filepath.Join(dir, manifestName)); err == nil {
		return out, nil
	}
	w := &writer{ctx: ctx, blobs: filepath.Join(cacheDir, "blobs"), open: open}
	if err := w.write(dir, sorted); err != nil {
		return sdk.Tree{}, fmt.Errorf("writing the source's files to the cache: %w", err)
	}
	return out, nil
}

type writer struct {
	ctx   context.Context
	blobs string
	open  func(Entry) (io.ReadCloser, error)
}

func (w *writer) write(dir string, entries []Entry) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	made := map[string]bool{}
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		to := filepath.Join(tmp, filesName, filepath.FromSlash(e.Path))
		if parent := filepath.Dir(to); !made[parent] {
			if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // builds may run as other users
				return err
			}
			made[parent] = true
		}
		if err := w.file(e, to); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(tmp, filesName), 0o755); err != nil { //nolint:gosec // as above
		return err
	}
	manifest, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(tmp, manifestName), manifest, 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, there := os.Stat(filepath.Join(dir, manifestName)); there == nil {
			return nil // another writer was faster, and its tree is the same
		}
		return err
	}
	return nil
}

// file puts one file in its place: a link to the blob store, where each content is kept once.
func (w *writer) file(e Entry, to string) error {
	if e.Mode&fs.ModeSymlink != 0 {
		return os.Symlink(e.Link, to)
	}
	blob, err := w.blob(e)
	if err != nil {
		return err
	}
	return os.Link(blob, to)
}

// blob returns the file in the blob store that has the content and mode of an entry.
func (w *writer) blob(e Entry) (string, error) {
	mode := fs.FileMode(0o444)
	if e.Mode&0o100 != 0 {
		mode = 0o555
	}
	sum := sha256.Sum256([]byte(e.Digest + " " + mode.String()))
	name := hex.EncodeToString(sum[:])
	blob := filepath.Join(w.blobs, name[:2], name)
	if info, err := os.Stat(blob); err == nil && info.Size() == e.Size {
		return blob, nil
	}
	if err := os.MkdirAll(filepath.Dir(blob), 0o700); err != nil {
		return "", err
	}
	in, err := w.open(e)
	if err != nil {
		return "", err
	}
	defer in.Close()
	f, err := os.CreateTemp(filepath.Dir(blob), ".new-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	n, err := io.Copy(f, in)
	if err == nil && n != e.Size {
		err = fmt.Errorf("it has %d bytes and should have %d", n, e.Size)
	}
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return "", err
	}
	return blob, os.Rename(f.Name(), blob)
}

// check refuses entries that lead out of the tree. They must be sorted by path or be a scan's.
func check(entries []Entry) error {
	byPath := make(map[string]*Entry, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Path == "" || e.Path != path.Clean(e.Path) || path.IsAbs(e.Path) || e.Path == "." || e.Path == ".." ||
			strings.HasPrefix(e.Path, "../") || strings.ContainsRune(e.Path, 0) {
			return fmt.Errorf("%q is not a path inside of the source", e.Path)
		}
		if byPath[e.Path] != nil {
			return fmt.Errorf("%q is there twice", e.Path)
		}
		if t := e.Mode.Type(); t != 0 && t != fs.ModeSymlink {
			return fmt.Errorf("%q is neither a file nor a link (%s)", e.Path, e.Mode)
		}
		byPath[e.Path] = e
	}
	for i := range entries {
		e := &entries[i]
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			if byPath[dir] != nil {
				return fmt.Errorf("%q is below %q, which is no folder", e.Path, dir)
			}
		}
		if e.Mode&fs.ModeSymlink != 0 {
			if err := checkLink(e, byPath); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxLinks is how many links are followed, as the kernel does.
const maxLinks = 40

// checkLink follows a link, and the links that it leads to, and refuses one that leaves the tree.
func checkLink(e *Entry, byPath map[string]*Entry) error {
	at := path.Dir(e.Path)
	rest := strings.Split(e.Link, "/")
	refuse := fmt.Errorf("the link %q -> %q leaves the source", e.Path, e.Link)
	if path.IsAbs(e.Link) || e.Link == "" {
		return refuse
	}
	for links := 0; len(rest) > 0; {
		step := rest[0]
		rest = rest[1:]
		switch step {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return refuse
			}
			at = path.Dir(at)
			continue
		}
		at = path.Join(at, step)
		next := byPath[at]
		if next == nil || next.Mode&fs.ModeSymlink == 0 {
			continue
		}
		if links++; links > maxLinks {
			return fmt.Errorf("the link %q goes round in a circle", e.Path)
		}
		if path.IsAbs(next.Link) {
			return refuse
		}
		at = path.Dir(at)
		rest = append(strings.Split(next.Link, "/"), rest...)
	}
	return nil
}
