// Package exampletest_test builds the example plugins, which are modules of their own, and puts them through the suite that
// every plugin goes through.
package exampletest_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/davit-sh/davit/core/pluginhost"
	"github.com/davit-sh/davit/core/plugintest"
	"github.com/davit-sh/davit/core/scaffold"
	pluginv1 "github.com/davit-sh/davit/schemas/plugin/v1"
)

// The test binary is also the host that the conformance suite kills.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "as-host" {
		e, err := plugintest.FindExamples(os.Args[2])
		if err != nil {
			panic(err)
		}
		if err := plugintest.HostToKill(context.Background(), plugintest.Options{Executable: pluginhost.Executable{Path: os.Args[2]}, Examples: e}, os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

var (
	root     = filepath.Join("..", "..", "..")
	examples = filepath.Join(root, "examples", "plugins")
)

// conforms runs the conformance suite with the examples beside the plugin; each check passes or is in doesNotApply.
func conforms(t *testing.T, plugin string, doesNotApply ...string) {
	t.Helper()
	found, err := plugintest.FindExamples(plugin)
	if err != nil {
		t.Fatal(err)
	}
	r, err := plugintest.Run(t.Context(), plugintest.Options{
		Executable: pluginhost.Executable{Path: plugin}, Examples: found, Host: pluginhost.Executable{Path: os.Args[0], Args: []string{"as-host", plugin}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var not []string
	for _, c := range r.Checks {
		switch c.Status {
		case plugintest.Failed:
			t.Errorf("%s %s: %s", c.Type, c.Check, c.Seen)
		case plugintest.DoesNotApply:
			not = append(not, c.Check)
		}
	}
	if got, want := strings.Join(not, ", "), strings.Join(doesNotApply, ", "); got != want {
		t.Errorf("these do not apply: %s; want %s", got, want)
	}
}

// command runs a command in a folder.
func command(t *testing.T, dir string, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// copied copies an example without what is not part of it, so that a test leaves nothing in the repository.
func copied(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(from))
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	from = filepath.Join(examples, from)
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), b, info.Mode().Perm()); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestNoop(t *testing.T) {
	plugin := filepath.Join(copied(t, "noop"), "noop")
	command(t, filepath.Join(examples, "noop"), nil, "go", "build", "-o", plugin, ".")
	conforms(t, plugin, "cancel", "import", "watch", "error paths", "secrets")
}

// The Go examples outside of the main module, each with the checks that do not apply to it.
func TestGoModules(t *testing.T) {
	telegram := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"ok": true}`) }))
	defer telegram.Close()
	t.Setenv("TELEGRAM_API", telegram.URL)
	for example, doesNotApply := range map[string][]string{
		"calver":   {"secrets"},
		"telegram": {},
	} {
		t.Run(example, func(t *testing.T) {
			dir := copied(t, example)
			root, err := filepath.Abs(root)
			if err != nil {
				t.Fatal(err)
			}
			// Only what is on this machine: all that an example needs, the main module needs as well.
			env := []string{"GOFLAGS=-mod=readonly", "GOPROXY=off", "GOSUMDB=off", "GOWORK=off"}
			if err := scaffold.Complete(dir, root); err != nil {
				t.Fatal(err)
			}
			plugin := filepath.Join(dir, "davit-"+example)
			command(t, dir, env, "go", "build", "-o", plugin, ".")
			command(t, dir, env, "go", "vet", ".")
			command(t, dir, env, "go", "test", ".")
			conforms(t, plugin, doesNotApply...)
		})
	}
}

// site is a server whose pages have ETags and change.
type site struct {
	*httptest.Server
	mu     sync.Mutex
	pages  map[string]string
	full   int // answers with a body
	tokens map[string]bool
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{pages: map[string]string{"/one": "one", "/two": "two"}, tokens: map[string]bool{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		body, ok := s.pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		s.tokens[r.Header.Get("Authorization")] = true
		tag := fmt.Sprintf("%q", body)
		w.Header().Set("ETag", tag)
		w.Header().Set("Last-Modified", "Fri, 02 Jan 2026 03:04:05 GMT")
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		s.full++
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) set(path, body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = body
}

func (s *site) answers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.full
}

func TestHTTPSource(t *testing.T) {
	dir := copied(t, "http-source")
	command(t, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	plugin := filepath.Join(dir, "http-source")
	s := newSite(t)
	t.Setenv("HTTP_SOURCE_URL", s.URL)
	t.Setenv("DAVIT_HTTP_INTERVAL", "20") // milliseconds

	t.Run("conforms", func(t *testing.T) {
		conforms(t, plugin)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.tokens["Bearer a secret token"] {
			t.Error("the token was not sent")
		}
	})

	h := pluginhost.New(pluginhost.Options{CacheDir: t.TempDir(), Plugins: map[string]pluginhost.Executable{"http": {Path: plugin}}})
	defer h.Close()
	c, err := h.Client(t.Context(), "http")
	if err != nil {
		t.Fatal(err)
	}
	config := func(page string) *pluginv1.Value {
		return &pluginv1.Value{Encoding: &pluginv1.Value_Json{Json: fmt.Appendf(nil, `{"url": %q, "file": "page.txt", "token": null, "timeout_seconds": 30}`, s.URL+page)}}
	}
	observe := func(t *testing.T, pinned *pluginv1.Value) *pluginv1.PlanResult {
		t.Helper()
		res, err := c.Plan(t.Context(), &pluginv1.PlanRequest{Address: "source.http.x", Kind: "source", Type: "http", Config: config("/one"), Pinned: pinned}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	t.Run("what has not changed is not sent again", func(t *testing.T) {
		first := observe(t, nil)
		before := s.answers()
		again := observe(t, nil)
		if n := s.answers() - before; n != 0 {
			t.Errorf("it was sent %d times again", n)
		}
		if !bytes.Equal(first.GetOutputs().GetMsgpack(), again.GetOutputs().GetMsgpack()) || len(first.GetDiagnostics()) > 0 {
			t.Errorf("%v, then %v", first, again)
		}
		if !strings.Contains(string(first.GetOutputs().GetMsgpack()), "2026-01-02T03:04:05") {
			t.Errorf("the time is not told: %q", first.GetOutputs().GetMsgpack())
		}
	})
	t.Run("what is pinned is found when the page has changed", func(t *testing.T) {
		pinned := observe(t, nil).GetOutputs()
		s.set("/one", "changed")
		if now := observe(t, nil).GetOutputs(); bytes.Equal(now.GetMsgpack(), pinned.GetMsgpack()) {
			t.Error("the change was not seen")
		}
		if got := observe(t, pinned).GetOutputs(); !bytes.Equal(got.GetMsgpack(), pinned.GetMsgpack()) {
			t.Errorf("got %q, want %q", got.GetMsgpack(), pinned.GetMsgpack())
		}
	})
	t.Run("a page that is watched", func(t *testing.T) {
		where := c.Reattach().Addr.String
		conn, err := grpc.NewClient("passthrough:///http", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, "unix", where)
			}))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		stream, err := pluginv1.NewPluginClient(conn).Watch(t.Context(), &pluginv1.WatchRequest{Instances: []*pluginv1.WatchedInstance{
			{Address: "source.http.one", Kind: "source", Type: "http", Config: config("/one")},
			{Address: "source.http.two", Kind: "source", Type: "http", Config: config("/two")},
		}})
		if err != nil {
			t.Fatal(err)
		}
		stop := make(chan struct{})
		defer close(stop)
		go func() { // until it is seen: it may not have looked for the first time yet
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					s.set("/two", fmt.Sprint("two, ", i/50))
					if res, err := http.Get(s.URL + "/none"); err == nil {
						_ = res.Body.Close() // else each round would keep a connection
					}
				}
			}
		}()
		m, err := stream.Recv()
		if err != nil || m.GetAddress() != "source.http.two" || m.GetReason() == "" {
			t.Errorf("%v, %v", m, err)
		}
	})
}

// An example of another language has a copy of the protocol: its authors have no repository of davit.
func TestTheCopyOfTheProtocolIsUpToDate(t *testing.T) {
	own, err := os.ReadFile(filepath.Join(root, "schemas", "plugin", "v1", "plugin.proto"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(examples, "http-source", "plugin.proto")); err != nil || !bytes.Equal(got, own) {
		t.Errorf("http-source/plugin.proto is not the protocol (%v): run make generate", err)
	}
}
