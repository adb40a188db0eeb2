// Package triggers_test measures how soon davit serve notices what is new: by the webhook of a real Git host, by a call for a registry, and by
// looking from time to time.
package triggers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/davit-sh/davit/acceptance/lab"
)

var (
	servers *lab.Lab
	davit   string // the command under test
)

const secret = "a-secret-of-the-tests-0123456789"

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
	return lab.Run(m, &servers, lab.Options{Registry: true, Gitea: true})
}

// pipeline is a stack with a repository on the Git host, an image in the registry, and a folder that it delivers to.
type pipeline struct {
	t          *testing.T
	dir, clone string
	repo       *lab.Repository
	image      string
	hooks      string // address

	mu    sync.Mutex
	lines []string
}

func newPipeline(t *testing.T) *pipeline {
	t.Helper()
	p := &pipeline{t: t, dir: t.TempDir(), clone: t.TempDir()}
	id := fmt.Sprintf("t%d", time.Now().UnixNano())
	var err error
	if p.repo, err = servers.Gitea.CreateRepository(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	p.image = servers.Registry.Image(id)
	if host, repository, ok := strings.Cut(p.image, "/"); ok {
		repository, _, _ = strings.Cut(repository, ":")
		p.image = host + "/" + repository
	}
	p.git("init", "-q", "-b", "main")
	p.push("one")
	p.tag("1.0.0")
	stack := fmt.Sprintf(`
variable "token" { sensitive = true }
source "git" "x" {
  url    = %q
  branch = "main"
  token  = var.token
}
image "registry" "x" { repository = %q }
policy "semver" "x" {
  image = image.registry.x
  range = ">=1.0.0"
}
application "manifests" "x" {
  source    = source.git.x
  path      = "deploy"
  directory = "out"
  images    = { app = policy.semver.x.ref }
}
`, p.repo.CloneURL, p.image)
	if err := os.WriteFile(filepath.Join(p.dir, "davit.hcl"), []byte(stack), 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pipeline) git(args ...string) {
	p.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=Test", "-c", "user.email=test@example.com", "-C", p.clone}, args...)...)
	cmd.Env = append(os.Environ(), servers.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

func (p *pipeline) push(word string) {
	p.t.Helper()
	text := "apiVersion: v1\nkind: Pod\nmetadata: {name: x, labels: {word: " + word + "}}\nspec: {containers: [{name: x, image: app}]}\n"
	file := filepath.Join(p.clone, "deploy", "pod.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.git("add", "-A")
	p.git("commit", "-q", "-m", word)
	p.git("push", "-q", p.repo.TokenURL, "HEAD:main")
}

func (p *pipeline) tag(tag string) {
	p.t.Helper()
	ref, err := name.NewTag(p.image+":"+tag, name.Insecure)
	if err != nil {
		p.t.Fatal(err)
	}
	image, err := random.Image(64, 1)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		p.t.Fatal(err)
	}
}

// serve runs davit serve until the test ends.
func (p *pipeline) serve(interval string) {
	p.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.hooks = l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, davit, "serve", "-stack", ".", "-verbose", "-interval", interval, "-listen=off", "-hook-listen", p.hooks,
		"-hook", "git=gitea:env:HOOK_SECRET", "-hook", "registry=distribution:env:HOOK_SECRET")
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), servers.Env()...)
	cmd.Env = append(cmd.Env, "DAVIT_CACHE_DIR="+filepath.Join(p.dir, ".cache"), "DAVIT_VAR_token="+servers.Gitea.Token, "HOOK_SECRET="+secret, "HOME="+p.dir)
	out, err := cmd.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.lines = append(p.lines, lines.Text())
			p.mu.Unlock()
		}
	}()
	p.t.Cleanup(func() {
		cancel()
		<-done
		_ = cmd.Wait() // it was killed
		text := strings.Join(p.lines, "\n")
		if p.t.Failed() {
			p.t.Log(text)
		}
		if strings.Contains(text, secret) || strings.Contains(text, servers.Gitea.Token) {
			p.t.Error("a secret is in the log")
		}
	})
	p.delivered("word: one", "1.0.0")
}

// delivered waits until the folder has all of some texts, and returns how long it took.
func (p *pipeline) delivered(texts ...string) time.Duration {
	p.t.Helper()
	begun := time.Now()
	for {
		b := p.out()
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(b, text) }) {
			return time.Since(begun).Round(time.Millisecond)
		}
		if time.Since(begun) > 50*time.Second {
			p.t.Fatalf("%q was not delivered after %s:\n%s", texts, time.Since(begun), b)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (p *pipeline) out() string {
	var all []byte
	_ = filepath.WalkDir(filepath.Join(p.dir, "out"), func(path string, _ os.DirEntry, _ error) error {
		b, _ := os.ReadFile(path) // a folder has no text
		all = append(all, b...)
		return nil
	})
	return string(all)
}

// passes are the reconciles since a line of the log, by their triggers.
func (p *pipeline) passes(since int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, line := range p.lines[since:] {
		var l struct {
			Message  string `json:"msg"`
			Triggers string `json:"triggers"`
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.Message == "reconciled" {
			list = append(list, l.Triggers)
		}
	}
	return list
}

func (p *pipeline) now() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines)
}

// addHook makes a webhook of the repository at the Git host.
func (p *pipeline) addHook() {
	p.t.Helper()
	body, err := json.Marshal(map[string]any{"type": "gitea", "active": true, "events": []string{"push"},
		"config": map[string]string{"url": "http://" + p.hooks + "/hooks/git", "content_type": "json", "secret": secret}})
	if err != nil {
		p.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, servers.Gitea.URL+"/api/v1/repos/"+p.repo.FullName+"/hooks", bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "token "+servers.Gitea.Token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusCreated {
		p.t.Fatalf("adding the webhook: %s", res.Status)
	}
}

// notify calls as the registry does when an image was pushed.
func (p *pipeline) notify(token string) int {
	p.t.Helper()
	host, repository, _ := strings.Cut(p.image, "/")
	body := fmt.Sprintf(`{"events": [{"action": "push", "target": {"repository": %q, "tag": "x"}, "request": {"host": %q}}]}`, repository, host)
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.hooks+"/hooks/registry", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode
}

// With an interval of an hour, only webhooks can be the reason.
func TestWebhooks(t *testing.T) {
	p := newPipeline(t)
	p.serve("1h")
	p.addHook()
	time.Sleep(2 * time.Second)
	since := p.now()
	for i := range 3 {
		word := fmt.Sprint("hooked-", i)
		p.push(word)
		t.Logf("a push is delivered after %s, by the webhook", p.delivered("word: "+word))
	}
	for i := range 3 {
		tag := fmt.Sprintf("1.1.%d", i)
		p.tag(tag)
		if code := p.notify(secret); code != http.StatusAccepted {
			t.Fatalf("the call of the registry: %d", code)
		}
		t.Logf("an image is delivered after %s, by the webhook", p.delivered(tag))
	}
	p.tag("9.9.9")
	if code := p.notify("guess"); code != http.StatusUnauthorized {
		t.Errorf("a wrong token: %d", code)
	}
	time.Sleep(2 * time.Second)
	if strings.Contains(p.out(), "9.9.9") {
		t.Error("a wrong token was believed")
	}
	for _, pass := range p.passes(since) {
		if !strings.Contains(pass, "webhook") && !strings.Contains(pass, "applied") {
			t.Errorf("a pass because of %s", pass)
		}
	}
}

// Without webhooks, what is new is noticed by looking.
func TestPolls(t *testing.T) {
	p := newPipeline(t)
	p.serve("3s")
	time.Sleep(2 * time.Second)
	since := p.now()
	p.push("polled")
	t.Logf("a push is delivered after %s, with an interval of 3s", p.delivered("word: polled"))
	p.tag("1.2.0")
	t.Logf("an image is delivered after %s, with an interval of 3s", p.delivered("1.2.0"))
	time.Sleep(8 * time.Second)
	watched := 0
	for _, pass := range p.passes(since) {
		if strings.Contains(pass, "watch") {
			watched++
		}
	}
	if watched != 2 {
		t.Errorf("two changes made %d passes: %q", watched, p.passes(since))
	}
}
