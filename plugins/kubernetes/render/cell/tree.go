package cell

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"time"
)

// remoteTree is the host's tree in a worker. What a folder holds is asked for once.
type remoteTree struct {
	w      *cellmate
	listed map[string][]fs.DirEntry
}

var (
	_ fs.ReadDirFS = (*remoteTree)(nil)
	_ fs.StatFS    = (*remoteTree)(nil)
)

func (t *remoteTree) ask(op, name string) (info, []byte, error) {
	if !fs.ValidPath(name) || len(name) > mostAsk/8 {
		return info{}, nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	i, data, err := t.w.ask(ask{Op: op, Name: name})
	switch {
	case err != nil:
		return i, nil, &fs.PathError{Op: op, Path: name, Err: err}
	case i.Missing:
		return i, nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	case i.Error != "":
		return i, nil, &fs.PathError{Op: op, Path: name, Err: errors.New(i.Error)}
	}
	return i, data, nil
}

func (t *remoteTree) Open(name string) (fs.File, error) {
	i, data, err := t.ask("open", name)
	if err != nil {
		return nil, err
	}
	m := meta{name: path.Base(name), mode: fs.FileMode(i.Mode), size: i.Size}
	return &file{meta: m, Reader: bytes.NewReader(data), whole: i.Data}, nil
}

func (t *remoteTree) ReadDir(name string) ([]fs.DirEntry, error) {
	if known, ok := t.listed[name]; ok {
		return known, nil
	}
	i, _, err := t.ask("list", name)
	if err != nil {
		return nil, err
	}
	found := make([]fs.DirEntry, 0, len(i.Entries))
	for _, e := range i.Entries {
		found = append(found, fs.FileInfoToDirEntry(meta{name: e.Name, mode: fs.FileMode(e.Mode), size: e.Size}))
	}
	t.listed[name] = found
	return found, nil
}

// Stat answers from the list of the folder that a name is in. A link is asked for.
func (t *remoteTree) Stat(name string) (fs.FileInfo, error) {
	if name == "." {
		return meta{name: ".", mode: fs.ModeDir | 0o755}, nil
	}
	if beside, err := t.ReadDir(path.Dir(name)); err == nil {
		base := path.Base(name)
		for _, d := range beside {
			if d.Name() != base {
				continue
			}
			if d.Type()&fs.ModeSymlink != 0 {
				break
			}
			return d.Info()
		}
		if !hasEntry(beside, base) {
			return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
		}
	}
	i, _, err := t.ask("stat", name)
	if err != nil {
		return nil, err
	}
	return meta{name: path.Base(name), mode: fs.FileMode(i.Mode), size: i.Size}, nil
}

func hasEntry(list []fs.DirEntry, name string) bool {
	for _, d := range list {
		if d.Name() == name {
			return true
		}
	}
	return false
}

// file is a file of the tree.
type file struct {
	meta
	*bytes.Reader
	whole bool
}

func (f *file) Stat() (fs.FileInfo, error) { return f.meta, nil }
func (f *file) Close() error               { return nil }
func (f *file) Size() int64                { return f.size }

func (f *file) Read(p []byte) (int, error) {
	if !f.whole {
		return 0, errors.New("it is not a file, or is too large")
	}
	n, err := f.Reader.Read(p)
	if err != nil && errors.Is(err, io.EOF) {
		return n, io.EOF
	}
	return n, err
}

// meta is what is known of a file.
type meta struct {
	name string
	mode fs.FileMode
	size int64
}

func (m meta) Name() string       { return m.name }
func (m meta) Size() int64        { return m.size }
func (m meta) Mode() fs.FileMode  { return m.mode }
func (m meta) ModTime() time.Time { return time.Time{} }
func (m meta) IsDir() bool        { return m.mode.IsDir() }
func (m meta) Sys() any           { return nil }
