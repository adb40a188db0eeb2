package tree

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Limits of a tree. They are far above the size of repositories, and far below that of a disk.
const (
	MaxFiles = 500_000
	MaxBytes = 8 << 30
)

// Limit counts what a source lists, so that it can stop in the middle: a repository of a few kilobytes can name a hundred million
// files. The zero value is ready.
type Limit struct {
	files int
	bytes int64
}

// Add counts a file. It returns an error that names the file when there are too many, or when they have too many bytes.
func (l *Limit) Add(e Entry) error {
	l.files++
	if e.Size < 0 || e.Size > MaxBytes {
		return fmt.Errorf("%q has %d bytes; the limit of a source is %d GiB", e.Path, e.Size, MaxBytes>>30)
	}
	l.bytes += e.Size
	switch {
	case l.files > MaxFiles:
		return fmt.Errorf("%q is file number %d; the limit of a source is %d files", e.Path, l.files, MaxFiles)
	case l.bytes > MaxBytes:
		return fmt.Errorf("%q and the files before it are larger than %d GiB in total", e.Path, MaxBytes>>30)
	}
	return nil
}

// check refuses entries that lead out of the tree, or that no folder can hold.
func check(entries []Entry) error {
	var limit Limit
	for _, e := range entries {
		if err := limit.Add(e); err != nil {
			return err
		}
	}
	byPath := make(map[string]*Entry, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Path == "" || e.Path != path.Clean(e.Path) || path.IsAbs(e.Path) || e.Path == "." || e.Path == ".." ||
			strings.HasPrefix(e.Path, "../") || strings.ContainsRune(e.Path, 0) {
			return fmt.Errorf("%q is not a valid path in the source", e.Path)
		}
		if byPath[e.Path] != nil {
			return fmt.Errorf("%q occurs twice", e.Path)
		}
		if e.Mode != 0o644 && e.Mode != 0o755 && e.Mode != fs.ModeSymlink {
			return fmt.Errorf("%q is neither a file nor a link (%s)", e.Path, e.Mode)
		}
		byPath[e.Path] = e
	}
	for i := range entries {
		e := &entries[i]
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			if byPath[dir] != nil {
				return fmt.Errorf("%q is below %q, which is not a folder", e.Path, dir)
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
			return fmt.Errorf("the link %q leads in a circle", e.Path)
		}
		if path.IsAbs(next.Link) {
			return refuse
		}
		at = path.Dir(at)
		rest = append(strings.Split(next.Link, "/"), rest...)
	}
	return nil
}
