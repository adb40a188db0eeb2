package git

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/davit-sh/davit/sdk"
	"github.com/davit-sh/davit/sdk/tree"
)

// repo is a real repository, made with git.
type repo struct {
	t   testing.TB
	dir string
}

func newRepo(t testing.TB) *repo {
	t.Helper()
	r := &repo{t: t, dir: t.TempDir()}
	r.git("init", "-q", "-b", "main")
	return r
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=Test", "GIT_AUTHOR_EMAIL=test@example.com",
		"GIT_COMMITTER_NAME=Test", "GIT_COMMITTER_EMAIL=test@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files and commits; it returns the commit's id.
func (r *repo) commit(message string, files ...string) string {
	r.t.Helper()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(r.dir, files[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", message)
	return r.git("rev-parse", "HEAD")
}

// server serves repositories over HTTP as git's own server does.
type server struct {
	*httptest.Server
	token   string
	fail    atomic.Int32 // so many requests are answered with status
	status  atomic.Int32
	fetches atomic.Int32
}

func serveHTTP(t testing.TB, r *repo, token string) *server {
	t.Helper()
	path, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	s := &server{token: token}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(path)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if s.fail.Load() > 0 {
			s.fail.Add(-1)
			w.WriteHeader(int(s.status.Load()))
			return
		}
		if _, password, _ := req.BasicAuth(); token != "" && password != token {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if strings.HasSuffix(req.URL.Path, "git-upload-pack") {
			s.fetches.Add(1)
		}
		backend.ServeHTTP(w, req)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) url(r *repo) string { return s.URL + "/" + filepath.Base(r.dir) }

// call is what a request has besides the configuration, and what is said during it.
type call struct {
	sdk.TestCall
	prior, pinned *Outputs
}

// observe asks the source, with a cache of its own unless the call has one.
func observe(t testing.TB, c Config, with *call) (Outputs, error) {
	t.Helper()
	if with == nil {
		with = &call{}
	}
	if with.Host.CacheDir == "" {
		with.Host.CacheDir = t.TempDir()
	}
	if c.Timeout == 0 {
		c.Timeout = sdk.Duration(30 * time.Second)
	}
	return (&source{}).Observe(with.Context(t.Context()), request{Config: c, Prior: with.prior, Pinned: with.pinned})
}

func must(t testing.TB, c Config, with *call) Outputs {
	t.Helper()
	o, err := observe(t, c, with)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// wantError checks an error for people: its text, and what it says to do.
func wantError(t testing.TB, err error, texts ...string) {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) {
		t.Errorf("not an error for people: %v", err)
		return
	}
	all := e.Error() + " | " + e.Hint
	for _, want := range texts {
		if !strings.Contains(all, want) {
			t.Errorf("the error lacks %q: %s", want, all)
		}
	}
}

func TestWhatIsFollowed(t *testing.T) {
	r := newRepo(t)
	first := r.commit("First", "a", "1")
	r.git("tag", "v1.0.0")
	r.git("tag", "-a", "v1.2.0", "-m", "annotated")
	second := r.commit("Second\n\nWith a body.", "a", "2")
	r.git("tag", "v1.3.0-rc.1")
	r.git("tag", "other")
	r.git("branch", "side", first)
	r.git("tag", "both", second)
	r.git("branch", "both", first)
	s := serveHTTP(t, r, "")
	for _, where := range []string{r.dir, s.url(r)} {
		for name, c := range map[string]struct {
			config Config
			want   string
			branch string
		}{
			"default":   {Config{}, second, "main"},
			"branch":    {Config{Branch: "side"}, first, "side"},
			"tag":       {Config{Tag: "v1.0.0"}, first, ""},
			"annotated": {Config{Tag: "v1.2.0"}, first, ""},
			"semver":    {Config{Semver: ">=1.0.0"}, first, ""},
			"commit":    {Config{Commit: first}, first, ""},
			"ref: tag":  {Config{Ref: "v1.0.0"}, first, ""},
			"ref: head": {Config{Ref: "side"}, first, "side"},
			"ref: id":   {Config{Ref: first}, first, ""},
			"ref: both": {Config{Ref: "both"}, second, ""},
		} {
			c.config.URL = where
			o := must(t, c.config, nil)
			if o.Commit != c.want || o.Revision != c.want || o.ShortCommit != c.want[:7] || o.Branch != c.branch {
				t.Errorf("%s of %s: %s on %q, want %s on %q", name, where, o.Commit, o.Branch, c.want, c.branch)
			}
		}
		o := must(t, Config{URL: where}, nil)
		if o.Subject != "Second" || o.Author != "Test <test@example.com>" || o.CommitCount != 2 || strings.Join(o.Tags, " ") != "both other v1.3.0-rc.1" {
			t.Errorf("%+v", o)
		}
		tr, err := tree.Open(o.Tree)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := tr.ReadFile("a"); err != nil || string(b) != "2" {
			t.Errorf("%q, %v", b, err)
		}
	}
}

// The mirror is fetched only when the remote has moved, also after a forced push.
func TestFetchOnlyWhenMoved(t *testing.T) {
	r := newRepo(t)
	r.commit("First", "a", "1")
	s := serveHTTP(t, r, "")
	with := &call{}
	c := Config{URL: s.url(r)}
	must(t, c, with)
	fetches := s.fetches.Load()
	must(t, c, with)
	if s.fetches.Load() != fetches {
		t.Error("an unmoved remote was fetched")
	}
	r.commit("Second", "a", "2")
	if o := must(t, c, with); o.Subject != "Second" || s.fetches.Load() == fetches {
		t.Errorf("%s", o.Subject)
	}
	r.git("reset", "-q", "--hard", "HEAD~1")
	want := r.commit("Rewritten", "a", "3")
	if o := must(t, c, with); o.Commit != want || o.CommitCount != 2 {
		t.Errorf("after a forced push: %s, %d commits", o.Subject, o.CommitCount)
	}
}

// A pinned revision is reproduced though the branch has moved on; the commits since the last apply are told.
func TestPinnedAndPrior(t *testing.T) {
	r := newRepo(t)
	r.commit("First", "a", "1", "docs/x", "1")
	s := serveHTTP(t, r, "")
	c := Config{URL: s.url(r)}
	before := must(t, c, nil)
	r.commit("Second", "a", "2")
	r.commit("Third", "docs/x", "2")
	o := must(t, c, &call{pinned: &before})
	if o.Commit != before.Commit || o.Tree.Digest != before.Tree.Digest {
		t.Errorf("pinned to %s, got %s", before.Commit, o.Commit)
	}
	with := &call{prior: &before}
	must(t, c, with)
	if len(with.Items) != 2 || with.Items[0].Note != "Third" || with.Items[1].Note != "Second" || with.Items[0].Kind != "commit" {
		t.Errorf("%+v", with.Items)
	}
	c.Path = "docs"
	with = &call{prior: &before}
	if o := must(t, c, with); o.Subject != "Third" || len(with.Items) != 1 {
		t.Errorf("%s, %+v", o.Subject, with.Items)
	}
}

// With a path, commits elsewhere change nothing; paths have trees and counts of their own.
func TestPaths(t *testing.T) {
	r := newRepo(t)
	api := r.commit("One", "api/x", "1", "web/y", "1")
	narrow := Config{URL: r.dir, Path: "api"}
	before := must(t, narrow, nil)
	r.commit("Two", "web/y", "2")
	r.commit("Three", "web/y", "3")
	o := must(t, narrow, nil)
	if o.Commit != api || o.Revision != before.Revision || o.Tree.Digest != before.Tree.Digest || o.CommitCount != 1 {
		t.Errorf("%+v", o)
	}
	o = must(t, Config{URL: r.dir, Paths: []string{"api", "web"}}, nil)
	if o.CommitCounts["api"] != 1 || o.CommitCounts["web"] != 3 || o.CommitCount != 3 || o.Trees["api"].Digest != before.Tree.Digest {
		t.Errorf("%v, %v", o.CommitCounts, o.Trees)
	}
	_, err := observe(t, Config{URL: r.dir, Path: "nothing"}, nil)
	wantError(t, err, "the repository has no folder nothing")
}

// Counts are git's own, in histories with merges, renames and folders that come and go.
func TestCountsAreGits(t *testing.T) {
	r := newRepo(t)
	r.commit("1", "a/x", "1", "b/y", "1")
	r.git("checkout", "-q", "-b", "side")
	r.commit("2", "a/x", "2")
	r.commit("3", "b/y", "2")
	r.git("checkout", "-q", "main")
	r.commit("4", "c/z", "1")
	r.commit("5", "b/w", "1")
	r.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	r.git("checkout", "-q", "-b", "same", "HEAD~1")
	r.commit("6", "a/x", "2")
	r.git("checkout", "-q", "main")
	r.git("merge", "-q", "--no-ff", "-m", "merge the same", "same")
	r.git("rm", "-q", "-r", "c")
	r.commit("7")
	r.commit("8", "c/z", "again")
	r.git("mv", "a", "moved")
	r.commit("9")
	with := &call{}
	for _, ref := range []string{"HEAD", "HEAD~1", "HEAD~3", "HEAD~5"} {
		commit := r.git("rev-parse", ref)
		for _, path := range []string{"", "a", "b", "b/y", "c", "moved"} {
			args := []string{"rev-list", "--count", commit}
			if path != "" {
				args = append(args, "--", path)
			}
			want, err := strconv.Atoi(r.git(args...))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // counted, and from the cache
				repository := &repository{}
				if err := repository.openLocal(r.dir, sdk.Host{}); err != nil {
					t.Fatal(err)
				}
				h := &history{ctx: t.Context(), repo: repository, cache: filepath.Join(t.TempDir(), "counts.json")}
				if with.Host.CacheDir != "" {
					h.cache = filepath.Join(with.Host.CacheDir, "counts.json")
				}
				c, err := repository.git.CommitObject(plumbing.NewHash(commit))
				if err != nil {
					t.Fatal(err)
				}
				if got, err := h.count(c, path); err != nil || got != want {
					t.Errorf("%s -- %q: %d (%v), git says %d", ref, path, got, err, want)
				}
				with.Host.CacheDir = t.TempDir()
			}
		}
	}
}

func TestCredentials(t *testing.T) {
	const token = "s3cr3t-t0ken"
	r := newRepo(t)
	r.commit("First", "a", "1")
	s := serveHTTP(t, r, token)
	if o := must(t, Config{URL: s.url(r), Token: token}, nil); o.Subject != "First" {
		t.Errorf("%+v", o)
	}
	t.Setenv(tokenVariable, token)
	t.Setenv(hostVariable, hostOfURL(t, s.URL))
	must(t, Config{URL: s.url(r)}, nil)
	t.Setenv(tokenVariable, "wrong-"+token[:3])
	_, err := observe(t, Config{URL: s.url(r)}, nil)
	wantError(t, err, "refused the credentials", tokenVariable)
	if strings.Contains(fmt.Sprint(err), "wrong-") {
		t.Errorf("the token is in the error: %v", err)
	}
	_, err = observe(t, Config{URL: strings.Replace(s.url(r), "http://", "http://me:"+token+"@", 1)}, nil)
	if err == nil || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "use username and token") {
		t.Errorf("a password in the URL: %v", err)
	}
}

func TestServersThatFail(t *testing.T) {
	r := newRepo(t)
	r.commit("First", "a", "1")
	s := serveHTTP(t, r, "")
	// What may pass is tried again.
	s.status.Store(503)
	s.fail.Store(2)
	must(t, Config{URL: s.url(r)}, nil)
	for status, want := range map[int]string{404: "these credentials may not read it", 403: "refused the credentials", 500: "reading http"} {
		s.status.Store(int32(status)) //nolint:gosec // a status is small
		s.fail.Store(100)
		_, err := observe(t, Config{URL: s.url(r)}, nil)
		wantError(t, err, want)
		s.fail.Store(0)
	}
	_, err := observe(t, Config{URL: s.URL + "/none"}, nil)
	wantError(t, err, "these credentials may not read it")
	_, err = observe(t, Config{URL: "http://127.0.0.1:9/x"}, nil)
	wantError(t, err, "cannot be reached", "Check that the host is up")
	_, err = observe(t, Config{URL: filepath.Join(t.TempDir(), "none")}, nil)
	wantError(t, err, "is not a Git repository")
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }))
	defer slow.Close()
	_, err = observe(t, Config{URL: slow.URL, Timeout: sdk.Duration(100 * time.Millisecond)}, nil)
	wantError(t, err, "did not answer within 100ms")
}

func TestNamesThatAreNotThere(t *testing.T) {
	r := newRepo(t)
	_, err := observe(t, Config{URL: r.dir}, nil)
	wantError(t, err, "is empty", "Push a first commit")
	r.commit("First", "a", "1")
	r.git("tag", "v1.0.0")
	for _, c := range []struct {
		config Config
		wants  []string
	}{
		{Config{Branch: "mian"}, []string{`has no branch "mian"`, `Did you mean "main"`}},
		{Config{Tag: "release"}, []string{`has no tag "release"`, "v1.0.0"}},
		{Config{Ref: "v1.0.1"}, []string{`has no ref "v1.0.1"`, `Did you mean "v1.0.0"`}},
		{Config{Semver: ">=2"}, []string{"no tag of", "in the range >=2", "v1.0.0"}},
		{Config{Commit: strings.Repeat("1", 40)}, []string{"is not in"}},
	} {
		c.config.URL = r.dir
		_, err := observe(t, c.config, nil)
		wantError(t, err, c.wants...)
	}
	_, err = observe(t, Config{URL: r.dir, Branch: "a", Tag: "b"}, nil)
	if err == nil || !strings.Contains(err.Error(), "set one of them") {
		t.Errorf("%v", err)
	}
}

// Links that leave the repository and submodules do not get into a tree.
func TestContentsThatAreRefused(t *testing.T) {
	r := newRepo(t)
	r.commit("First", "a", "1")
	if err := os.Symlink("../../etc/passwd", filepath.Join(r.dir, "out")); err != nil {
		t.Fatal(err)
	}
	r.commit("A link")
	if _, err := observe(t, Config{URL: r.dir}, nil); err == nil || !strings.Contains(err.Error(), "leaves the source") {
		t.Errorf("a link that leaves the repository: %v", err)
	}
	s := newRepo(t)
	commit := s.commit("First", "a", "1")
	s.git("update-index", "--add", "--cacheinfo", "160000,"+commit+",vendor/lib")
	s.git("commit", "-q", "-m", "A submodule")
	_, err := observe(t, Config{URL: s.dir}, nil)
	wantError(t, err, "submodule at vendor/lib", `submodules = "ignore"`)
	o := must(t, Config{URL: s.dir, Submodules: "ignore"}, nil)
	if tr, err := tree.Open(o.Tree); err != nil || len(tr.Entries()) != 1 {
		t.Errorf("%v", err)
	}
}

// A mirror that was cut off, or damaged, is begun anew.
func TestDamagedMirror(t *testing.T) {
	r := newRepo(t)
	r.commit("First", "a", "1")
	s := serveHTTP(t, r, "")
	with := &call{}
	c := Config{URL: s.url(r)}
	must(t, c, with)
	for name, damage := range map[string]func(dir string) error{
		"no HEAD": func(dir string) error { return os.Remove(filepath.Join(dir, "HEAD")) },
		"cut packs": func(dir string) error {
			return each(filepath.Join(dir, "objects", "pack", "*.pack"), func(f string) error { return os.Truncate(f, 20) })
		},
		"no objects":  func(dir string) error { return os.RemoveAll(filepath.Join(dir, "objects", "pack")) },
		"other files": func(dir string) error { return os.WriteFile(filepath.Join(dir, "config"), []byte("[[["), 0o600) },
	} {
		mirrors, err := filepath.Glob(filepath.Join(with.Host.CacheDir, "git", "mirrors", "*[0-9a-f]"))
		if err != nil || len(mirrors) != 1 {
			t.Fatalf("%v, %v", mirrors, err)
		}
		if err := each(filepath.Join(with.Host.CacheDir, "git", "trees", "*"), os.Remove); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(mirrors[0], 0o700); err != nil {
			t.Fatal(err)
		}
		if err := damage(mirrors[0]); err != nil {
			t.Fatal(err)
		}
		if o, err := observe(t, c, with); err != nil || o.Subject != "First" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func each(pattern string, f func(string) error) error {
	files, err := filepath.Glob(pattern)
	for _, name := range files {
		_ = os.Chmod(name, 0o600)
		err = errors.Join(err, f(name))
	}
	return err
}

func TestConcurrentUse(t *testing.T) {
	r := newRepo(t)
	r.commit("First", "a", "1")
	s := serveHTTP(t, r, "")
	with := &call{TestCall: sdk.TestCall{Host: sdk.Host{CacheDir: t.TempDir()}}}
	errs := make(chan error, 8)
	for range 8 {
		go func() {
			_, err := (&source{}).Observe(with.Context(context.Background()), request{Config: Config{URL: s.url(r), Timeout: sdk.Duration(30 * time.Second)}})
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkCount counts the commits of one folder among 5,000, beside git itself.
func BenchmarkCount(b *testing.B) {
	r := newRepo(b)
	var in strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&in, "commit refs/heads/main\ncommitter T <t@example.com> %d +0000\ndata 1\nx\n", 1700000000+i)
		fmt.Fprintf(&in, "M 100644 inline d%d/f\ndata <<E\n%d\nE\n\n", i%50, i)
	}
	cmd := exec.Command("git", "-C", r.dir, "fast-import", "--quiet")
	cmd.Stdin = strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	commit := r.git("rev-parse", "main")
	b.Run("davit", func(b *testing.B) {
		for b.Loop() {
			repository := &repository{}
			if err := repository.openLocal(r.dir, sdk.Host{}); err != nil {
				b.Fatal(err)
			}
			c, err := repository.git.CommitObject(plumbing.NewHash(commit))
			if err != nil {
				b.Fatal(err)
			}
			h := &history{ctx: b.Context(), repo: repository, cache: filepath.Join(b.TempDir(), "counts.json")}
			if n, err := h.count(c, "d7"); err != nil || n != 100 {
				b.Fatal(n, err)
			}
		}
	})
	b.Run("git", func(b *testing.B) {
		for b.Loop() {
			if n := r.git("rev-list", "--count", commit, "--", "d7"); n != "100" {
				b.Fatal(n)
			}
		}
	})
}
