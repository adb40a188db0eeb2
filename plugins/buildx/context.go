package buildx

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/davit-sh/davit/sdk/tree"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// contextFS is the build context as Git has it: the cache keeps files read-only, and folders as the umask wants them.
func contextFS(t *tree.Tree) (fsutil.FS, error) {
	dir, err := fsutil.NewFS(t.Path())
	if err != nil {
		return nil, err
	}
	entries := make(map[string]tree.Entry, len(t.Entries()))
	for _, e := range t.Entries() {
		entries[e.Path] = e
	}
	return fsutil.NewFilterFS(dir, &fsutil.FilterOpt{Map: func(path string, s *fstypes.Stat) fsutil.MapResult {
		s.Uid, s.Gid, s.ModTime = 0, 0, epoch.UnixNano()
		e, ok := entries[filepath.ToSlash(path)]
		switch {
		case !ok:
			s.Mode = uint32(fs.ModeDir | folderMode)
			return fsutil.MapResultKeep
		case e.Link == "":
			s.Mode = uint32(fileMode(e.Mode))
		}
		s.ModTime = modTime(e).UnixNano()
		return fsutil.MapResultKeep
	}})
}

// copyContext writes the same context to a folder.
func copyContext(t *tree.Tree, to string) error {
	out, err := openNew(to)
	if err != nil {
		return err
	}
	defer out.Close()
	in := t.FS()
	for _, e := range t.Entries() {
		name := filepath.FromSlash(e.Path)
		if err := out.MkdirAll(filepath.Dir(name), folderMode); err != nil {
			return err
		}
		if e.Link != "" {
			err = out.Symlink(e.Link, name)
		} else {
			err = copyFile(in, out, e)
		}
		if err != nil {
			return err
		}
	}
	// The umask may have taken rights away.
	return fs.WalkDir(out.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return out.Chmod(name, folderMode)
	})
}

func openNew(dir string) (*os.Root, error) {
	if err := os.Mkdir(dir, folderMode); err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

func copyFile(in fs.FS, out *os.Root, e tree.Entry) error {
	from, err := in.Open(e.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	name := filepath.FromSlash(e.Path)
	to, err := out.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err = errors.Join(err, to.Chmod(fileMode(e.Mode)), to.Close()); err != nil {
		return err
	}
	return out.Chtimes(name, modTime(e), modTime(e))
}

// modTime is made of a file's content, for two readers who take a file of the same size and time for the same one:
// BuildKit, which then does not fetch it again, and the caches of those who get it from a web server in the image.
// It is not after epoch, so that it stays as it is in the image, and within minutes of all others, as in a checkout.
func modTime(e tree.Entry) time.Time {
	sum := sha256.Sum256([]byte(e.Digest))
	before := time.Duration(binary.BigEndian.Uint64(sum[:]) % (1 << 40)) //nolint:gosec // 18 minutes in nanoseconds
	return epoch.Add(-before)
}

const folderMode fs.FileMode = 0o755

func fileMode(mode fs.FileMode) fs.FileMode {
	if mode&0o100 != 0 {
		return 0o755
	}
	return 0o644
}
