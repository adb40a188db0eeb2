package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davit-sh/davit/plugins/registry/embedded"
	"github.com/davit-sh/davit/state/statetest"
)

// planted are secrets, by what they are. Each is random, and has characters that are written differently in JSON and URLs.
type planted map[string]string

func plant(names ...string) planted {
	p := planted{}
	for _, n := range names {
		p[n] = rand.Text()[:9] + `"<&` + rand.Text()[:9] + `\/+ =` + rand.Text()[:5]
	}
	return p
}

// leaking is a stack with secrets, and everything that was seen of it.
type leaking struct {
	*killing
	dir  string
	env  []string
	mu   sync.Mutex
	seen map[string][]byte // what was printed or listed, by where
}

// try runs a verb and keeps what it says.
func (l *leaking) try(args ...string) (string, error) {
	cmd := l.command(l.dir, args...)
	cmd.Env = append(cmd.Env, l.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	l.keep("stdout of davit "+strings.Join(args, " "), out.Bytes())
	l.keep("stderr of davit "+strings.Join(args, " "), errs.Bytes())
	return out.String() + errs.String(), err
}

func (l *leaking) ok(args ...string) string {
	l.Helper()
	out, err := l.try(args...)
	if err != nil {
		l.Fatalf("davit %v: %v\n%s", args, err, out)
	}
	return out
}

func (l *leaking) keep(where string, text []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[where] = append(l.seen[where], text...)
}

func (l *leaking) write(name, text string) {
	l.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		l.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.Fatal(err)
	}
}

// watchArguments keeps the arguments of all processes of the stack, until stop is called.
func (l *leaking) watchArguments() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			for _, args := range processes(l.dir) {
				l.mu.Lock()
				l.seen["arguments: "+args] = []byte(args)
				l.mu.Unlock()
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	return func() { cancel(); watching.Wait() }
}

// scan looks for the secrets in all that was seen, and in all files but those that the test or a person wrote.
func (l *leaking) scan(secrets planted, except func(secret, path string) bool) {
	l.Helper()
	looked, size := 0, 0
	look := func(where string, text []byte, allowed func(string) bool) {
		looked, size = looked+1, size+len(text)
		if z, err := gzip.NewReader(bytes.NewReader(text[max(0, bytes.Index(text, []byte{0x1f, 0x8b})):])); err == nil {
			inside, _ := io.ReadAll(z)
			text = append(bytes.Clone(text), inside...)
		}
		for name, secret := range secrets {
			if allowed != nil && allowed(name) {
				continue
			}
			for how, form := range everyForm(secret) {
				if i := bytes.Index(text, []byte(form)); i >= 0 {
					l.Errorf("%s has the %s (as %s): ...%q...", where, name, how, text[max(0, i-100):min(len(text), i+len(form)+40)])
				}
			}
		}
	}
	for where, text := range l.seen {
		look(where, text, nil)
	}
	err := filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(l.dir, path)
		look(rel, text, func(secret string) bool { return except(secret, rel) })
		return err
	})
	if err != nil {
		l.Fatal(err)
	}
	statetest.Numbers(l, "planted secrets: %d in %d forms, looked for in %d places, %d bytes", len(secrets), len(everyForm("")), looked, size)
}

const leakingStack = `davit {
  required_plugins {
    kill = { source = "./plugins/killplugin" }
  }
}
variable "key" {
  type      = string
  sensitive = true
}
variable "text" { default = "one" }
variable "fault" { default = false }
variable "broken" { default = false }
variable "url" {
  type      = string
  sensitive = true
}
variable "registry" { type = string }
source "git" "repo" {
  url    = "REPO"
  branch = "main"
}
application "leak" "it" {
  key   = var.key
  text  = var.text
  fault = var.fault
}
application "leak" "other" {
  count = var.fault ? 1 : 0
  key   = application.leak.it.token
  text  = "other"
}
application "manifests" "m" {
  source    = source.git.repo
  path      = "deploy"
  directory = "out"
  namespace = "shop"
}
source "git" "broken" {
  count  = var.broken ? 1 : 0
  url    = var.url
  branch = "main"
}
image "registry" "broken" {
  count      = var.broken ? 1 : 0
  repository = "${var.registry}/nothing"
}
output "key" {
  value     = var.key
  sensitive = true
}
output "token" {
  value     = application.leak.it.token
  sensitive = true
}
`

// No secret is in anything that davit writes, prints, or shows of itself, whatever a plugin says.
func TestNoSecretLeaks(t *testing.T) {
	t.Parallel()
	secrets := plant("sensitive variable", "changed variable", "environment's credential", "URL's password", "Kubernetes Secret", "registry's password")
	l := &leaking{killing: newKilling(t, killPlace{}, "file", 1), seen: map[string][]byte{}}
	l.dir = l.newStack()
	registry, stop, err := startEmbedded(t)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	auth := base64.StdEncoding.EncodeToString([]byte("user:" + secrets["registry's password"]))
	secrets["registry's auth"] = auth
	l.write("docker/config.json", fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, registry, auth))
	l.write("repo/deploy/secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\ndata: {password: "+
		base64.StdEncoding.EncodeToString([]byte(secrets["Kubernetes Secret"]))+"}\n")
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-q", "-m", "all"}} {
		if out, err := exec.Command("git", append([]string{"-C", filepath.Join(l.dir, "repo")}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	l.write("davit.hcl", strings.ReplaceAll(leakingStack, "REPO", filepath.Join(l.dir, "repo")))
	password := everyForm(secrets["URL's password"])["path"]
	l.env = []string{
		"DAVIT_VAR_key=" + secrets["sensitive variable"], "DAVIT_VAR_url=http://ada:" + password + "@" + registry + "/shop.git", "DAVIT_VAR_registry=" + registry,
		"AWS_SECRET_ACCESS_KEY=" + secrets["environment's credential"], "DOCKER_CONFIG=" + filepath.Join(l.dir, "docker"),
	}
	done := l.watchArguments()
	l.everyVerb(secrets)
	done()
	l.scan(secrets, func(secret, path string) bool {
		// What a person has written down, or asked to have rendered, is where it was put.
		given := strings.HasPrefix(path, "repo"+string(filepath.Separator)) || strings.HasPrefix(path, ".cache") || strings.HasPrefix(path, "out")
		return secret == "Kubernetes Secret" && given || strings.HasPrefix(secret, "registry's") && strings.HasPrefix(path, "docker")
	})
}

// everyVerb does what people do with a stack, and sees that a change of a secret is noticed though no secret is kept.
func (l *leaking) everyVerb(secrets planted) {
	l.Helper()
	l.ok("init")
	l.ok("plan")
	l.ok("plan", "-json")
	l.ok("plan", "-out=p")
	l.ok("show", "p")
	l.ok("show", "-json", "p")
	l.ok("apply", "p")
	if out := l.ok("plan"); !strings.Contains(out, "No changes") {
		l.Errorf("the same secret is a change:\n%s", out)
	}
	l.env = append(l.env, "DAVIT_VAR_key="+secrets["changed variable"])
	if out := l.ok("plan"); !strings.Contains(out, "sensitive key changed") {
		l.Errorf("a secret that changed is not seen:\n%s", out)
	}
	l.ok("apply", "-auto-approve", "-json")
	l.ok("apply", "-auto-approve", "-var", "text=two")
	for _, fault := range [][]string{{"-var", "fault=true"}, {"-var", "broken=true"}} {
		for _, verb := range [][]string{{"apply", "-auto-approve"}, {"apply", "-auto-approve", "-json"}} {
			if out, err := l.try(append(verb, fault...)...); err == nil {
				l.Errorf("davit %v %v did not fail:\n%s", verb, fault, out)
			}
		}
	}
	l.ok("apply", "-auto-approve", "-var", "text=two")
	// A key that is lost is no failure: the plugins look, and from the next apply on a change is seen again.
	if err := os.Remove(filepath.Join(l.dir, ".davit", "state.key")); err != nil {
		l.Fatal(err)
	}
	if out := l.ok("plan", "-var", "text=two"); !strings.Contains(out, "No changes") {
		l.Errorf("a lost key is a change:\n%s", out)
	}
	l.ok("apply", "-auto-approve", "-var", "text=two")
	l.env = append(l.env, "DAVIT_VAR_key="+secrets["sensitive variable"])
	if out := l.ok("plan", "-var", "text=two"); !strings.Contains(out, "sensitive key changed") {
		l.Errorf("after the key was lost a secret that changed is not seen:\n%s", out)
	}
	for _, args := range [][]string{{"state", "pull"}, {"state", "show", "application.leak.it"}, {"state", "show", "-json", "application.leak.it"}, {"state", "operations"},
		{"history", "application.leak.it"}, {"history", "-json", "application.leak.it"}, {"why", "application.leak.it"}, {"output"}, {"graph"}, {"validate", "-json"},
		{"refresh", "-auto-approve", "-var", "text=two"}, {"destroy", "-auto-approve"}, {"state", "pull"}, {"history", "application.leak.it"}} {
		l.ok(args...)
	}
}

// startEmbedded starts a registry with nothing in it.
func startEmbedded(t *testing.T) (address string, stop func(), err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	address, wait, err := embedded.Serve(ctx, "127.0.0.1:0", t.TempDir())
	return address, func() {
		cancel()
		_ = wait()
	}, err
}
