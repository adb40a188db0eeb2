package manifests

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/davit-sh/davit/plugins/kubernetes/render"
	"github.com/davit-sh/davit/sdk"
)

// folder is the directory that is written to. It cannot be left: not by names, nor by links in it.
type folder struct {
	root   *os.Root // nil when the directory is not there
	parent *os.Root
	base   string // the directory's name in parent
	shown  string
}

// openFolder opens the directory. Without create, one that is not there is an empty folder.
func openFolder(ctx context.Context, directory string, create bool) (*folder, error) {
	bad := func(err error, what string) error {
		return &sdk.Error{Summary: fmt.Sprintf("directory %q %s", directory, what), Err: err, Code: "manifests.directory", Path: sdk.At("directory")}
	}
	top, inside := sdk.HostOf(ctx).StackDir, filepath.Clean(directory)
	switch {
	case directory == "" || inside == ".":
		return nil, bad(nil, "must be a directory below the stack's directory")
	case filepath.IsAbs(directory):
		top, inside = filepath.Split(inside)
		if create {
			if err := os.MkdirAll(top, 0o755); err != nil {
				return nil, bad(err, "cannot be created")
			}
		}
	case !filepath.IsLocal(inside):
		return nil, bad(nil, "leads out of the stack's directory")
	}
	parent, err := os.OpenRoot(top)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &folder{shown: directory}, nil
	case err != nil:
		return nil, bad(err, "cannot be opened")
	}
	f := &folder{parent: parent, base: inside, shown: directory}
	if create {
		if err := parent.MkdirAll(inside, 0o755); err != nil {
			f.close()
			return nil, bad(err, "cannot be created")
		}
	}
	f.root, err = parent.OpenRoot(inside)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.close()
		return nil, bad(err, "cannot be opened")
	}
	return f, nil
}

func (f *folder) close() {
	for _, r := range []*os.Root{f.root, f.parent} {
		if r != nil {
			r.Close() //nolint:errcheck // nothing is written through it
		}
	}
}

func (f *folder) has(name string) bool {
	if f.root == nil {
		return false
	}
	_, err := f.root.Lstat(name)
	return err == nil
}

// read returns a file's content, and whether it is there.
func (f *folder) read(name string) ([]byte, bool, error) {
	if f.root == nil {
		return nil, false, nil
	}
	content, err := f.root.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		return nil, false, &sdk.Error{Summary: fmt.Sprintf("cannot read %s in %s", name, f.shown), Err: err, Code: "manifests.read", Path: sdk.At("directory")}
	}
	return content, true, nil
}

// write replaces a file as a whole. Secrets are readable for the owner only.
func (f *folder) write(name string, content []byte, secret bool) error {
	mode := fs.FileMode(0o644)
	if secret {
		mode = 0o600
	}
	temp := ".davit-" + rand.Text()
	err := func() error {
		file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = file.Write(content)
		if err == nil {
			err = file.Sync()
		}
		if closed := file.Close(); err == nil {
			err = closed
		}
		if err == nil {
			err = f.root.Rename(temp, name)
		}
		return err
	}()
	if err != nil {
		f.root.Remove(temp) //nolint:errcheck // the first error is the one to tell
		return &sdk.Error{Summary: fmt.Sprintf("cannot write %s into %s", name, f.shown), Err: err, Code: "manifests.write", Path: sdk.At("directory"),
			Hint: "The files written before it remain. Fix the cause and apply again."}
	}
	return nil
}

func (f *folder) remove(name string) error {
	if f.root == nil {
		return nil
	}
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// sync makes the names durable.
func (f *folder) sync() error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close() //nolint:errcheck // it is only synced
	return dir.Sync()
}

func (f *folder) removeIfEmpty() error {
	if f.root == nil {
		return nil
	}
	entries, err := fs.ReadDir(f.root.FS(), ".")
	if err != nil || len(entries) > 0 {
		return err
	}
	return f.parent.Remove(f.base)
}

func compare(a, b string) int { return cmp.Compare(a, b) }

var unfit = regexp.MustCompile(`[^a-z0-9.-]+`)

// fileNames gives each object a file: kind-name.yaml, with the namespace, the group and at
// last a digest where that is not unique.
func fileNames(objects []render.Object) []string {
	names := make([]string, len(objects))
	for level := range 4 {
		count := map[string]int{}
		for i, o := range objects {
			if names[i] == "" || strings.HasPrefix(names[i], "\x00") {
				names[i] = "\x00" + fileName(o, level)
			}
			count[strings.TrimPrefix(names[i], "\x00")]++
		}
		for i := range names {
			if name, open := strings.CutPrefix(names[i], "\x00"); open && count[name] == 1 {
				names[i] = name
			}
		}
	}
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], "\x00")
	}
	return names
}

func fileName(o render.Object, level int) string {
	parts := []string{o.GetKind()}
	if level >= 2 {
		parts = append(parts, o.GroupVersionKind().Group)
	}
	if level >= 1 {
		parts = append(parts, o.GetNamespace())
	}
	parts = append(parts, o.GetName())
	if level >= 3 {
		sum := sha256.Sum256([]byte(render.Key(o.Unstructured)))
		parts = append(parts, hex.EncodeToString(sum[:6]))
	}
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, unfit.ReplaceAllString(strings.ToLower(p), "_"))
		}
	}
	return strings.Join(kept, "-") + ".yaml"
}
