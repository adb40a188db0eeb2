package git

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/davit-sh/davit/sdk"
)

// watchOf runs a watch until the test ends, and returns what it tells.
func watchOf(t *testing.T, s *source, address string, c Config, prior *Outputs) <-chan string {
	t.Helper()
	told := make(chan string, 100)
	c.Timeout = sdk.Duration(30 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", address, err)
		}
	})
	r := sdk.WatchRequest[Config, Outputs]{Address: address, Config: c, Interval: 200 * time.Millisecond}
	if prior != nil {
		r.Prior = &sdk.Record[Config, Outputs]{Outputs: *prior}
	}
	call := &sdk.TestCall{Host: sdk.Host{CacheDir: t.TempDir()}}
	go func() {
		done <- s.Watch(call.Context(ctx), r, func(n sdk.Notice) { told <- n.Reason })
	}()
	return told
}

// hear waits for one notice that has a text.
func hear(t *testing.T, told <-chan string, text string) {
	t.Helper()
	select {
	case got := <-told:
		if !strings.Contains(got, text) {
			t.Errorf("told %q, want %q", got, text)
		}
	case <-time.After(20 * time.Second):
		t.Errorf("nothing was told of %q", text)
	}
}

// silent fails if something is told for a few intervals.
func silent(t *testing.T, told ...<-chan string) {
	t.Helper()
	time.Sleep(700 * time.Millisecond)
	for i, c := range told {
		select {
		case got := <-c:
			t.Errorf("%d told %q", i, got)
		default:
		}
	}
}

// counting is a proxy that counts requests.
func counting(t *testing.T, to string) (address string, count *atomic.Int64) {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	count = &atomic.Int64{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count.Add(1)
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, count
}

func TestWatch(t *testing.T) {
	r := newRepo(t)
	r.commit("first", "app/a", "1", "doc/b", "1")
	r.git("tag", "v1.0.0")
	web := serveHTTP(t, r, "")
	address, requests := counting(t, web.URL)
	at := strings.Replace(web.url(r), web.URL, address, 1)
	s := &source{}
	followed := must(t, Config{URL: at}, nil)
	branch := watchOf(t, s, "source.git.branch", Config{URL: at, Branch: "main"}, &followed)
	folder := watchOf(t, s, "source.git.folder", Config{URL: at, Path: "app"}, nil)
	released := watchOf(t, s, "source.git.released", Config{URL: at, Semver: ">=1.0"}, nil)
	tag := watchOf(t, s, "source.git.tag", Config{URL: at, Tag: "v1.0.0"}, nil)
	silent(t, branch, folder, released, tag)

	id := r.commit("second", "app/a", "2")
	hear(t, branch, id)
	hear(t, folder, id)
	silent(t, branch, folder, released, tag)

	r.git("tag", "-a", "-m", "second", "v1.1.0")
	hear(t, released, id+", tags v1.1.0")
	hear(t, branch, "tags v1.1.0")
	hear(t, folder, "tags v1.1.0")
	silent(t, tag)

	// What is looked at for another reason is known already.
	id = r.commit("third", "app/a", "3")
	call := &call{}
	call.Host.CacheDir = t.TempDir()
	c := Config{URL: at, Branch: "main", Timeout: sdk.Duration(30 * time.Second)}
	if _, err := s.Observe(call.Context(t.Context()), request{Address: "source.git.branch", Config: c}); err != nil {
		t.Fatal(err)
	}
	hear(t, folder, id)
	for len(branch) > 0 { // the poll may have been quicker
		hear(t, branch, id)
	}
	silent(t, branch, released, tag)

	// All share one request a look.
	before := requests.Load()
	time.Sleep(2 * time.Second)
	if n := requests.Load() - before; n < 5 || n > 12 {
		t.Errorf("%d requests of four sources in 10 intervals", n)
	}
	if n := web.fetches.Load(); n > 2 {
		t.Errorf("%d fetches", n)
	}
}

// A change between the look and the watch is told.
func TestWatchAfterAChange(t *testing.T) {
	r := newRepo(t)
	r.commit("first", "a", "1")
	before := must(t, Config{URL: r.dir}, nil)
	id := r.commit("second", "a", "2")
	s := &source{}
	hear(t, watchOf(t, s, "source.git.a", Config{URL: r.dir}, &before), id)
	r.git("checkout", "-q", "-b", "feature")
	silent(t, watchOf(t, s, "source.git.b", Config{URL: r.dir, Branch: "main"}, nil))
}

// A repository that goes away ends the watch with an error for people.
func TestWatchOfNothing(t *testing.T) {
	r := newRepo(t)
	r.commit("first", "a", "1")
	web := serveHTTP(t, r, "secret")
	ctx := (&sdk.TestCall{Host: sdk.Host{CacheDir: t.TempDir()}}).Context(t.Context())
	c := Config{URL: web.url(r), Token: "guess", Timeout: sdk.Duration(10 * time.Second)}
	err := (&source{}).Watch(ctx, sdk.WatchRequest[Config, Outputs]{Address: "source.git.a", Config: c, Interval: 20 * time.Millisecond}, func(sdk.Notice) {})
	wantError(t, err, "refused the credentials")
	if strings.Contains(err.Error(), "guess") {
		t.Error(err)
	}
}
