package hooks

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/davit-sh/davit/core/reconcile/hint"
)

const secret = "0123456789abcdef-secret"

func sign(key string, body []byte) string {
	sum := hmac.New(sha256.New, []byte(key))
	_, _ = sum.Write(body)
	return hex.EncodeToString(sum.Sum(nil))
}

// desk is a handler with one hook of each type, and what it finds.
type desk struct {
	*Handler
	mu    sync.Mutex
	found []hint.Hint
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	d := &desk{}
	var declared []string
	for _, kind := range Types() {
		declared = append(declared, kind+"-1="+kind+":env:SECRET")
	}
	list, err := ParseAll(declared, func(string) string { return secret })
	if err != nil {
		t.Fatal(err)
	}
	d.Handler = New(Options{Hooks: list, Found: func(h hint.Hint) int {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.found = append(d.found, h)
		return 1
	}})
	return d
}

func (d *desk) take() []hint.Hint {
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.found
	d.found = nil
	return was
}

// call makes a call as a host of the type does, from an address of its own.
var calls int

func (d *desk) call(kind, key, event, body string) int {
	calls++
	path := "/hooks/" + kind + "-1"
	if kind == "dockerhub" {
		path += "/" + url.PathEscape(key)
	}
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.RemoteAddr = fmt.Sprintf("10.0.%d.%d:1", calls/250, calls%250)
	signature := sign(key, []byte(body))
	for name, value := range map[string]string{
		"github X-GitHub-Event": event, "github X-Hub-Signature-256": "sha256=" + signature,
		"gitea X-Gitea-Event": event, "gitea X-Gitea-Signature": signature,
		"forgejo X-Forgejo-Event": event, "forgejo X-Forgejo-Signature": signature,
		"gitlab X-Gitlab-Token": key, "gitlab X-Gitlab-Event": event,
		"bitbucket X-Hub-Signature": "sha256=" + signature, "bitbucket-server X-Hub-Signature": "sha256=" + signature,
		"distribution Authorization": "Bearer " + key, "harbor Authorization": key, "generic Authorization": "Bearer " + key,
	} {
		if k, header, _ := strings.Cut(name, " "); k == kind {
			r.Header.Set(header, value)
		}
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	if w.Body.Len() > 0 {
		return -1 // an answer has no words
	}
	return w.Code
}

const (
	gitHubPush = `{"ref": "refs/heads/main", "before": "1", "after": "2", "repository": {"full_name": "acme/shop", "html_url": "https://github.com/acme/shop",
		"clone_url": "https://github.com/acme/shop.git", "ssh_url": "git@github.com:acme/shop.git", "default_branch": "main"}, "commits": [{"id": "2"}]}`
	gitHubPackage = `{"action": "published", "registry_package": {"name": "shop-api", "namespace": "acme", "package_type": "CONTAINER", "ecosystem": "container",
		"owner": {"login": "acme"}, "package_version": {"container_metadata": {"tag": {"name": "1.2.0", "digest": "sha256:1"}}}}, "repository": {"html_url": "https://github.com/acme/shop"}}`
	giteaPush = `{"ref": "refs/tags/v1.0.0", "repository": {"html_url": "https://git.example.com/acme/shop",
		"clone_url": "https://git.example.com/acme/shop.git", "ssh_url": "ssh://git@git.example.com:2222/acme/shop.git"}}`
	giteaPackage = `{"action": "created", "package": {"type": "container", "package_type": "container", "name": "shop/api", "version": "1.2.0", "owner": {"login": "acme"}},
		"repository": {"html_url": "https://git.example.com/acme/shop"}}`
	gitLabPush = `{"object_kind": "push", "ref": "refs/heads/feature/x", "project": {"web_url": "https://gitlab.example.com/acme/shop",
		"git_http_url": "https://gitlab.example.com/acme/shop.git", "git_ssh_url": "git@gitlab.example.com:acme/shop.git"}}`
	bitbucketPush = `{"push": {"changes": [{"new": {"type": "branch", "name": "main"}, "old": null}, {"new": null}]},
		"repository": {"full_name": "acme/shop", "links": {"html": {"href": "https://bitbucket.org/acme/shop"}, "self": {"href": "https://api.bitbucket.org/2.0/repositories/acme/shop"}}}}`
	bitbucketServerPush = `{"eventKey": "repo:refs_changed", "repository": {"slug": "shop", "project": {"key": "ACME"}, "links": {"self": [null]}},
		"changes": [{"ref": {"id": "refs/heads/main", "displayId": "main", "type": "BRANCH"}, "type": "UPDATE"}]}`
	distributionPush = `{"events": [{"id": "1", "action": "pull", "target": {"repository": "acme/other"}},
		{"id": "2", "action": "push", "target": {"mediaType": "application/vnd.oci.image.index.v1+json", "repository": "acme/shop", "tag": "1.2.0", "digest": "sha256:1"},
		"request": {"id": "x", "addr": "10.0.0.1:1", "host": "registry.example.com:5000", "method": "PUT"}}]}`
	harborPush = `{"type": "PUSH_ARTIFACT", "occur_at": 1, "operator": "ci", "event_data": {"resources": [{"digest": "sha256:1", "tag": "1.2.0", "resource_url": "harbor.example.com/acme/shop:1.2.0"}],
		"repository": {"name": "shop", "namespace": "acme", "repo_full_name": "acme/shop", "repo_type": "private"}}}`
	harborCloudEvent = `{"specversion": "1.0", "type": "harbor.artifact.pushed", "data": {"repository": {"repo_full_name": "acme/shop"}}}`
	dockerHubPush    = `{"push_data": {"pushed_at": 1, "pusher": "ci", "tag": "1.2.0"}, "repository": {"repo_name": "acme/shop", "repo_url": "https://hub.docker.com/r/acme/shop", "status": "Active"}}`
	genericCall      = `{"repository": "https://git.example.com/acme/shop", "ref": "main"}`
)

func TestPayloads(t *testing.T) {
	d := newDesk(t)
	for _, test := range []struct {
		kind, event, body string
		want              hint.Hint
	}{
		{"github", "push", gitHubPush, hint.Hint{Kind: hint.Git, Ref: "main", Repositories: []string{"https://github.com/acme/shop.git", "git@github.com:acme/shop.git", "https://github.com/acme/shop"}}},
		{"github", "registry_package", gitHubPackage, hint.Hint{Kind: hint.Image, Ref: "1.2.0", Repositories: []string{"ghcr.io/acme/shop-api"}}},
		{"gitea", "push", giteaPush, hint.Hint{Kind: hint.Git, Ref: "v1.0.0", Repositories: []string{"https://git.example.com/acme/shop.git", "ssh://git@git.example.com:2222/acme/shop.git", "https://git.example.com/acme/shop"}}},
		{"gitea", "package", giteaPackage, hint.Hint{Kind: hint.Image, Repositories: []string{"git.example.com/acme/shop/api"}}},
		{"forgejo", "push", giteaPush, hint.Hint{Kind: hint.Git, Ref: "v1.0.0", Repositories: []string{"https://git.example.com/acme/shop.git", "ssh://git@git.example.com:2222/acme/shop.git", "https://git.example.com/acme/shop"}}},
		{"gitlab", "Push Hook", gitLabPush, hint.Hint{Kind: hint.Git, Ref: "feature/x", Repositories: []string{"https://gitlab.example.com/acme/shop.git", "git@gitlab.example.com:acme/shop.git", "https://gitlab.example.com/acme/shop"}}},
		{"bitbucket", "repo:push", bitbucketPush, hint.Hint{Kind: hint.Git, Ref: "main", Repositories: []string{"https://bitbucket.org/acme/shop"}}},
		{"bitbucket-server", "repo:refs_changed", bitbucketServerPush, hint.Hint{Kind: hint.Git, Ref: "main", Repositories: []string{"https://unknown.invalid/ACME/shop"}}},
		{"distribution", "", distributionPush, hint.Hint{Kind: hint.Image, Ref: "1.2.0", Repositories: []string{"registry.example.com:5000/acme/shop"}}},
		{"harbor", "", harborPush, hint.Hint{Kind: hint.Image, Ref: "1.2.0", Repositories: []string{"harbor.example.com/acme/shop:1.2.0"}}},
		{"harbor", "", harborCloudEvent, hint.Hint{Kind: hint.Image, Repositories: []string{"unknown.invalid/acme/shop"}}},
		{"dockerhub", "", dockerHubPush, hint.Hint{Kind: hint.Image, Ref: "1.2.0", Repositories: []string{"docker.io/acme/shop"}}},
		{"generic", "", genericCall, hint.Hint{Kind: hint.Git, Ref: "main", Repositories: []string{"https://git.example.com/acme/shop"}}},
	} {
		test.want.Hook = test.kind + "-1"
		if code := d.call(test.kind, secret, test.event, test.body); code != http.StatusAccepted {
			t.Errorf("%s: %d", test.kind, code)
		}
		if diff := cmp.Diff([]hint.Hint{test.want}, d.take()); diff != "" {
			t.Errorf("%s: %s", test.kind, diff)
		}
		for _, key := range []string{"", "wrong-wrong-wrong-wrong", secret[:len(secret)-1]} {
			if code := d.call(test.kind, key, test.event, test.body); code != http.StatusUnauthorized {
				t.Errorf("%s with %q: %d", test.kind, key, code)
			}
		}
		for body, want := range map[string]int{"{": http.StatusBadRequest, "[]": http.StatusBadRequest, "{}": http.StatusOK, `"` + strings.Repeat("x", maxBody) + `"`: http.StatusRequestEntityTooLarge} {
			if code := d.call(test.kind, secret, test.event, body); code != want {
				t.Errorf("%s with %.5s of %d bytes: %d, want %d", test.kind, body, len(body), code, want)
			}
		}
		if found := d.take(); found != nil {
			t.Errorf("%s: found %v", test.kind, found)
		}
	}
	for _, event := range []string{"ping", "issue_comment", "pull_request_review", "star"} {
		if code := d.call("github", secret, event, gitHubPush); code != http.StatusOK {
			t.Errorf("%s: %d", event, code)
		}
	}
	npm := strings.NewReplacer("CONTAINER", "NPM", `"ecosystem": "container"`, `"ecosystem": "npm"`).Replace(gitHubPackage)
	if code := d.call("github", secret, "registry_package", npm); code != http.StatusOK {
		t.Errorf("a package that is no image: %d", code)
	}
	if found := d.take(); found != nil {
		t.Errorf("found %v", found)
	}
}

// Who has no secret learns nothing, and what is signed is what counts.
func TestStrangers(t *testing.T) {
	d := newDesk(t)
	do := func(method, path, from string, body []byte, headers ...string) (int, http.Header) {
		r := httptest.NewRequest(method, path, bytes.NewReader(body))
		r.RemoteAddr = from + ":1"
		for i := 0; i+1 < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		return w.Code, w.Header()
	}
	right := "sha256=" + sign(secret, []byte(gitHubPush))
	for name, test := range map[string]struct {
		method, path string
		body         string
		headers      []string
		code         int
	}{
		"right":                     {"POST", "/hooks/github-1", gitHubPush, []string{"X-Hub-Signature-256", right}, 202},
		"reading":                   {"GET", "/hooks/github-1", "", nil, 405},
		"reading what is not there": {"GET", "/hooks/no", "", nil, 405},
		"another method":            {"PUT", "/hooks/github-1", gitHubPush, []string{"X-Hub-Signature-256", right}, 405},
		"no such hook":              {"POST", "/hooks/no", gitHubPush, []string{"X-Hub-Signature-256", right}, 401},
		"no hook":                   {"POST", "/hooks/", gitHubPush, nil, 401},
		"no signature":              {"POST", "/hooks/github-1", gitHubPush, nil, 401},
		"an empty signature":        {"POST", "/hooks/gitea-1", gitHubPush, []string{"X-Gitea-Signature", ""}, 401},
		"half a signature":          {"POST", "/hooks/github-1", gitHubPush, []string{"X-Hub-Signature-256", right[:39]}, 401},
		"no digits":                 {"POST", "/hooks/github-1", gitHubPush, []string{"X-Hub-Signature-256", "sha256=" + strings.Repeat("zz", 32)}, 401},
		"an old signature":          {"POST", "/hooks/github-1", gitHubPush, []string{"X-Hub-Signature", "sha1=" + strings.Repeat("00", 20)}, 401},
		"another body":              {"POST", "/hooks/github-1", gitHubPush + " ", []string{"X-Hub-Signature-256", right}, 401},
		"the secret itself":         {"POST", "/hooks/github-1", gitHubPush, []string{"Authorization", "Bearer " + secret}, 401},
		"a token in the wrong hook": {"POST", "/hooks/gitlab-1", gitLabPush, []string{"Authorization", secret}, 401},
	} {
		code, header := do(test.method, test.path, "192.0.2."+fmt.Sprint(len(name)), []byte(test.body), test.headers...)
		if code != test.code {
			t.Errorf("%s: %d, want %d", name, code, test.code)
		}
		if len(header.Values("Content-Type")) > 0 || code == 405 && header.Get("Allow") != "POST" {
			t.Errorf("%s: %v", name, header)
		}
	}
	form := url.Values{"payload": {gitHubPush}}.Encode()
	if code, _ := do("POST", "/hooks/github-1", "192.0.2.200", []byte(form), "Content-Type", "application/x-www-form-urlencoded", "X-Hub-Signature-256", "sha256="+sign(secret, []byte(form))); code != 202 {
		t.Errorf("a form: %d", code)
	}
	// The same call again is the same hint again, so often as the limit of the hook allows.
	codes := map[int]int{}
	d.take()
	for range 2 * burst {
		code, _ := do("POST", "/hooks/github-1", "192.0.2.201", []byte(gitHubPush), "X-Hub-Signature-256", right)
		codes[code]++
	}
	if codes[202] < burst-5 || codes[429] < burst-50 || len(codes) != 2 || len(d.take()) != codes[202] {
		t.Errorf("replays: %v", codes)
	}
}

// Behind a proxy, the callers are told apart by what the proxy says, which is the last word of the header.
func TestForwarded(t *testing.T) {
	d := newDesk(t)
	d.options.Forwarded = true
	call := func(forwarded, signature string) int {
		r := httptest.NewRequest(http.MethodPost, "/hooks/github-1", strings.NewReader(gitHubPush))
		r.Header.Set("X-Forwarded-For", forwarded)
		r.Header.Set("X-Hub-Signature-256", signature)
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		return w.Code
	}
	codes := map[int]int{}
	for i := range 3 * failureBurst {
		codes[call(fmt.Sprintf("10.0.0.%d, 192.0.2.1", i), "00")]++
	}
	if codes[http.StatusTooManyRequests] < failureBurst {
		t.Errorf("one caller with many names: %v", codes)
	}
	if code := call("192.0.2.1, 192.0.2.2", sign(secret, []byte(gitHubPush))); code != http.StatusAccepted {
		t.Errorf("another caller: %d", code)
	}
}

// TestFlood has strangers call over real connections: what they cost is bounded, and who knows the secret is served meanwhile.
func TestFlood(t *testing.T) {
	d := newDesk(t)
	server := httptest.NewServer(d)
	defer server.Close()
	body := []byte(strings.Repeat("x", 64<<10))
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 64, MaxIdleConnsPerHost: 64}}
	post := func(path, signature string, body []byte) (int, error) {
		r, err := http.NewRequest(http.MethodPost, server.URL+path, bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		r.Header.Set("X-Hub-Signature-256", signature)
		res, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode, res.Body.Close()
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	begun, cpu := time.Now(), cpuTime(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	codes := map[int]int{}
	const total = 10_000
	work := make(chan int)
	for range 32 {
		wg.Go(func() {
			for range work {
				code, err := post("/hooks/github-1", strings.Repeat("0", 64), body)
				mu.Lock()
				if err != nil {
					code = 0 // the connection was closed while the body was sent
				}
				codes[code]++
				mu.Unlock()
			}
		})
	}
	for i := range total {
		work <- i
	}
	close(work)
	wg.Wait()
	took, used := time.Since(begun), cpuTime(t)-cpu
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d calls with wrong signatures: %v in %s, %s of CPU on both sides, heap %+d kB", total, codes, took.Round(time.Millisecond), used.Round(time.Millisecond),
		(int64(after.HeapAlloc)-int64(before.HeapAlloc))/1024)
	if codes[401] == 0 || codes[401] > failureBurst+int(took.Seconds())+1+atOnce+32 {
		t.Errorf("%d of %d were looked at: %v", codes[401], total, codes)
	}
	if codes[202] > 0 || len(d.take()) > 0 {
		t.Error("a wrong signature was accepted")
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("%d bytes are kept", grown)
	}
	// From elsewhere the hook is served.
	if code := d.call("github", secret, "push", gitHubPush); code != 202 {
		t.Errorf("a right call: %d", code)
	}
	// Many addresses are not all remembered.
	for i := range 3 * mostAddresses {
		d.callers.failed(fmt.Sprint("2001:db8::", i))
	}
	if n := len(d.callers.byAddress); n > mostAddresses {
		t.Errorf("%d addresses are remembered", n)
	}
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestDeclarations(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	getenv := func(name string) string { return map[string]string{"RIGHT": secret, "SHORT": "short"}[name] }
	for _, d := range []string{"shop=github:env:RIGHT", "a-1.b_2=harbor:file:" + file} {
		if h, err := Parse(d, getenv); err != nil || string(h.secret) != secret {
			t.Errorf("%s: %v", d, err)
		}
	}
	for declaration, want := range map[string]string{
		"shop":                        "ID=TYPE:env:NAME",
		"shop=github:" + secret:       "ID=TYPE:env:NAME",
		"Shop=github:env:RIGHT":       "an id has",
		"a/b=github:env:RIGHT":        "an id has",
		"shop=svn:env:RIGHT":          "there are: bitbucket, bitbucket-server, distribution, dockerhub, forgejo, generic, gitea, github, gitlab, harbor",
		"shop=github:env:NONE":        "NONE is empty",
		"shop=github:env:SHORT":       "less than 16",
		"shop=github:file:/none":      "cannot be read",
		"shop=github:value:" + secret: "env:NAME or file:PATH",
	} {
		if _, err := Parse(declaration, getenv); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", declaration, err)
		}
	}
	if _, err := ParseAll([]string{"a=github:env:RIGHT", "a=gitlab:env:RIGHT"}, getenv); err == nil {
		t.Error("an id was declared twice")
	}
}

// FuzzBodies sends bodies that are signed as they should be.
func FuzzBodies(f *testing.F) {
	for _, body := range []string{gitHubPush, gitHubPackage, giteaPush, giteaPackage, gitLabPush, bitbucketPush, bitbucketServerPush, distributionPush, harborPush, harborCloudEvent, dockerHubPush, genericCall, "null", `{"events":[null]}`} {
		for _, event := range []string{"push", "package"} {
			f.Add(event, []byte(body))
		}
	}
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		for _, k := range kinds {
			found, err := k.read(http.Header{"X-Github-Event": {event}}, body)
			if err == nil && len(found.Repositories) > 0 && (found.Kind == "" || slices.Contains(found.Repositories, "")) {
				t.Errorf("%+v", found)
			}
			found.Match([]hint.Named{{Address: "a", Texts: []string{"https://git.example.com/a/b"}}})
		}
	})
}
