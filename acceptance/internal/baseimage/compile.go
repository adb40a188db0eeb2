package baseimage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/davit-sh/davit/acceptance/internal/process"
)

// compilePython compiles Python's standard library to byte code, which is the
// same for all platforms, and returns the folder that holds NAME.pyc for each
// NAME.py below usr/lib/python3.11. The images have it instead of the source:
// compiling at each start would take seconds under emulation.
func compilePython(ctx context.Context, work string, files debs) (string, error) {
	arch := ""
	for _, p := range platforms {
		if p.oci.Architecture == runtime.GOARCH {
			arch = p.debian
		}
	}
	root := filepath.Join(work, "python")
	for _, pkg := range []string{"libc6", "zlib1g", "libexpat1", "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"} {
		deb, ok := files[arch][pkg]
		if !ok {
			return "", fmt.Errorf("no package %s for this machine (%s) to compile Python's library with", pkg, runtime.GOARCH)
		}
		if _, err := process.Run(ctx, process.Command{
			Name: "dpkg-deb --extract " + pkg,
			Args: []string{"dpkg-deb", "--extract", deb, root},
		}); err != nil {
			return "", err
		}
	}
	// The unpacked interpreter runs with its own C library, not the machine's.
	loaders, err := filepath.Glob(filepath.Join(root, "lib/*/ld-linux*.so.*"))
	if err != nil {
		return "", err
	}
	if len(loaders) == 0 {
		return "", errors.New("libc6 holds no loader")
	}
	libs := filepath.Dir(loaders[0])
	_, err = process.Run(ctx, process.Command{
		Name: "compile Python's library",
		Args: []string{
			loaders[0], "--library-path", libs + ":" + filepath.Join(root, "usr/lib", filepath.Base(libs)),
			filepath.Join(root, "usr/bin/python3.11"), "-s", "-S", "-m", "compileall",
			"-q", "-b", "--invalidation-mode", "unchecked-hash", "-s", root, "-p", "/",
			filepath.Join(root, "usr/lib/python3.11"),
		},
		Env: []string{"PYTHONPATH=", "PYTHONHOME=" + filepath.Join(root, "usr")},
	})
	return root, err
}
