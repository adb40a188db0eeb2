package buildx

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// workFolder is a folder for one run of docker buildx, which reads the context from a disk. Who uses it
// holds a lock, so that the folder of a run that was killed is known, and removed by the next one.
type workFolder struct {
	dir  string
	lock *flock.Flock
}

const lockSuffix = ".lock"

// newWorkFolder makes one in the cache, and removes those that nobody uses any more.
func newWorkFolder(cacheDir string) (*workFolder, error) {
	if cacheDir == "" {
		cacheDir = os.TempDir()
	}
	parent := filepath.Join(cacheDir, "buildx")
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	sweep(parent)
	dir, err := os.MkdirTemp(parent, "run-*")
	if err != nil {
		return nil, err
	}
	w := &workFolder{dir: dir, lock: flock.New(dir + lockSuffix)}
	if err := w.lock.Lock(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	// Another run may have swept it away before it was locked.
	return w, os.MkdirAll(dir, 0o700)
}

// sweep leaves what it cannot remove for the next time.
func sweep(parent string) {
	locks, err := filepath.Glob(filepath.Join(parent, "run-*"+lockSuffix))
	if err != nil {
		return
	}
	for _, path := range locks {
		lock := flock.New(path)
		if mine, err := lock.TryLock(); err == nil && mine {
			(&workFolder{dir: strings.TrimSuffix(path, lockSuffix), lock: lock}).remove()
		}
	}
}

func (w *workFolder) remove() {
	_ = os.RemoveAll(w.dir)
	_ = os.Remove(w.dir + lockSuffix)
	_ = w.lock.Close()
}

func (w *workFolder) context() string  { return filepath.Join(w.dir, "context") }
func (w *workFolder) policy() string   { return filepath.Join(w.dir, "policy.json") }
func (w *workFolder) metadata() string { return filepath.Join(w.dir, "metadata.json") }
