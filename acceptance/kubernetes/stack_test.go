package kubernetes_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davit-sh/davit/acceptance/lab"
)

var (
	servers *lab.Lab
	davit   string // the command under test
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "davit-acceptance-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	davit = filepath.Join(dir, "davit")
	build := exec.Command("go", "build", "-C", filepath.Join("..", ".."), "-o", davit, "./cmd/davit")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building davit: %v\n%s", err, out)
		return 1
	}
	return lab.Run(m, &servers, lab.Options{Kubernetes: true})
}

// stack is a stack of its own with a Git repository as its source and a namespace that nobody else uses.
type stack struct {
	t         *testing.T
	dir       string
	repo      string
	namespace string
	kube      string // kubeconfig
	mu        sync.Mutex
	said      bytes.Buffer // everything that davit has ever written to its streams
}

var counter struct {
	sync.Mutex
	n int
}

func newStack(t *testing.T) *stack {
	t.Helper()
	counter.Lock()
	defer counter.Unlock()
	counter.n++
	s := &stack{t: t, dir: t.TempDir(), repo: t.TempDir(), namespace: fmt.Sprintf("k%d-%d", os.Getpid(), counter.n), kube: servers.Kubernetes.Kubeconfig}
	s.git("init", "--quiet", "--initial-branch=main")
	s.stack(s.application("web", ""))
	return s
}

// application is a block that applies the folder of its name.
func (s *stack) application(name, more string) string {
	return fmt.Sprintf("application \"kubernetes\" %q {\n  source    = source.git.repo\n  path      = %q\n  namespace = %q\n  timeout   = \"90s\"\n%s}\n", name, name, s.namespace, more)
}

// stack writes the stack's file.
func (s *stack) stack(blocks ...string) {
	s.t.Helper()
	text := fmt.Sprintf("source \"git\" \"repo\" {\n  url    = %q\n  branch = \"main\"\n}\n", s.repo)
	s.write(s.dir, "main.hcl", text+strings.Join(blocks, ""))
}

func (s *stack) write(dir, name, content string) {
	s.t.Helper()
	file := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o644)); err != nil {
		s.t.Fatal(err)
	}
}

// commit makes the repository hold exactly these files: names and contents in turn.
func (s *stack) commit(files ...string) {
	s.t.Helper()
	entries, err := os.ReadDir(s.repo)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != ".git" {
			if err := os.RemoveAll(filepath.Join(s.repo, e.Name())); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	for i := 0; i < len(files); i += 2 {
		s.write(s.repo, files[i], files[i+1])
	}
	s.git("add", "--all")
	s.git("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "--quiet", "--message=change", "--allow-empty")
}

func (s *stack) git(args ...string) {
	s.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = s.repo
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

// command is davit in the stack's directory.
func (s *stack) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, davit, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), servers.Env()...)
	cmd.Env = append(cmd.Env, "KUBECONFIG="+s.kube, "XDG_CACHE_HOME="+filepath.Join(s.dir, ".cache"), "NO_COLOR=1")
	return cmd
}

// davit runs the command and returns what it wrote and its exit code.
func (s *stack) davit(args ...string) (string, int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	out, err := s.command(ctx, args...).CombinedOutput()
	s.mu.Lock()
	s.said.Write(out)
	s.mu.Unlock()
	code := 0
	if err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			s.t.Fatalf("davit %q: %v\n%s", args, err, out)
		}
		code = exit.ExitCode()
	}
	return string(out), code
}

// apply applies what is planned now; it must succeed.
func (s *stack) apply() string {
	s.t.Helper()
	out, code := s.davit("apply", "-auto-approve", "-verbose")
	if code != 0 {
		s.t.Fatalf("apply ended with %d:\n%s", code, out)
	}
	return out
}

// fails applies what is planned now; it must fail and say all of these.
func (s *stack) fails(says ...string) {
	s.t.Helper()
	out, code := s.davit("apply", "-auto-approve", "-verbose")
	if code != 1 {
		s.t.Fatalf("apply ended with %d, not 1:\n%s", code, out)
	}
	contains(s.t, out, says...)
}

// changes is a plan as its items: "update Deployment web: spec.replicas 2 -> 3".
func (s *stack) changes() []string {
	s.t.Helper()
	out, code := s.davit("plan", "-json")
	if code != 0 {
		s.t.Fatalf("plan ended with %d:\n%s", code, out)
	}
	var plan struct {
		Changes []struct {
			Reasons []string
			Items   []struct {
				Kind, Name, Action string
				Fields             []struct {
					Path          string
					Before, After json.RawMessage
					Sensitive     bool
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(out[strings.IndexByte(out, '{'):]), &plan); err != nil {
		s.t.Fatalf("%v:\n%s", err, out)
	}
	var lines []string
	for _, c := range plan.Changes {
		for _, r := range c.Reasons {
			lines = append(lines, "because "+strings.ReplaceAll(r, s.namespace, "NS"))
		}
		for _, i := range c.Items {
			if i.Action != "update" && i.Action != "replace" {
				lines = append(lines, strings.ReplaceAll(fmt.Sprintf("%s %s %s", i.Action, i.Kind, i.Name), s.namespace, "NS"))
				continue
			}
			for _, f := range i.Fields {
				lines = append(lines, strings.ReplaceAll(fmt.Sprintf("%s %s %s: %s: %s -> %s", i.Action, i.Kind, i.Name, f.Path, side(f.Before), side(f.After)), s.namespace, "NS"))
			}
		}
	}
	return lines
}

func side(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "-"
	}
	var line bytes.Buffer
	if err := json.Compact(&line, raw); err != nil {
		return string(raw)
	}
	return line.String()
}

// unchanged says that a plan has nothing to do.
func (s *stack) unchanged(when string) {
	s.t.Helper()
	if out, code := s.davit("plan", "-detailed-exitcode"); code != 0 {
		s.t.Errorf("%s, the plan ended with %d:\n%s", when, code, out)
	}
}

func (s *stack) kubectl(args ...string) string {
	s.t.Helper()
	out, err := s.tryKubectl(args...)
	if err != nil {
		s.t.Fatalf("kubectl %q: %v\n%s", args, err, out)
	}
	return out
}

func (s *stack) tryKubectl(args ...string) (string, error) {
	cmd := exec.Command(servers.Kubernetes.Kubectl, append([]string{"--kubeconfig", servers.Kubernetes.Kubeconfig, "--namespace", s.namespace}, args...)...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// gone says that an object is not in the cluster.
func (s *stack) gone(object string) {
	s.t.Helper()
	if out, err := s.tryKubectl("get", object); err == nil || !strings.Contains(out, "NotFound") {
		s.t.Errorf("%s is still there: %s", object, out)
	}
}

// noSecret looks for texts in everything that davit wrote, to its streams and to its files.
func (s *stack) noSecret(secrets ...string) {
	s.t.Helper()
	look := func(where string, content []byte) {
		for _, secret := range secrets {
			if bytes.Contains(content, []byte(secret)) {
				s.t.Errorf("the secret %q is in %s", secret, where)
			}
		}
	}
	look("davit's output", s.said.Bytes())
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(path, filepath.Join(s.dir, ".cache")) {
			return err // the cache has the source's own files
		}
		content, err := os.ReadFile(path)
		look(path, content)
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
}
