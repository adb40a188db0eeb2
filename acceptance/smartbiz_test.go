package acceptance

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// smartbiz is the example's pipeline with a repository in Gitea.
type smartbiz struct {
	*workspace
	namespace string
	clone     string // work tree
}

func newSmartbiz(t testing.TB) *smartbiz {
	t.Helper()
	s := &smartbiz{workspace: newWorkspace(t), namespace: fmt.Sprintf("smartbiz-%d", time.Now().UnixNano()%1e9)}
	s.clone = filepath.Join(s.dir, "clone")
	repo, err := servers.Gitea.CreateRepository(t.Context(), s.namespace)
	if err != nil {
		t.Fatal(err)
	}
	stack, err := os.ReadFile("../examples/smartbiz/davit.hcl")
	if err != nil {
		t.Fatal(err)
	}
	s.write("davit.hcl", string(stack))
	if err := os.CopyFS(s.clone, os.DirFS("../examples/smartbiz/app")); err != nil {
		t.Fatal(err)
	}
	s.git(s.clone, "init", "-q")
	s.git(s.clone, "remote", "add", "origin", repo.TokenURL)
	s.setenv("DAVIT_GIT_TOKEN", servers.Gitea.Token)
	s.setenv("DAVIT_VAR_repository", repo.CloneURL)
	s.setenv("DAVIT_VAR_registry", servers.Registry.Image(s.namespace))
	s.setenv("DAVIT_VAR_base_image", servers.Registry.Image("base/python:3.11"))
	s.setenv("DAVIT_VAR_namespace", s.namespace)
	return s
}

// push commits everything and pushes it.
func (s *smartbiz) push(message string) {
	s.t.Helper()
	s.git(s.clone, "add", "-A")
	s.git(s.clone, "commit", "-q", "-m", message)
	s.git(s.clone, "push", "-q", "origin", "HEAD:main")
}

// edit replaces text in a file of the repository.
func (s *smartbiz) edit(file, old, replacement string) {
	s.t.Helper()
	path := filepath.Join(s.clone, file)
	b, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(b), old) {
		s.t.Fatalf("%s has no %q", file, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(b), old, replacement, 1)), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *smartbiz) kubectl(args ...string) string {
	s.t.Helper()
	r := s.run(servers.Kubernetes.Kubectl, append([]string{"-n", s.namespace}, args...)...)
	if r.code != 0 {
		s.t.Fatalf("kubectl %v: %s", args, r.stderr)
	}
	return r.stdout
}

// release asks the pods over HTTP which release they are; all of them must agree.
func (s *smartbiz) release() string {
	s.t.Helper()
	ips := strings.Fields(s.kubectl("get", "pods", "-l", "app=api", "--field-selector=status.phase=Running", "-o",
		`jsonpath={range .items[*]}{.metadata.deletionTimestamp}|{.status.podIP}{"\n"}{end}`))
	found := ""
	for _, line := range ips {
		deleted, ip, _ := strings.Cut(line, "|")
		if deleted != "" || ip == "" {
			continue
		}
		resp, err := (&http.Client{Timeout: 5 * time.Second}).Get("http://" + ip + ":8080/")
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		var body struct {
			Release string `json:"release"`
		}
		if err != nil || json.Unmarshal(b, &body) != nil {
			s.t.Fatalf("the pod answered %q (%v)", b, err)
		}
		if found != "" && found != body.Release {
			s.t.Fatalf("pods answer both %q and %q", found, body.Release)
		}
		found = body.Release
	}
	return found
}

// TestSmartbiz is the main job whole: from a push to a pod that answers, planned, reviewed and applied.
func TestSmartbiz(t *testing.T) {
	s := newSmartbiz(t)

	chapter("A first push: one plan shows the build, the choice and what will run")
	s.push("The API")
	r := s.davit("plan", "-out=first.davit", "-detailed-exitcode")
	if r.code != 2 {
		t.Fatalf("plan: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	wants(t, "the first plan", r.stdout, "Plan: 1 to build, 1 to create, 0 to delete, 1 output to change.", "* build.buildx.api will be built",
		"it has not been built before", "policy.semver.api  chooses 1.0.1", "+ application.kubernetes.api will be created", "Deployment "+s.namespace+"/api",
		"(known after build.buildx.api)", "linux/arm/v7")

	chapter("What was reviewed is applied")
	r = s.must("apply", "first.davit")
	wants(t, "the first apply", r.stdout, "Apply: 2 done, 0 failed, 0 not started.")
	if got := s.release(); got != "one" {
		t.Fatalf("the pod says release %q, want \"one\"", got)
	}
	s.checkPlatforms("1.0.1")

	chapter("Nothing is left to do")
	s.noChanges()

	chapter("A commit that none of the triggers names changes nothing")
	if err := os.WriteFile(filepath.Join(s.clone, "NOTES.md"), []byte("nothing to see\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.push("Take notes")
	s.noChanges()

	chapter("A new release: the plan names the commit, the reason, the old and the new image, the fields")
	s.edit("apps/api/main.py", `RELEASE = "one"`, `RELEASE = "two"`)
	s.edit("apps/api/deploy/deployment.yaml", "replicas: 1", "replicas: 2")
	s.push("Release two")
	r = s.must("plan", "-out=second.davit")
	wants(t, "the second plan", r.stdout, "Plan: 1 to build, 1 to update, 0 to delete, 1 output to change.", "main.py", "1.0.1 -> 1.0.3", "Release two",
		"~ Deployment "+s.namespace+"/api", "spec.replicas: 1 -> 2", "containers[name=api].image")
	wants(t, "the Markdown", s.must("show", "-markdown", "second.davit").stdout, "## davit plan", "Release two", "```diff")
	s.must("apply", "second.davit")
	if got := s.release(); got != "two" {
		t.Fatalf("the pods say release %q, want \"two\"", got)
	}
	s.noChanges()
	r = s.davit("apply", "second.davit")
	if r.code != 1 {
		t.Fatalf("a plan was applied twice: exit %d", r.code)
	}
	wants(t, "the second apply of a plan", r.stderr, "the plan is stale")

	chapter("Somebody edits the Deployment by hand: seen, and mended")
	s.kubectl("patch", "deployment", "api", "--field-manager=kubectl-edit", "-p", `{"spec":{"replicas":1}}`)
	r = s.must("plan")
	wants(t, "the plan after an edit", r.stdout, "Plan: 1 to update", "kubectl-edit", "spec.replicas: 1 -> 2")
	s.must("apply", "-auto-approve")
	s.noChanges()

	chapter("A commit that does not build: the running version is untouched")
	s.edit("apps/api/main.py", `RELEASE = "two"`, `RELEASE = "three"`)
	s.edit("apps/api/Dockerfile", "RUN python3", "RUN echo 'it breaks here' && false && python3")
	s.push("Break it")
	r = s.davit("apply", "-auto-approve")
	if r.code != 1 {
		t.Fatalf("a failing build was applied: exit %d\n%s", r.code, r.stdout)
	}
	wants(t, "the failed apply", r.stdout+r.stderr, "it breaks here", "Apply: 0 done, 1 failed, 0 not started. 1 needed no change.", "build.buildx.api")
	if got := s.release(); got != "two" {
		t.Fatalf("after a failed build the pods say release %q, want \"two\"", got)
	}

	chapter("The commit is mended, and davit goes on")
	s.edit("apps/api/Dockerfile", "RUN echo 'it breaks here' && false && python3", "RUN python3")
	s.push("Mend it")
	s.must("apply", "-auto-approve")
	if got := s.release(); got != "three" {
		t.Fatalf("the pods say release %q, want \"three\"", got)
	}
	s.noChanges()

	chapter("Destroy leaves nothing behind")
	r = s.must("destroy", "-auto-approve")
	wants(t, "the destroy", r.stdout, "1 to forget, 1 to delete", "Deployment "+s.namespace+"/api", "Apply: 2 done")
	if got := s.run(servers.Kubernetes.Kubectl, "get", "namespace", s.namespace); got.code == 0 {
		t.Fatalf("the namespace is still there:\n%s", got.stdout)
	}
	if got := s.must("state", "list").stdout; got != "" {
		t.Fatalf("the state still has:\n%s", got)
	}
}

func (s *smartbiz) noChanges() {
	s.t.Helper()
	r := s.davit("plan", "-detailed-exitcode")
	if r.code != 0 || !strings.Contains(r.stdout, "No changes.") {
		s.t.Fatalf("plan: exit %d, want no changes\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// checkPlatforms looks at the pushed index.
func (s *smartbiz) checkPlatforms(tag string) {
	s.t.Helper()
	ref, err := name.ParseReference(servers.Registry.Image(s.namespace + "/api:" + tag))
	if err != nil {
		s.t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		s.t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		s.t.Fatal(err)
	}
	var got []string
	for _, m := range manifest.Manifests {
		got = append(got, m.Platform.String())
	}
	slices.Sort(got)
	if want := []string{"linux/amd64", "linux/arm/v7", "linux/arm64"}; !slices.Equal(got, want) {
		s.t.Fatalf("the pushed index has %v, want %v", got, want)
	}
}
