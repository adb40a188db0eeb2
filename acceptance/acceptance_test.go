// Package acceptance shows davit at work on real servers.
package acceptance

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/davit-sh/davit/acceptance/lab"
)

// servers is the lab that all tests of this package share; davitBinary is the product.
var (
	servers     *lab.Lab
	davitBinary string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "davit-bin-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	davitBinary = filepath.Join(dir, "davit")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", davitBinary, "./cmd/davit")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building davit: %v\n%s", err, out)
		return 1
	}
	return lab.Run(m, &servers, lab.Options{Registry: true, AuthRegistry: true, Gitea: true, BuildKit: true, Kubernetes: true})
}

// workspace is a folder with a stack, and the environment davit runs in.
type workspace struct {
	t   testing.TB
	dir string
	env []string
}

func newWorkspace(t testing.TB) *workspace {
	t.Helper()
	w := &workspace{t: t, dir: t.TempDir()}
	w.env = append(os.Environ(), servers.Env()...)
	w.setenv("HOME", w.dir)
	w.setenv("DAVIT_CACHE_DIR", filepath.Join(w.dir, ".cache"))
	return w
}

func (w *workspace) setenv(name, value string) { w.env = append(w.env, name+"="+value) }

func (w *workspace) write(name, text string) {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// result is what a command printed and how it ended.
type result struct {
	stdout, stderr string
	code           int
}

// davit runs the command in the workspace.
func (w *workspace) davit(args ...string) result { return w.run(davitBinary, args...) }

// must runs davit and wants exit code 0.
func (w *workspace) must(args ...string) result {
	w.t.Helper()
	r := w.davit(args...)
	if r.code != 0 {
		w.t.Fatalf("davit %s: exit %d\n%s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

func (w *workspace) run(command string, args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := result{stdout: out.String(), stderr: errs.String()}
	if err != nil {
		r.code = cmd.ProcessState.ExitCode()
		if r.code <= 0 {
			w.t.Fatalf("%s %v: %v\n%s%s", command, args, err, r.stdout, r.stderr)
		}
	}
	w.tell(command, args, r)
	return r
}

// tell prints what a person would see when the demo runs.
func (w *workspace) tell(command string, args []string, r result) {
	if os.Getenv("DAVIT_DEMO") == "" {
		return
	}
	fmt.Printf("\n$ %s %s\n%s%s", filepath.Base(command), strings.Join(args, " "), r.stderr, r.stdout)
}

// chapter tells in the demo what comes next.
func chapter(format string, args ...any) {
	if os.Getenv("DAVIT_DEMO") != "" {
		fmt.Printf("\n# "+format+"\n", args...)
	}
}

// git runs git in a folder and wants it to succeed.
func (w *workspace) git(dir string, args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=Smart Biz", "-c", "user.email=smartbiz@example.com", "-c", "init.defaultBranch=main", "-C", dir}, args...)...)
	cmd.Env = w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// wants checks that a text has all of the parts.
func wants(t testing.TB, what, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Fatalf("%s lacks %q:\n%s", what, p, text)
		}
	}
}
