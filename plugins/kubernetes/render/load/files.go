package load

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/davit-sh/davit/sdk"
)

// Bounds of one folder. etcd takes objects of 1.5 MB: they leave room for thousands.
const (
	maxFile  = 16 << 20
	maxTotal = 64 << 20 // of all reads; a file that is read twice counts twice
	maxReads = 20_000
)

// source is the tree that a load reads, and how much of it was read.
type source struct {
	tree     fs.FS
	bytes    int64
	reads    int
	openAPI  bool              // a kustomization replaced the schema that Kustomize keeps for the whole process
	contents map[string][]byte // of the files that Kustomize has read, for what errors must not quote
}

// read returns the content of a file.
func (s *source) read(name string) ([]byte, error) {
	f, err := s.tree.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s in the source: %w", name, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot read %s in the source: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("cannot read %s in the source: it is not a file", name)
	}
	if info.Size() > maxFile {
		return nil, sdk.Errors{{Summary: fmt.Sprintf("%s has %d bytes; the limit for a file is %d", name, info.Size(), maxFile),
			Code: "kubernetes.bound", Path: sdk.At("path")}}
	}
	s.reads++
	s.bytes += info.Size()
	switch {
	case s.reads > maxReads:
		return nil, tooMuch(name, "is file number %d of the application; the limit is %d files", s.reads, maxReads)
	case s.bytes > maxTotal:
		return nil, tooMuch(name, "and the application's files before it are larger than %d MiB in total", maxTotal>>20)
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s in the source: %w", name, err)
	}
	return data[:n], nil
}

func (s *source) exists(name string) bool {
	info, err := fs.Stat(s.tree, name)
	return err == nil && !info.IsDir()
}

// kustomizeFiles is the tree as the file system of Kustomize: its root is the tree's root, and it cannot be written.
// Each file is checked before Kustomize sees it.
type kustomizeFiles struct {
	*source
	// refused is the first refusal. Kustomize takes a kustomization that it cannot read for none at all.
	refused error
}

var _ filesys.FileSystem = (*kustomizeFiles)(nil)

func (k *kustomizeFiles) name(p string) string {
	clean := strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(p)), "/")
	if clean == "" {
		return "."
	}
	return clean
}

func (k *kustomizeFiles) ReadFile(p string) ([]byte, error) {
	if k.refused != nil {
		return nil, k.refused
	}
	name := k.name(p)
	if !k.exists(name) {
		return nil, fmt.Errorf("the source has no file %s: %w", name, fs.ErrNotExist)
	}
	data, err := k.read(name)
	if err == nil {
		if k.contents == nil {
			k.contents = map[string][]byte{}
		}
		k.contents[name] = data
		err = checkBounds(name, data)
	}
	if err == nil && slices.Contains(kustomizationNames, path.Base(name)) {
		err = k.check(name, data)
	}
	if err != nil {
		k.refused = err
		return nil, err
	}
	return data, nil
}

func (k *kustomizeFiles) IsDir(p string) bool {
	info, err := fs.Stat(k.tree, k.name(p))
	return err == nil && info.IsDir()
}

func (k *kustomizeFiles) Exists(p string) bool {
	_, err := fs.Stat(k.tree, k.name(p))
	return err == nil
}

func (k *kustomizeFiles) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	name := k.name(p)
	info, err := fs.Stat(k.tree, name)
	if err != nil {
		return "", "", fmt.Errorf("%s is not in the source", name)
	}
	if info.IsDir() {
		return filesys.ConfirmedDir(path.Join("/", name)), "", nil
	}
	return filesys.ConfirmedDir(path.Join("/", path.Dir(name))), path.Base(name), nil
}

func (k *kustomizeFiles) ReadDir(p string) ([]string, error) {
	entries, err := fs.ReadDir(k.tree, k.name(p))
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (k *kustomizeFiles) Glob(pattern string) ([]string, error) {
	found, err := fs.Glob(k.tree, k.name(pattern))
	for i := range found {
		found[i] = "/" + found[i]
	}
	return found, err
}

func (k *kustomizeFiles) Walk(p string, walk filepath.WalkFunc) error {
	return fs.WalkDir(k.tree, k.name(p), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return walk("/"+name, nil, err)
		}
		info, err := d.Info()
		return walk("/"+name, info, err)
	})
}

var errReadOnly = fmt.Errorf("a source's tree is read-only: %w", os.ErrPermission)

func (k *kustomizeFiles) Open(string) (filesys.File, error)   { return nil, errReadOnly }
func (k *kustomizeFiles) Create(string) (filesys.File, error) { return nil, errReadOnly }
func (k *kustomizeFiles) Mkdir(string) error                  { return errReadOnly }
func (k *kustomizeFiles) MkdirAll(string) error               { return errReadOnly }
func (k *kustomizeFiles) RemoveAll(string) error              { return errReadOnly }
func (k *kustomizeFiles) WriteFile(string, []byte) error      { return errReadOnly }
