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
	"path/filepath"
	"strings"
	"time"

	"github.com/davit-sh/davit/sdk"
)

// Write puts a tree into the cache, or finds it there by its digest. open is called for
// each regular file whose content is not in the cache yet. It is atomic: a killed writer leaves
// nothing that looks like a tree. Concurrent writers of one tree are fine, in several processes too.
func Write(ctx context.Context, cacheDir string, entries []Entry, open func(Entry) (io.ReadCloser, error)) (sdk.Tree, error) {
	sorted := append([]Entry{}, entries...)
	sortEntries(sorted)
	if err := check(sorted); err != nil {
		return sdk.Tree{}, err
	}
	digest := Digest(sorted)
	if t, ok := Lookup(cacheDir, digest); ok {
		return t, nil
	}
	w := &writer{ctx: ctx, blobs: filepath.Join(cacheDir, "blobs"), trees: filepath.Join(cacheDir, "trees"), open: open}
	if err := w.write(w.dir(digest), sorted); err != nil {
		return sdk.Tree{}, fmt.Errorf("writing the source's files to the cache: %w", err)
	}
	return sdk.Tree{Digest: digest, Path: filepath.Join(w.dir(digest), filesName)}, nil
}

// Lookup finds a tree in the cache by its digest.
func Lookup(cacheDir, digest string) (sdk.Tree, bool) {
	name, ok := strings.CutPrefix(digest, shaPrefix)
	if _, err := hex.DecodeString(name); !ok || err != nil || len(name) != 2*sha256.Size {
		return sdk.Tree{}, false
	}
	dir := filepath.Join(cacheDir, "trees", name)
	return sdk.Tree{Digest: digest, Path: filepath.Join(dir, filesName)}, whole(dir)
}

// whole tells whether a tree's manifest was written to its end. It is written last, but a
// machine that loses power may keep a file's name and lose its content.
func whole(dir string) bool {
	f, err := os.Open(filepath.Join(dir, manifestName))
	if err != nil {
		return false
	}
	defer f.Close()
	last := make([]byte, 1)
	if _, err := f.Seek(-1, io.SeekEnd); err != nil {
		return false
	}
	n, err := f.Read(last)
	return err == nil && n == 1 && last[0] == ']'
}

type writer struct {
	ctx          context.Context
	blobs, trees string
	tmp          string // folder of this writer; all that it leaves behind when it is killed
	open         func(Entry) (io.ReadCloser, error)
}

func (w *writer) dir(digest string) string {
	return filepath.Join(w.trees, strings.TrimPrefix(digest, shaPrefix))
}

const tmpPrefix = ".new-"

func (w *writer) write(dir string, entries []Entry) error {
	if err := os.MkdirAll(w.trees, 0o700); err != nil {
		return err
	}
	w.sweep()
	var err error
	if w.tmp, err = os.MkdirTemp(w.trees, tmpPrefix+"*"); err != nil {
		return err
	}
	defer os.RemoveAll(w.tmp)
	tree := filepath.Join(w.tmp, "tree")
	if err := w.fill(tree, entries); err != nil {
		return err
	}
	return w.put(tree, dir)
}

// fill writes the files, and then the manifest.
func (w *writer) fill(to string, entries []Entry) error {
	files := filepath.Join(to, filesName)
	if err := os.MkdirAll(files, 0o755); err != nil { //nolint:gosec // builds may run as other users
		return err
	}
	made := map[string]bool{files: true}
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		file := filepath.Join(files, filepath.FromSlash(e.Path))
		if parent := filepath.Dir(file); !made[parent] {
			if err := os.MkdirAll(parent, 0o755); err != nil { //nolint:gosec // as above
				return err
			}
			made[parent] = true
		}
		if err := w.file(e, file); err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
	}
	manifest, err := json.Marshal(entries)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, manifestName), manifest, 0o600)
}

// put moves a finished tree to its place.
func (w *writer) put(tree, dir string) error {
	err := os.Rename(tree, dir)
	if err == nil || whole(dir) {
		return nil // done, or another writer was faster, and its tree is the same
	}
	// Something that is no tree is in the way: one that was half removed, or lost with the power.
	if os.Rename(dir, filepath.Join(w.tmp, "damaged")) != nil {
		return err
	}
	if err = os.Rename(tree, dir); err != nil && whole(dir) {
		return nil
	}
	return err
}

// abandoned is the age after which temporary files are those of a killed writer.
const abandoned = 24 * time.Hour

// sweep removes the temporary files of killed writers. It ignores errors.
func (w *writer) sweep() {
	found, err := os.ReadDir(w.trees)
	if err != nil {
		return
	}
	for _, d := range found {
		if info, err := d.Info(); err == nil && strings.HasPrefix(d.Name(), tmpPrefix) && time.Since(info.ModTime()) > abandoned {
			_ = os.RemoveAll(filepath.Join(w.trees, d.Name()))
		}
	}
}

// file puts one file in its place: a link to the blob store, where each content is kept once.
func (w *writer) file(e Entry, to string) error {
	if e.Mode&fs.ModeSymlink != 0 {
		return os.Symlink(e.Link, to)
	}
	blob, mode := w.blob(e)
	if info, err := os.Stat(blob); err != nil || info.Size() != e.Size {
		if err := w.addBlob(e, blob, mode); err != nil {
			return err
		}
	}
	if os.Link(blob, to) == nil {
		return nil
	}
	// A file has only so many names, and some file systems give it but one.
	in, err := os.Open(blob)
	if err != nil {
		return err
	}
	defer in.Close()
	return save(in, to, mode)
}

// blob returns the name in the blob store of an entry's content with its mode, and that mode there.
func (w *writer) blob(e Entry) (string, fs.FileMode) {
	mode := fs.FileMode(0o444)
	if e.Mode&0o100 != 0 {
		mode = 0o555
	}
	sum := sha256.Sum256([]byte(e.Digest + " " + mode.String()))
	name := hex.EncodeToString(sum[:])
	return filepath.Join(w.blobs, name[:2], name), mode
}

// addBlob brings a content into the blob store.
func (w *writer) addBlob(e Entry, blob string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(blob), 0o700); err != nil {
		return err
	}
	in, err := w.open(e)
	if err != nil {
		return err
	}
	defer in.Close()
	h := sha256.New()
	counted := &counter{r: io.TeeReader(in, h)}
	tmp := filepath.Join(w.tmp, "blob")
	defer os.Remove(tmp)
	if err := save(counted, tmp, mode); err != nil {
		return err
	}
	if counted.n != e.Size {
		return fmt.Errorf("it has %d bytes instead of %d", counted.n, e.Size)
	}
	if got := shaPrefix + hex.EncodeToString(h.Sum(nil)); strings.HasPrefix(e.Digest, shaPrefix) && got != e.Digest {
		return fmt.Errorf("its digest is %s instead of %s", got, e.Digest)
	}
	return os.Rename(tmp, blob)
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// save writes a new file with that mode, whatever the process's umask is.
func save(in io.Reader, to string, mode fs.FileMode) error {
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	return errors.Join(err, f.Chmod(mode), f.Close())
}
