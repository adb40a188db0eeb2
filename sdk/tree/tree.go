// Package tree reads and writes folders of files in davit's content-addressed cache. Sources write them;
// builds and applications read them.
//
// A tree in the cache is a folder CACHE/trees/HEX with the files below files/ and a
// manifest beside them. Nothing in it leads out of it: links that leave the tree,
// absolute names, "..", devices and submodules are refused when it is written, and
// reading goes through os.Root.
package tree

import (
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
	"slices"
	"sort"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/davit-sh/davit/sdk"
)

// Entry is one file of a tree.
type Entry struct {
	Path   string      `json:"path"`   // slash-separated, relative, clean
	Mode   fs.FileMode `json:"mode"`   // 0644, 0755, or ModeSymlink
	Digest string      `json:"digest"` // opaque; equal digests are equal contents: "git:<blob id>" or "sha256:<hex>"
	Size   int64       `json:"size"`
	Link   string      `json:"link,omitempty"` // target of a symbolic link
}

// Tree is a tree in the cache, or a part of one, opened for reading.
type Tree struct {
	files   string // the folder of the whole tree
	dir     string // the part: "." is all of it
	entries []Entry
}

const (
	manifestName = "manifest.json"
	filesName    = "files"
	shaPrefix    = "sha256:"
)

// Open opens the tree of a source. A folder without a manifest, outside of the cache, is read and hashed. A manifest is used
// only if it has the digest of the tree and none of its paths leads out.
func Open(t sdk.Tree) (*Tree, error) {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(t.Path), manifestName))
	if err != nil || filepath.Base(t.Path) != filesName {
		return scan(t.Path)
	}
	out := &Tree{files: t.Path, dir: "."}
	err = json.Unmarshal(b, &out.entries)
	if err == nil {
		err = check(out.entries)
	}
	if err == nil && Digest(out.entries) != t.Digest {
		err = errors.New("its manifest is of another tree")
	}
	if err != nil {
		return nil, fmt.Errorf("the tree %s in %s is damaged; remove that folder: %w", t.Digest, filepath.Dir(t.Path), err)
	}
	return out, nil
}

// scan reads a folder that no manifest describes.
func scan(dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the source's files: %w", err)
	}
	defer root.Close()
	t := &Tree{files: dir, dir: "."}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		e, err := scanFile(root, name, d)
		t.entries = append(t.entries, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := check(t.entries); err != nil {
		return nil, err
	}
	sortEntries(t.entries)
	return t, nil
}

func scanFile(root *os.Root, name string, d fs.DirEntry) (Entry, error) {
	info, err := d.Info()
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Path: name, Size: info.Size()}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		e.Mode = fs.ModeSymlink
		if e.Link, err = root.Readlink(name); err != nil {
			return e, err
		}
		e.Digest, err = hashOf(strings.NewReader(e.Link))
		return e, err
	case info.Mode().IsRegular():
		e.Mode = 0o644
		if info.Mode()&0o100 != 0 {
			e.Mode = 0o755
		}
		f, err := root.Open(name)
		if err != nil {
			return e, err
		}
		defer f.Close()
		e.Digest, err = hashOf(f)
		return e, err
	default:
		return e, fmt.Errorf("%s is neither a file nor a link", name)
	}
}

func hashOf(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return shaPrefix + hex.EncodeToString(h.Sum(nil)), err
}

func sortEntries(list []Entry) {
	sort.Slice(list, func(i, j int) bool { return list[i].Path < list[j].Path })
}

// Entries returns all files, sorted by path.
func (t *Tree) Entries() []Entry { return t.entries }

// Sub returns the tree below dir ("" or "." is the whole tree). It returns an error if dir does not exist, is not a
// folder, or leads out of the tree.
func (t *Tree) Sub(dir string) (*Tree, error) {
	clean := path.Clean(strings.TrimSuffix(filepath.ToSlash(dir), "/"))
	if dir == "" || clean == "." {
		return t, nil
	}
	if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") {
		return nil, fmt.Errorf("the path %q leads out of the source", dir)
	}
	out := &Tree{files: t.files, dir: path.Join(t.dir, clean)}
	prefix := clean + "/"
	for _, e := range t.entries {
		if e.Path == clean {
			what := "a file"
			if e.Mode&fs.ModeSymlink != 0 {
				what = "a link to " + e.Link
			}
			return nil, fmt.Errorf("%q is %s in the source, not a folder", dir, what)
		}
		if rest, ok := strings.CutPrefix(e.Path, prefix); ok {
			e.Path = rest
			out.entries = append(out.entries, e)
		}
	}
	if len(out.entries) == 0 {
		return nil, fmt.Errorf("the source has no folder %q%s", dir, t.near(clean))
	}
	return out, nil
}

// near names the folders beside a missing one.
func (t *Tree) near(missing string) string {
	parent := path.Dir(missing)
	seen := map[string]bool{}
	var names []string
	for _, e := range t.entries {
		rest := e.Path
		if parent != "." {
			var ok bool
			if rest, ok = strings.CutPrefix(e.Path, parent+"/"); !ok {
				continue
			}
		}
		if first, _, isDir := strings.Cut(rest, "/"); isDir && !seen[first] {
			seen[first] = true
			names = append(names, path.Join(parent, first))
		}
	}
	if len(names) == 0 {
		return ""
	}
	if len(names) > 10 {
		names = append(names[:10], "...")
	}
	return "; it has: " + strings.Join(names, ", ")
}

// Match returns the entries that match any of the patterns (doublestar: "tests/**"; a
// pattern that names a folder means all below it), and the patterns that matched nothing.
func (t *Tree) Match(patterns ...string) (matched []Entry, unmatched []string, err error) {
	patterns = slices.Clone(patterns)
	hit := make([]bool, len(patterns))
	for i, p := range patterns {
		if !doublestar.ValidatePattern(p) {
			return nil, nil, fmt.Errorf("%q is not a pattern such as \"tests/**\"", p)
		}
		patterns[i] = strings.TrimSuffix(strings.TrimPrefix(p, "./"), "/")
	}
	for _, e := range t.entries {
		found := false
		for i, p := range patterns {
			if p == "." || doublestar.MatchUnvalidated(p, e.Path) || doublestar.MatchUnvalidated(p+"/**", e.Path) {
				hit[i], found = true, true
			}
		}
		if found {
			matched = append(matched, e)
		}
	}
	for i, p := range patterns {
		if !hit[i] {
			unmatched = append(unmatched, p)
		}
	}
	return matched, unmatched, nil
}

// Digest is the digest over paths, modes and contents of entries: "sha256:<hex>".
func Digest(entries []Entry) string {
	sorted := slices.Clone(entries)
	sortEntries(sorted)
	h := sha256.New()
	for _, e := range sorted {
		fmt.Fprintf(h, "%d:%s %o %s\n", len(e.Path), e.Path, e.Mode, e.Digest)
	}
	return shaPrefix + hex.EncodeToString(h.Sum(nil))
}

// ReadFile reads one file; a link is followed only inside the tree.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	root, err := os.OpenRoot(t.files)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	b, err := root.ReadFile(filepath.FromSlash(path.Join(t.dir, name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the source has no file %q: %w", path.Join(t.dir, name), fs.ErrNotExist)
	}
	return b, err
}

// Open opens one file of the tree.
func (t *Tree) Open(e Entry) (io.ReadCloser, error) { return t.FS().Open(e.Path) }

// FS returns the tree as a file system. No path in it leads out of the tree.
func (t *Tree) FS() fs.FS { return confined{t} }

// confined opens files through os.Root, so that no link leads out.
type confined struct{ t *Tree }

// Open implements fs.FS.
func (c confined) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	root, err := os.OpenRoot(c.t.files)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(filepath.FromSlash(path.Join(c.t.dir, name)))
}

// Path returns the folder on disk.
func (t *Tree) Path() string { return filepath.Join(t.files, filepath.FromSlash(t.dir)) }
