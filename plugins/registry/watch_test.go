package registry

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/davit-sh/davit/internal/oci"
	"github.com/davit-sh/davit/sdk"
)

// watchOf runs a watch until the test ends, and returns what it tells.
func watchOf(t *testing.T, i *image, address, repository string, interval time.Duration) <-chan string {
	t.Helper()
	told := make(chan string, 100)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", address, err)
		}
	})
	r := sdk.WatchRequest[imageConfig, imageOutputs]{Address: address, Config: imageConfig{Repository: repository}, Interval: interval}
	go func() { done <- i.Watch(ctx, r, func(n sdk.Notice) { told <- n.Reason }) }()
	return told
}

// hear waits for a notice; silent makes sure that none comes for a few intervals.
func hear(t *testing.T, what string, told <-chan string) {
	t.Helper()
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Errorf("%s was not told", what)
	}
}

func silent(t *testing.T, what string, told ...<-chan string) {
	t.Helper()
	time.Sleep(600 * time.Millisecond)
	for _, c := range told {
		select {
		case got := <-c:
			t.Errorf("%s: told %q", what, got)
		default:
		}
	}
}

// counter counts the requests of a kind.
type counter struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *counter) around(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		if c.count == nil {
			c.count = map[string]int{}
		}
		c.count[r.Method+" "+r.URL.Path]++
		c.mu.Unlock()
		h.ServeHTTP(w, r)
	})
}

func (c *counter) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.count
	c.count = nil
	return was
}

func TestWatch(t *testing.T) {
	requests := &counter{}
	repository := serve(t, requests.around(realRegistry(t)))
	push(t, repository, oci.Label{Key: "sha256:" + strings.Repeat("a", 64), Tag: "1.0.0"}, "linux/amd64")
	push(t, repository, oci.Label{Key: "sha256:" + strings.Repeat("b", 64), Tag: "latest"}, "linux/amd64")
	i := &image{}
	observe := func(tag string) {
		t.Helper()
		c := imageConfig{Repository: repository}
		if _, err := i.Observe(t.Context(), sdk.ObserveRequest[imageConfig, imageOutputs]{Address: "image.registry.a", Config: c}); err != nil {
			t.Fatal(err)
		}
		if _, err := i.Resolve(t.Context(), sdk.ResolveRequest[imageConfig]{Address: "image.registry.a", Config: c, Tag: tag}); err != nil {
			t.Fatal(err)
		}
	}
	observe("latest")
	const interval = 100 * time.Millisecond
	a, b := watchOf(t, i, "image.registry.a", repository, interval), watchOf(t, i, "image.registry.b", repository, interval)
	silent(t, "nothing has changed", a, b)
	push(t, repository, oci.Label{Key: "sha256:" + strings.Repeat("c", 64), Tag: "latest"}, "linux/amd64")
	hear(t, "the moved tag", a)
	silent(t, "it does not use the tag that was moved", b)
	observe("latest")
	push(t, repository, oci.Label{Key: "sha256:" + strings.Repeat("d", 64), Tag: "1.1.0"}, "linux/amd64")
	hear(t, "the new tag", a)
	hear(t, "the new tag", b)
	observe("1.1.0")
	silent(t, "what was looked at meanwhile is known", a, b)
	push(t, repository, oci.Label{Key: "sha256:" + strings.Repeat("e", 64), Tag: "latest"}, "linux/amd64")
	silent(t, "the tag is not in use any more", a, b)

	requests.take()
	time.Sleep(10 * interval)
	for what, n := range requests.take() {
		if n < 5 || n > 13 || strings.Contains(what, "latest") {
			t.Errorf("%s: %d requests of two images in 10 intervals", what, n)
		}
	}
}

// A registry that gives validators is asked only whether the list has changed.
func TestWatchUnderACondition(t *testing.T) {
	var mu sync.Mutex
	tags, sent, unchanged := `"1"`, 0, 0
	repository := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("ETag", `"`+digestOf([]string{tags})+`"`)
		if r.Header.Get("If-None-Match") == w.Header().Get("ETag") {
			unchanged++
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sent++
		_, _ = w.Write([]byte(`{"name": "team/app", "tags": [` + tags + `]}`))
	}))
	told := watchOf(t, &image{}, "image.registry.a", repository, 50*time.Millisecond)
	silent(t, "nothing has changed", told)
	mu.Lock()
	tags = `"1", "2"`
	mu.Unlock()
	hear(t, "the new tag", told)
	silent(t, "it is told once", told)
	mu.Lock()
	defer mu.Unlock()
	if sent != 2 || unchanged < 5 {
		t.Errorf("sent %d times, unchanged %d times", sent, unchanged)
	}
}

// A registry that says when to come again is left alone until then, and the watch goes on.
func TestWatchOfABusyRegistry(t *testing.T) {
	requests := &counter{}
	repository := serve(t, requests.around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})))
	told := watchOf(t, &image{}, "image.registry.a", repository, 20*time.Millisecond)
	silent(t, "nobody knows", told)
	if n := requests.take()["GET /v2/team/app/tags/list"]; n != 1 {
		t.Errorf("%d requests", n)
	}
}
