package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/davit-sh/davit/acceptance/internal/cache"
	"github.com/davit-sh/davit/acceptance/internal/host"
	"github.com/davit-sh/davit/acceptance/internal/process"
)

// building lets one build run at a time in this process: each uses all cores.
var building sync.Mutex

func binary(ctx context.Context, progress io.Writer, root string, s Server) (string, error) {
	r, ok := recipes[s]
	if !ok {
		return "", errors.New("no such server")
	}
	moduleDir := filepath.Join(root, "servers", r.module)
	key, err := r.key(ctx, moduleDir)
	if err != nil {
		return "", err
	}
	entry := fmt.Sprintf("servers/%s-%s", s, key)
	dir, err := cache.Once(entry, func(dir string) error {
		building.Lock()
		defer building.Unlock()
		if err := host.Ensure(ctx, progress, filepath.Join(root, "setup.sh"), r.needs()...); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(progress, "lab: building %s (once; a cold build takes minutes)\n", s)
		start := time.Now()
		if err := r.build(ctx, moduleDir, filepath.Join(dir, string(s))); err != nil {
			return err
		}
		_, _ = fmt.Fprintf(progress, "lab: built %s in %s\n", s, time.Since(start).Round(time.Second))
		return nil
	})
	return filepath.Join(dir, string(s)), err
}

// key digests all that a binary depends on.
func (r recipe) key(ctx context.Context, moduleDir string) (string, error) {
	version, err := goVersion(ctx, moduleDir)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(moduleDir, name))
		if err != nil {
			return "", err
		}
		h.Write(text)
	}
	_, _ = fmt.Fprintf(h, "%q %+v %s %s/%s", r.args("", "", "."), r, version, runtime.GOOS, runtime.GOARCH)
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

var goVersions sync.Map // folder of a module -> version of the toolchain it uses

func goVersion(ctx context.Context, moduleDir string) (string, error) {
	if version, ok := goVersions.Load(moduleDir); ok {
		return version.(string), nil
	}
	out, err := goCommand(ctx, moduleDir, nil, "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	version := strings.TrimSpace(string(out))
	goVersions.Store(moduleDir, version)
	return version, nil
}

// args are those of go build.
func (r recipe) args(ldflags, out, pkg string) []string {
	return []string{
		"build", "-trimpath", "-buildvcs=false",
		"-tags", r.tags, "-ldflags", strings.TrimSpace("-s -w " + ldflags), "-o", out, pkg,
	}
}

func (r recipe) build(ctx context.Context, moduleDir, out string) error {
	env := []string{"CGO_ENABLED=0"}
	if r.cgo {
		env = []string{"CGO_ENABLED=1"}
	}
	ldflags, err := r.filledLdflags(ctx, moduleDir)
	if err != nil {
		return err
	}
	if r.generate == nil {
		_, err := goCommand(ctx, moduleDir, env, r.args(ldflags, out, r.pkg)...)
		return err
	}
	source := filepath.Join(filepath.Dir(out), "source") // a build that is killed leaves nothing elsewhere
	if err := r.writableCopy(ctx, moduleDir, source); err != nil {
		return err
	}
	generate := append([]string{"generate", "-tags", r.tags}, r.generate...)
	if _, err := goCommand(ctx, source, nil, generate...); err != nil {
		return err
	}
	if _, err := goCommand(ctx, source, env, r.args(ldflags, out, ".")...); err != nil {
		return err
	}
	return os.RemoveAll(source)
}

// filledLdflags tells the server its own version, as a release would.
func (r recipe) filledLdflags(ctx context.Context, moduleDir string) (string, error) {
	if r.version == "" {
		return r.ldflags, nil
	}
	out, err := goCommand(ctx, moduleDir, nil, "list", "-m", "-f", "{{.Version}}", r.version)
	if err != nil {
		return "", err
	}
	version := strings.TrimPrefix(strings.TrimSpace(string(out)), "v")
	parts := strings.SplitN(version, ".", 3)
	if len(parts) != 3 {
		return "", fmt.Errorf("%s has the version %q, not one of three parts", r.version, version)
	}
	return strings.NewReplacer("VERSION", version, "MAJOR", parts[0], "MINOR", parts[1]).Replace(r.ldflags), nil
}

// writableCopy copies the module r.pkg out of the read-only module cache. It is
// then its own main module, with the dependencies its authors pinned.
func (r recipe) writableCopy(ctx context.Context, moduleDir, target string) error {
	out, err := goCommand(ctx, moduleDir, nil, "mod", "download", "-json", r.pkg)
	if err != nil {
		return err
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return fmt.Errorf("go mod download %s: %w", r.pkg, err)
	}
	err = os.CopyFS(target, os.DirFS(module.Dir))
	if err == nil {
		err = filepath.WalkDir(target, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.Type()&os.ModeSymlink != 0 {
				return err
			}
			return os.Chmod(path, 0o755)
		})
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", r.pkg, err)
	}
	return nil
}

// goCommand runs the Go command at low priority, free of the user's settings.
func goCommand(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	flags := "GOFLAGS=-p=" + strconv.Itoa(max(2, runtime.NumCPU()))
	return process.Run(ctx, process.Command{
		Name: "go " + args[0],
		Args: append([]string{"nice", "-n", "10", "go"}, args...),
		Env:  append([]string{"GOWORK=off", flags, "GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH}, env...),
		Dir:  dir,
	})
}
