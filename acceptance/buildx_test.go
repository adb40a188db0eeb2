package acceptance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/davit-sh/davit/acceptance/lab"
)

// ways are the two ways to a builder, as a stack writes them.
func ways() map[string]string {
	return map[string]string{
		"daemon":  fmt.Sprintf("buildkit = %q", servers.BuildKit.Address),
		"builder": fmt.Sprintf("builder = %q", servers.BuildKit.Builder),
	}
}

func eachWay(t *testing.T, test func(t *testing.T, way string)) {
	t.Helper()
	for _, what := range slices.Sorted(maps.Keys(ways())) {
		t.Run(what, func(t *testing.T) { test(t, ways()[what]) })
	}
}

// buildStack is a stack of one build; %s are the repository and more arguments.
const buildStack = `
source "git" "repo" {
  url = "./repo"
}

variable "token" {
  type      = string
  sensitive = true
  default   = "none-at-all"
}

build "buildx" "app" {
  source     = source.git.repo
  context    = "app"
  platforms  = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
  repository = %q
  tag        = "1.0.${source.git.repo.commit_count}"
  %s
}
`

// project is a stack with a Git repository of its own, and names in the registry that nobody else uses.
type project struct {
	*workspace
	repo  string // work tree
	image string // where it is pushed
	base  string // its base image
}

var projects int

// newProject has a Dockerfile with steps that run on each platform, a stage that is named as its image
// is, and files copied from an image. BASE in the Dockerfile is the base image.
func newProject(t testing.TB, stack string, files map[string]string) *project {
	t.Helper()
	projects++
	namespace := fmt.Sprintf("buildx-%d-%d", os.Getpid(), projects)
	p := &project{workspace: newWorkspace(t), image: servers.Registry.Image(namespace + "/app"), base: servers.Registry.Image(namespace + "/base:1")}
	p.repo = filepath.Join(p.dir, "repo")
	p.moveBase("one")
	p.stack(p.image, stack)
	all := map[string]string{
		"app/Dockerfile": `FROM BASE AS base
RUN uname -m > /machine
FROM BASE
WORKDIR /app
COPY --from=base /machine /machine
COPY --chmod=0755 run.sh ./
COPY data ./data
RUN date > made
`,
		"app/run.sh":   "#!/bin/sh\necho one\n",
		"app/data/one": "1",
		"README":       "one",
	}
	maps.Copy(all, files)
	p.git(p.dir, "init", "-q", "repo")
	for name, text := range all {
		p.write(filepath.Join("repo", name), strings.ReplaceAll(text, "BASE", p.base))
	}
	p.commit("The app")
	return p
}

func (p *project) stack(image, more string) {
	p.write("davit.hcl", fmt.Sprintf(buildStack, image, more))
}

func (p *project) commit(message string) {
	p.t.Helper()
	p.git(p.repo, "add", "-A")
	p.git(p.repo, "commit", "-q", "-m", message)
}

// moveBase pushes another base image for the three platforms under the same tag, and returns the digest of the layer that is new.
func (p *project) moveBase(version string) (layer v1.Hash) {
	p.t.Helper()
	from := parse(p.t, servers.Registry.Image(lab.Busybox))
	index, err := remote.Index(from)
	if err != nil {
		p.t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "base-version", Mode: 0o644, Size: int64(len(version))}),
		func() error { _, err := io.WriteString(w, version); return err }(), w.Close()); err != nil {
		p.t.Fatal(err)
	}
	added, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		p.t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		p.t.Fatal(err)
	}
	var addenda []mutate.IndexAddendum
	for _, d := range manifest.Manifests {
		image, err := index.Image(d.Digest)
		if err != nil {
			p.t.Fatal(err)
		}
		if image, err = mutate.AppendLayers(image, added); err != nil {
			p.t.Fatal(err)
		}
		addenda = append(addenda, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: d.Platform}})
	}
	drop := func(v1.Descriptor) bool { return true }
	if err := remote.WriteIndex(parse(p.t, p.base), mutate.AppendManifests(mutate.RemoveManifests(index, drop), addenda...)); err != nil {
		p.t.Fatal(err)
	}
	if layer, err = added.Digest(); err != nil {
		p.t.Fatal(err)
	}
	return layer
}

func parse(t testing.TB, reference string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(reference)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// pushed reads what is in the registry: the index, and the image of each platform.
func (p *project) pushed(tag string) (*v1.IndexManifest, map[string]v1.Image) {
	p.t.Helper()
	index, err := remote.Index(parse(p.t, p.image+":"+tag), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		p.t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		p.t.Fatal(err)
	}
	images := map[string]v1.Image{}
	for _, d := range manifest.Manifests {
		if images[d.Platform.String()], err = index.Image(d.Digest); err != nil {
			p.t.Fatal(err)
		}
	}
	return manifest, images
}

// files reads all of an image's files; the last layer that has one wins.
func files(t testing.TB, image v1.Image) (map[string]string, map[string]*tar.Header) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	texts, headers := map[string]string{}, map[string]*tar.Header{}
	for _, l := range layers[1:] { // the first is busybox
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		for in := tar.NewReader(z); ; {
			h, err := in.Next()
			if err != nil {
				if errors.Is(err, io.EOF) {
					break
				}
				t.Fatal(err)
			}
			b, err := io.ReadAll(in)
			if err != nil {
				t.Fatal(err)
			}
			texts[strings.TrimSuffix(h.Name, "/")], headers[strings.TrimSuffix(h.Name, "/")] = string(b), h
		}
		_ = r.Close()
	}
	return texts, headers
}

func (p *project) noChanges() {
	p.t.Helper()
	r := p.davit("plan", "-detailed-exitcode")
	if r.code != 0 || !strings.Contains(r.stdout, "No changes.") {
		p.t.Fatalf("plan: exit %d, want no changes\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// The story of a build: built once, found again, and built again only when something that counts changes.
func TestBuildx(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		p := newProject(t, way, nil)
		wants(t, "the first plan", p.must("plan").stdout, "Plan: 1 to build", "it has not been built before", "linux/arm/v7")
		wants(t, "the log", p.must("apply", "-auto-approve").stderr, "linux/arm64 stage-1", "RUN date > made")

		manifest, images := p.pushed("1.0.1")
		if got := slices.Sorted(maps.Keys(images)); !slices.Equal(got, []string{"linux/amd64", "linux/arm/v7", "linux/arm64"}) {
			t.Fatalf("platforms %v", got)
		}
		machines := map[string]string{"linux/amd64": "x86_64", "linux/arm64": "aarch64", "linux/arm/v7": "armv7l"}
		for platform, image := range images {
			texts, headers := files(t, image)
			if got := strings.TrimSpace(texts["machine"]); got != machines[platform] {
				t.Errorf("%s was built on %q", platform, got)
			}
			if headers["app/run.sh"].Mode != 0o755 || headers["app/data/one"].Mode != 0o644 || headers["app/data"].Mode != 0o755 {
				t.Errorf("%s: modes %o, %o, %o", platform, headers["app/run.sh"].Mode, headers["app/data/one"].Mode, headers["app/data"].Mode)
			}
			if texts["base-version"] != "one" {
				t.Errorf("%s is built on base %q", platform, texts["base-version"])
			}
		}
		key := manifest.Annotations["sh.davit.build.key"]
		if manifest.Annotations["sh.davit.build.tag"] != "1.0.1" || !strings.HasPrefix(key, "sha256:") {
			t.Errorf("annotations %v", manifest.Annotations)
		}
		p.noChanges()

		p.write("repo/README", "two")
		p.commit("A commit that changes nothing")
		p.noChanges()

		// Another machine, which knows nothing, finds the build by its key.
		if err := os.RemoveAll(filepath.Join(p.dir, ".davit")); err != nil {
			t.Fatal(err)
		}
		r := p.must("plan")
		wants(t, "the plan without state", r.stdout, "already pushed as 1.0.1 with this content key")
		p.must("apply", "-auto-approve")
		p.noChanges()

		// The same size as before: only a look into the file tells.
		p.write("repo/app/run.sh", "#!/bin/sh\necho two\n")
		p.commit("A change")
		wants(t, "the plan after a change", p.must("plan").stdout, "files changed: run.sh", "1.0.1 -> 1.0.3")
		p.must("apply", "-auto-approve")
		_, images = p.pushed("1.0.3")
		for platform, image := range images {
			if texts, _ := files(t, image); !strings.Contains(texts["app/run.sh"], "echo two") {
				t.Errorf("%s has the old file", platform)
			}
		}

		// The base moves; and moves again between the plan and the apply.
		p.moveBase("two")
		p.write("repo/README", "three")
		p.commit("Another tag")
		wants(t, "the plan after the base moved", p.must("plan", "-out=base.davit").stdout, "the base image "+p.base+" changed from sha256:", "1.0.4")
		p.moveBase("three")
		p.must("apply", "base.davit")
		_, images = p.pushed("1.0.4")
		for platform, image := range images {
			if texts, _ := files(t, image); texts["base-version"] != "two" {
				t.Errorf("%s is built on base %q, and reviewed was two", platform, texts["base-version"])
			}
		}
	})
}

// The same inputs give the same images, to the digest, both ways and with nothing cached.
func TestBuildxIsReproducible(t *testing.T) {
	p := newProject(t, ways()["daemon"], map[string]string{"app/Dockerfile": `FROM BASE
WORKDIR /app
COPY . .
RUN echo made > made && mkdir -p deep/er && touch deep/er/file
`})
	digests := map[string]string{}
	for _, way := range []string{"daemon", "builder", "daemon"} {
		prune(t)
		p.stack(fmt.Sprintf("%s-%d", p.image, len(digests)), ways()[way])
		if err := os.RemoveAll(filepath.Join(p.dir, ".davit")); err != nil {
			t.Fatal(err)
		}
		p.must("apply", "-auto-approve")
		head, err := remote.Head(parse(t, fmt.Sprintf("%s-%d:1.0.1", p.image, len(digests))))
		if err != nil {
			t.Fatal(err)
		}
		digests[fmt.Sprint(len(digests), " ", way)] = head.Digest.String()
	}
	all := slices.Sorted(maps.Values(digests))
	if len(all) != 3 || len(slices.Compact(all)) != 1 {
		t.Errorf("digests %v", digests)
	}
}

// prune empties BuildKit's cache.
func prune(t testing.TB) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), servers.BuildKit.Buildx, "prune", "--builder", servers.BuildKit.Builder, "--all", "--force")
	cmd.Env = append(os.Environ(), servers.Env()...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("prune: %v\n%s", err, out)
	}
}

// A step that fails is named, with the last that it said and its line. No secret is shown, though the step prints them.
func TestBuildxShowsWhyABuildFailedButNoSecret(t *testing.T) {
	const secret, token = "swordfish-in-a-file", "hunter2-in-an-argument"
	eachWay(t, func(t *testing.T, way string) {
		p := newProject(t, way+`
  secrets        = { word = "word.txt" }
  sensitive_args = { TOKEN = var.token }
`, map[string]string{"app/Dockerfile": `FROM BASE
ARG TOKEN
WORKDIR /app/$TOKEN
RUN --mount=type=secret,id=word for i in $(seq 40); do echo "line $i"; done; sleep 2; cat /run/secrets/word; echo "and ${TOKEN}"; false
`})
		p.write("word.txt", secret+"\n")
		p.setenv("DAVIT_VAR_token", token)
		watched := watchArguments(t, secret, token)
		r := p.davit("apply", "-auto-approve")
		if r.code != 1 {
			t.Fatalf("exit %d\n%s", r.code, r.stdout)
		}
		wants(t, "the error", r.stderr, "the build failed at RUN --mount=type=secret,id=word", "line 4 of the Dockerfile", "did not complete successfully: exit code: 1", "build.buildx.app")
		log, shown, _ := strings.Cut(r.stderr, "the build failed at")
		wants(t, "the log", log, ": line 1\n", ": line 40\n", ": (sensitive)\n", ": and (sensitive)\n")
		wants(t, "the last lines", shown, "\nline 23\n", "\nline 40\n(sensitive)\nand (sensitive)\n")
		if strings.Contains(shown, "line 22\n") {
			t.Errorf("more than the last lines:\n%s", shown)
		}
		for _, s := range []string{secret, token} {
			if strings.Contains(r.stdout+r.stderr, s) {
				t.Errorf("%s is shown:\n%s%s", s, r.stdout, r.stderr)
			}
		}
		if seen := watched(); seen != "" {
			t.Errorf("a process has a secret in its arguments: %s", seen)
		}
		// Mended, the step gets the true values, and nothing keeps them but the image.
		p.write("repo/app/Dockerfile", fmt.Sprintf(`FROM %s
ARG TOKEN
RUN --mount=type=secret,id=word cat /run/secrets/word > /word && echo "$TOKEN" > /token
`, p.base))
		p.commit("Mend it")
		p.must("plan", "-out=plan.davit")
		p.must("apply", "plan.davit")
		_, images := p.pushed("1.0.2")
		if texts, _ := files(t, images["linux/arm64"]); texts["word"] != secret+"\n" || texts["token"] != token+"\n" {
			t.Errorf("the step got %q and %q", texts["word"], texts["token"])
		}
		p.noChanges()
		for _, file := range []string{"plan.davit", ".davit/state.db"} {
			b, err := os.ReadFile(filepath.Join(p.dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, []byte(secret)) || bytes.Contains(b, []byte(token)) {
				t.Errorf("a secret is in %s", file)
			}
		}
		p.setenv("DAVIT_VAR_token", token+"-and-more")
		p.write("repo/README", "x")
		p.commit("Another token")
		wants(t, "the plan with another token", p.must("plan").stdout, "build argument TOKEN changed")
	})
}

// watchArguments looks at the arguments of all processes until the result is called, which tells where it saw one of the words.
func watchArguments(t *testing.T, words ...string) func() string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	found, wg := "", sync.WaitGroup{}
	wg.Go(func() {
		for ctx.Err() == nil {
			paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			for _, path := range paths {
				b, _ := os.ReadFile(path)
				for _, w := range words {
					// A step that is emulated has its command in its arguments, as it is in the Dockerfile.
					if bytes.Contains(b, []byte(w)) {
						found = string(bytes.ReplaceAll(b, []byte{0}, []byte(" ")))
					}
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() string {
		cancel()
		wg.Wait()
		return found
	}
}

// An interrupted build stops, leaves no process behind, and is simply done again.
func TestBuildxIsInterrupted(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		p := newProject(t, way, map[string]string{"app/Dockerfile": "FROM BASE\nRUN echo it sleeps && sleep 600\n"})
		cmd := exec.CommandContext(t.Context(), davitBinary, "apply", "-auto-approve")
		cmd.Dir, cmd.Env = p.dir, p.env
		var out output
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out.waitFor(t, "it sleeps")
		for range 2 {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			time.Sleep(200 * time.Millisecond)
		}
		_ = cmd.Wait()
		if cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("exit %d\n%s", cmd.ProcessState.ExitCode(), out.String())
		}
		if left := processesIn(t, p.dir); left != "" {
			t.Errorf("left running: %s", left)
		}
		p.write("repo/app/Dockerfile", "FROM "+p.base+"\nRUN echo it does not\n")
		p.commit("Mend it")
		p.must("apply", "-auto-approve")
		p.noChanges()
	})
}

// A davit that is killed in the middle of a build leaves no process behind; the next one builds.
func TestBuildxIsKilled(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		p := newProject(t, way, map[string]string{"app/Dockerfile": "FROM BASE\nRUN : " + strings.ReplaceAll(way, `"`, "") + "; echo it sleeps && sleep 5\n"})
		cmd := exec.CommandContext(t.Context(), davitBinary, "apply", "-auto-approve")
		cmd.Dir, cmd.Env = p.dir, p.env
		var out output
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		out.waitFor(t, "it sleeps")
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		for deadline := time.Now().Add(10 * time.Second); processesIn(t, p.dir) != ""; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("left running: %s", processesIn(t, p.dir))
			}
		}
		p.must("apply", "-auto-approve")
		p.pushed("1.0.1")
		p.noChanges()
		if left, err := filepath.Glob(filepath.Join(p.dir, ".cache", "buildx", "*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	})
}

// output collects what a command writes.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// waitFor waits until a line of the build's output is there, not only the name of the step.
func (o *output) waitFor(t testing.TB, line string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(o.String(), ": "+line+"\n"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q in:\n%s", line, o.String())
		}
	}
}

// processesIn are the commands that run in a folder, or were given it.
func processesIn(t testing.TB, dir string) string {
	t.Helper()
	var found []string
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		cwd, _ := os.Readlink(filepath.Join(path, "cwd"))
		env, _ := os.ReadFile(filepath.Join(path, "environ"))
		if strings.HasPrefix(cwd, dir) || bytes.Contains(env, []byte("HOME="+dir+"\x00")) {
			b, _ := os.ReadFile(filepath.Join(path, "cmdline"))
			found = append(found, string(bytes.ReplaceAll(b, []byte{0}, []byte(" "))))
		}
	}
	return strings.Join(found, "; ")
}

// A registry that asks for a password is pushed to with the credentials of docker, which the builder has not.
func TestBuildxPushesWithAPassword(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", servers.DockerConfig)
	eachWay(t, func(t *testing.T, way string) {
		p := newProject(t, way, nil)
		p.image = strings.Replace(p.image, servers.Registry.Host, servers.AuthRegistry.Host, 1)
		p.stack(p.image, way)
		p.must("apply", "-auto-approve")
		p.pushed("1.0.1")
		p.noChanges()
	})
}

// One platform is pushed as an index too, so that it is found again by its annotations.
func TestBuildxForOnePlatform(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		p := newProject(t, way, nil)
		text, err := os.ReadFile(filepath.Join(p.dir, "davit.hcl"))
		if err != nil {
			t.Fatal(err)
		}
		p.write("davit.hcl", strings.Replace(string(text), `["linux/amd64", "linux/arm64", "linux/arm/v7"]`, `["linux/arm"]`, 1))
		p.must("apply", "-auto-approve")
		if _, images := p.pushed("1.0.1"); len(images) != 1 || images["linux/arm/v7"] == nil {
			t.Errorf("%v", images)
		}
		p.noChanges()
	})
}

// A builder that forgets everything finds its steps in the registry.
func TestBuildxCacheInARegistry(t *testing.T) {
	eachWay(t, func(t *testing.T, way string) {
		p := newProject(t, "", nil)
		cached := fmt.Sprintf("%s\n  cache {\n    ref = %q\n  }", way, p.image+"-cache:1")
		p.stack(p.image, cached)
		p.must("apply", "-auto-approve")
		prune(t)
		p.stack(p.image+"-again", cached)
		wants(t, "the log", p.must("apply", "-auto-approve").stderr, "RUN date > made (cached)")
	})
}

// A daemon that wants certificates gets them, and one that is not who it should be gets nothing.
func TestBuildxWithCertificates(t *testing.T) {
	daemon := httptest.NewUnstartedServer(nil) // for its certificate
	daemon.StartTLS()
	certificate, clients := daemon.TLS.Certificates[0], x509.NewCertPool()
	daemon.Close()
	clients.AddCert(mustParse(t, certificate.Certificate[0]))
	address := forward(t, &tls.Config{
		Certificates: []tls.Certificate{certificate}, ClientCAs: clients, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2"},
	})
	p := newProject(t, "", nil)
	p.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})))
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	p.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	stack := func(block string) { p.stack(p.image, fmt.Sprintf("buildkit = %q\n  tls {\n%s\n  }", address, block)) }

	stack(`ca = "ca.pem"`)
	wants(t, "without a certificate", p.davit("apply", "-auto-approve").stderr, "cannot be reached", "tls block")
	stack("cert = \"ca.pem\"\n key = \"key.pem\"")
	wants(t, "an unknown authority", p.davit("apply", "-auto-approve").stderr, "cannot be reached", "unknown authority")
	stack("ca = \"ca.pem\"\n cert = \"ca.pem\"\n key = \"key.pem\"\n server_name = \"other.test\"")
	wants(t, "another name", p.davit("apply", "-auto-approve").stderr, "cannot be reached", "other.test")
	stack("ca = \"ca.pem\"\n cert = \"ca.pem\"\n key = \"key.pem\"")
	p.must("apply", "-auto-approve")
	p.pushed("1.0.1")
}

func mustParse(t *testing.T, der []byte) *x509.Certificate {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// forward makes the daemon of the lab answer on a TCP port with TLS.
func forward(t *testing.T, config *tls.Config) (address string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("unix", strings.TrimPrefix(servers.BuildKit.Address, "unix://"))
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
	return "tcp://" + l.Addr().String()
}

// What cannot be used is one clear error each.
func TestBuildxErrors(t *testing.T) {
	for what, c := range map[string]struct {
		stack string
		want  []string
	}{
		"no such builder": {`builder = "nobody"`, []string{`the docker buildx builder "nobody" does not exist`, "docker buildx create"}},
		"no daemon":       {`buildkit = "unix:///nowhere/buildkitd.sock"`, []string{"the BuildKit daemon at unix:///nowhere/buildkitd.sock cannot be reached"}},
		"nothing there":   {`buildkit = "tcp://127.0.0.1:9"`, []string{"the BuildKit daemon at tcp://127.0.0.1:9 cannot be reached"}},
		"too long":        {fmt.Sprintf("buildkit = %q\n  timeout = \"1ms\"", servers.BuildKit.Address), []string{"the build exceeded its timeout", "raise timeout"}},
	} {
		t.Run(what, func(t *testing.T) {
			p := newProject(t, c.stack, nil)
			r := p.davit("apply", "-auto-approve")
			if r.code != 1 {
				t.Errorf("exit %d\n%s", r.code, r.stdout)
			}
			wants(t, "the error", r.stderr, append(c.want, "build.buildx.app", "davit.hcl line")...)
		})
	}
}
