package render

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// confined is a source's tree as the file system of Kustomize: its root is the tree's
// root, and it cannot be written. Kustomization files are checked as they are read.
type confined struct {
	tree fs.FS
	// refused is the first refusal. Kustomize takes a kustomization that it cannot read for none at all.
	refused error
}

var _ filesys.FileSystem = (*confined)(nil)

func (c *confined) name(p string) string {
	clean := strings.TrimPrefix(path.Clean("/"+filepath.ToSlash(p)), "/")
	if clean == "" {
		return "."
	}
	return clean
}

func (c *confined) ReadFile(p string) ([]byte, error) {
	name := c.name(p)
	data, err := readFile(c.tree, name)
	if err != nil {
		return nil, err
	}
	if slices.Contains(kustomizationNames, path.Base(name)) {
		if err := checkKustomization(c.tree, name, data); err != nil {
			if c.refused == nil {
				c.refused = err
			}
			return nil, err
		}
	}
	return data, nil
}

func (c *confined) IsDir(p string) bool {
	info, err := fs.Stat(c.tree, c.name(p))
	return err == nil && info.IsDir()
}

func (c *confined) Exists(p string) bool {
	_, err := fs.Stat(c.tree, c.name(p))
	return err == nil
}

func (c *confined) CleanedAbs(p string) (filesys.ConfirmedDir, string, error) {
	name := c.name(p)
	info, err := fs.Stat(c.tree, name)
	if err != nil {
		return "", "", fmt.Errorf("%s is not in the source", name)
	}
	if info.IsDir() {
		return filesys.ConfirmedDir(path.Join("/", name)), "", nil
	}
	return filesys.ConfirmedDir(path.Join("/", path.Dir(name))), path.Base(name), nil
}

func (c *confined) ReadDir(p string) ([]string, error) {
	entries, err := fs.ReadDir(c.tree, c.name(p))
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, err
}

func (c *confined) Glob(pattern string) ([]string, error) {
	found, err := fs.Glob(c.tree, c.name(pattern))
	for i := range found {
		found[i] = "/" + found[i]
	}
	return found, err
}

func (c *confined) Walk(p string, walk filepath.WalkFunc) error {
	return fs.WalkDir(c.tree, c.name(p), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return walk("/"+name, nil, err)
		}
		info, err := d.Info()
		return walk("/"+name, info, err)
	})
}

var errReadOnly = fmt.Errorf("a source's tree is read-only: %w", os.ErrPermission)

func (c *confined) Open(string) (filesys.File, error)   { return nil, errReadOnly }
func (c *confined) Create(string) (filesys.File, error) { return nil, errReadOnly }
func (c *confined) Mkdir(string) error                  { return errReadOnly }
func (c *confined) MkdirAll(string) error               { return errReadOnly }
func (c *confined) RemoveAll(string) error              { return errReadOnly }
func (c *confined) WriteFile(string, []byte) error      { return errReadOnly }
